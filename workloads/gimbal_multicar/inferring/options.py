"""Options of `gimbal multicar infer` that no other command has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gimbal_multicar.previewing.options import Split

TrainedRun = Annotated[
    str, typer.Option("--run", help="The run that trained: id, folder, experiment or 'latest'.")
]
AnyRoot = Annotated[
    Path, typer.Option("--root", help="A folder laid out like OPV2V: it holds train or test.")
]
Frame = Annotated[str, typer.Option("--frame", help="Which frame, such as 000068.")]
Scenario = Annotated[
    str | None, typer.Option("--scenario", help="Needed where several have the frame.")
]
Main = Annotated[
    str | None, typer.Option("--main", help="Id of the main car; else the first as text.")
]
JudgedSplit = Annotated[
    Split | None, typer.Option("--split", help="Which split; else the one the run judges.")
]
DepthRoot = Annotated[
    Path | None,
    typer.Option(
        "--depth-root", help="Folder of depth files laid out like it; else the run's own."
    ),
]
MaxDistance = Annotated[
    float | None,
    typer.Option("--max-distance", help="Farther cars stay out, m; else as in training."),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for numbers, arrays and cloud; else none.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the answer that is in --out.")]
