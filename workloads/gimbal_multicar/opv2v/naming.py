"""What the files of a frame are called."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[0-9]+$")


def camera_number(camera: str) -> int:
    """Return 3 for `camera3`; 0 for a name without a number at its end."""
    found = _NUMBER.search(camera)
    return int(found[0]) if found else 0


def depth_npy_name(frame: str, camera: str) -> str:
    """Return such as `000068_camera0_depth.npy`."""
    return f"{frame}_{camera}_depth.npy"


def depth_png_name(frame: str, camera: str) -> str:
    """Return such as `000068_depth0.png`, OPV2V-H's name."""
    return f"{frame}_depth{camera_number(camera)}.png"
