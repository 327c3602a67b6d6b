"""Draws a point cloud over the faint shape of the object it was measured on.

A point is a disc that faces the viewer, lit by the angle of its normal. The object's own depth
hides points on its far side and keeps discs within its outline, so that the picture shows what is
known of this side and what is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.fusion import PointCloud
from gimbal_nbv.playing.colours import NEW, lit
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.rendering.jit import kernel

Image = NDArray[np.uint8]

_TOLERANCE = np.float32(0.025)
"""Diagonals between a point and the surface of a pixel it may paint: a disc on a slanted face."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Backdrop:
    """The object as the cloud is drawn over it.

    Attributes:
        camera: One camera.
        image: Its picture [H,W,3].
        depth: Its z-depth [H,W] in diagonals, 0 where nothing is hit.
    """

    camera: PinholeCameras
    image: Image
    depth: NDArray[np.float32]


def draw_cloud(
    backdrop: Backdrop,
    cloud: PointCloud,
    fresh: NDArray[np.bool_],
    spacing: NDArray[np.float32],
) -> Image:
    """Return the picture of a cloud [H,W,3].

    Args:
        backdrop: The object.
        cloud: Points with normals and colours.
        fresh: Which points to highlight [N].
        spacing: Distance of each point's neighbours in diagonals [N].
    """
    camera = backdrop.camera
    pixels, depth = camera.project(cloud.points)
    colours = _colours(cloud, fresh, camera)
    radius = np.maximum(spacing * camera.K[0, 0, 0] / depth[0], 1.0)
    image = backdrop.image.copy()
    nearest = np.full(backdrop.depth.shape, np.inf, np.float32)
    _splat(pixels[0], depth[0], radius, colours, image, backdrop.depth, nearest, _TOLERANCE)
    return image


def _colours(cloud: PointCloud, fresh: NDArray[np.bool_], camera: PinholeCameras) -> Image:
    albedo = np.asarray(cloud.colors, dtype=np.float32)
    tinted = np.where(fresh[:, None], 0.2 * albedo + 0.8 * np.asarray(NEW, np.float32), albedo)
    return lit(tinted, cloud.points, np.asarray(cloud.normals), camera.positions[0])


@kernel()
def _splat(
    pixels: Any, depth: Any, radius: Any, colours: Any,
    image: Any, surface: Any, nearest: Any, tolerance: Any,
) -> None:  # fmt: skip
    height, width, _ = image.shape
    for n in range(len(depth)):
        u, v, r, z = pixels[n, 0], pixels[n, 1], radius[n], depth[n]
        if not z > 0:
            continue
        for row in range(max(int(v - r), 0), min(int(v + r) + 1, height)):
            for column in range(max(int(u - r), 0), min(int(u + r) + 1, width)):
                x, y = column + 0.5 - u, row + 0.5 - v
                on_surface = abs(z - surface[row, column]) < tolerance
                if on_surface and x * x + y * y <= r * r and z < nearest[row, column]:
                    nearest[row, column] = z
                    for c in range(3):
                        image[row, column, c] = colours[n, c]
