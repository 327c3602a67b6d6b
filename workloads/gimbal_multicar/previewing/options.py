"""Options that the commands which look at a data set or a run share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Split(StrEnum):
    """Where to look."""

    TRAIN = "train"
    VALIDATE = "validate"
    TEST = "test"
    TEST_CULVERCITY = "test_culvercity"


Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value]...", help="Settings, such as data.panorama.height=252"),
]
Root = Annotated[
    Path | None, typer.Option("--root", help="A data set: the folder that holds train.")
]
Run = Annotated[
    str | None,
    typer.Option("--run", help="A finished run instead: id, folder, experiment or 'latest'."),
]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs.")
]
ChosenSplit = Annotated[Split, typer.Option("--split", help="Which split.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Checkpoint = Annotated[
    str, typer.Option("--checkpoint", help="Of the run's model: best, last or a step.")
]
