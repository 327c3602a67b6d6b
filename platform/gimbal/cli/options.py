"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
