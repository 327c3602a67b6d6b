"""The numbers of each camera's pose and `extrinsic`, found in the text of a YAML file.

Parsing a file takes a hundred times as long, and every file of a set is searched. What is written
in another way than as plain numbers is left out, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

CameraNumbers = Mapping[str, tuple[list[float], list[float]]]
"""Camera to x, y, z, roll, yaw, pitch (Unreal's axes, metres and degrees) and 16 of `extrinsic`."""

_CAMERA = re.compile(rb"^(camera\d{1,3}):[ ]*\n((?:[ ].*\n?)+)", re.MULTILINE)
_VALUE = rb"[ ]+%s:([-+0-9.eE,\[\] \n]*)(?=\n[ ]*[A-Za-z]|\Z)"
_CORDS = re.compile(_VALUE % b"cords")
_EXTRINSIC = re.compile(_VALUE % b"extrinsic")
_PLAIN = bytes.maketrans(b"[],\n", b"    ")


def camera_numbers(text: bytes) -> CameraNumbers:
    """Return the numbers of all cameras that have both a pose and an extrinsic.

    Args:
        text: A frame's file.
    """
    found = {}
    for name, block in _CAMERA.findall(text):
        cords, extrinsic = _numbers(_CORDS, block, 6), _numbers(_EXTRINSIC, block, 16)
        if cords is not None and extrinsic is not None:
            found[name.decode()] = cords, extrinsic
    return found


def _numbers(key: re.Pattern[bytes], block: bytes, count: int) -> list[float] | None:
    match = key.search(block)
    if match is None:
        return None
    words = [w for w in match[1].translate(_PLAIN).split() if w != b"-"]
    try:
        values = [float(w) for w in words]
    except ValueError:
        return None
    return values if len(values) == count else None
