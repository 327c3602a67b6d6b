"""Where the person behind the camera is, for light that the object mirrors of him (nero.md 3.6)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Photographer = Literal["none", "standing", "fixed"]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_UPRIGHT = 1e-6


def photographer_frame(cam2world: Doubles, photographer: Photographer) -> Floats:
    """Return [3, 4] from the unit frame to the photographer's: x right, y down, z where he looks.

    Args:
        cam2world: [4, 4] pose of the camera; z of the unit frame is up.
        photographer: `standing`: he walks along with the camera, and his plane is centred at the
            height of the object's centre; `fixed`: the camera stood still, and so did he.
    """
    forward, centre = cam2world[:3, 2], cam2world[:3, 3].copy()
    if photographer == "standing":
        centre[2] = 0.0
    down = np.array([0.0, 0.0, -1.0])
    ahead = forward * [1.0, 1.0, 0.0]
    if np.linalg.norm(ahead) < _UPRIGHT:
        ahead = np.sign(forward[2]) * cam2world[:3, 1] * [1.0, 1.0, 0.0]
    ahead /= np.linalg.norm(ahead)
    rotation = np.stack([np.cross(down, ahead), down, ahead])
    return np.column_stack([rotation, -rotation @ centre]).astype(np.float32)
