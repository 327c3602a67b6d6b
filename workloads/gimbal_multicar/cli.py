"""The commands under `gimbal multicar`."""

from __future__ import annotations

import typer

from gimbal_multicar.checking.command import check
from gimbal_multicar.previewing.command import preview
from gimbal_multicar.rigs.command import fuse
from gimbal_multicar.synthesis.command import synthesize

app = typer.Typer(help="Multi-car data: make, check and look at it.", no_args_is_help=True)


@app.callback()
def _multicar() -> None:
    """Multi-car data: make, check and look at it."""


app.command("synthesize")(synthesize)


app.command("fuse")(fuse)


app.command()(check)
app.command("preview")(preview)
