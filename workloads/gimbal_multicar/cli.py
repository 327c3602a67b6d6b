"""The commands under `gimbal multicar`."""

from __future__ import annotations

import typer

from gimbal_multicar.checking.command import check
from gimbal_multicar.clouds.command import render
from gimbal_multicar.inferring.command import infer
from gimbal_multicar.previewing.command import preview
from gimbal_multicar.rigs.command import fuse
from gimbal_multicar.synthesis.command import synthesize

HELP = "Cooperating cars: make data, check it, look at it, fuse cameras into panoramas."

app = typer.Typer(help=HELP, no_args_is_help=True)


@app.callback(help=HELP)
def _multicar() -> None:
    """Hold the commands together."""


app.command("synthesize")(synthesize)
app.command("check")(check)
app.command("preview")(preview)
app.command("render")(render)
app.command("fuse")(fuse)
app.command("infer")(infer)
