"""What a camera sees of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.capture import View
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering.raster import RasterRenderer

Doubles = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What one view sees.

    Attributes:
        depth: [H, W] along the optical axis in unit lengths, inf where nothing is.
        normals: [H, W, 3] in the unit frame; None where only depth is known.
    """

    depth: Doubles
    normals: Doubles | None = None


def seen_by(mesh: Mesh, view: View) -> Seen:
    """Return what a view sees of a mesh in the unit frame."""
    camera = view.camera
    cameras = PinholeCameras(
        K=camera.K, cam2world=view.cam2world, height=camera.height, width=camera.width
    )
    shown = RasterRenderer().render(mesh, cameras, ("depth", "normal", "mask"))
    depth = np.where(shown.mask[0], shown.depth[0].astype(np.float64), np.inf)
    return Seen(depth=depth, normals=shown.normal[0].astype(np.float64))
