"""Options of `gimbal multicar render` that no other command has."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gimbal_multicar.previewing.options import Split


class PoseSource(StrEnum):
    """Where poses, or ranges, come from."""

    GT = "gt"
    PRED = "pred"


Out = Annotated[Path, typer.Option("--out", help="Folder for page, cloud, pictures, numbers.")]
AnySplit = Annotated[
    Split | None,
    typer.Option("--split", help="Which split; else train, or the one a model is judged on."),
]
MomentIndex = Annotated[
    int,
    typer.Option("--index", min=0, help="Which cooperative moment of it: by scenario and time."),
]
Poses = Annotated[PoseSource, typer.Option("--pose-source", help="True poses, or a model's.")]
Geometry = Annotated[
    PoseSource | None,
    typer.Option("--geometry", help="True ranges, or a model's; else as --pose-source."),
]
MaxDistance = Annotated[
    float | None,
    typer.Option(
        "--max-distance",
        help="Cars farther from the main one stay out, m; else 60, or as in the training.",
    ),
]
MaxPoints = Annotated[
    int, typer.Option("--max-points", min=1, help="Most points on the page; files hold all.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the same moment's files in --out.")]
