"""The commands under `gimbal multicar`."""

from __future__ import annotations

import typer

app = typer.Typer(help="Multi-car data: make, check and look at it.", no_args_is_help=True)


@app.callback()
def _multicar() -> None:
    """Multi-car data: make, check and look at it."""
