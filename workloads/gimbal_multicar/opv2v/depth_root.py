"""Whether a folder that is said to hold depth holds any.

A wrong folder would otherwise be noticed by nobody: where no file is found, `auto` takes the LiDAR.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.depth import HETERO_FOLDER, DepthFiles

logger = logging.getLogger("gimbal.multicar")

_NAMES = {
    "npy": re.compile(r".+_depth\.npy"),
    "opv2v_h": re.compile(r".+_depth[0-9]*\.png"),
    "auto": re.compile(r".+_depth(\.npy|[0-9]*\.png)"),
}


def require_depth_root(files: DepthFiles, splits: Sequence[str]) -> None:
    """See that the folder of depth files, if one is named, is there and fits the data set.

    With `auto`, a folder without any file for any car of the data set gives a warning only, on
    standard error.

    Args:
        files: Where depth is looked for.
        splits: Those that are used.

    Raises:
        DatasetError: It is no folder, or holds nothing of the kind that is asked for.
    """
    root, choice = files.depth_root, files.choice
    if root is None:
        return
    if not root.is_dir():
        raise DatasetError(
            f"{root} is no folder", "name the folder of the depth files (data.depth_root)"
        )
    if choice not in _NAMES or any(_matches(files, splits)):
        return
    nothing = f"{root} holds no depth file of any car of {files.root}"
    layout = "lay it out as SPLIT/SCENARIO/CAR/000068_camera0_depth.npy, or leave it out"
    if choice != "auto":
        raise DatasetError(f"{nothing} (data.depth={choice})", layout)
    logger.warning("warning: %s: depth is the LiDAR's, if any; %s", nothing, layout)


def _matches(files: DepthFiles, splits: Sequence[str]) -> Iterator[Path]:
    """Give depth files of cars that the data set has."""
    root, name = files.depth_root or Path(), _NAMES[files.choice]
    for base in (root, root / HETERO_FOLDER):
        for split in splits:
            for car in (base / split).glob("*/*/"):
                if (files.root / car.relative_to(base)).is_dir():
                    yield from (p for p in car.iterdir() if name.fullmatch(p.name))
