"""The numbers a kernel needs of each camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.rendering.jit import kernel

Array = np.ndarray[Any, np.dtype[np.float64]]


class View(NamedTuple):
    """One camera.

    Attributes:
        matrix: [3, 3] world offset from the eye to (fx X, fy Y, Z).
        rays: [3, 3] its inverse: (u - cx, v - cy, 1) to the world direction with camera z = 1.
        eye: [3] optical centre, world.
        cx: Principal point as a column index (pixel centres are whole numbers).
        cy: Principal point as a row index.
    """

    matrix: Array
    rays: Array
    eye: Array
    cx: float
    cy: float


@dataclass(frozen=True)
class Views:
    """All cameras of a `PinholeCameras`, prepared at once."""

    matrices: Array
    rays: Array
    eyes: Array
    centres: Array

    @classmethod
    def of(cls, cameras: PinholeCameras) -> Views:
        """Prepare cameras; poses need not be rigid to the last bit, as both ways agree."""
        K = np.array(cameras.K, np.float64)
        centres = K[:, :2, 2] - 0.5
        K[:, :2, 2] = 0.0
        rays = cameras.cam2world[:, :3, :3] @ np.linalg.inv(K)
        return cls(
            matrices=np.ascontiguousarray(np.linalg.inv(rays)),
            rays=np.ascontiguousarray(rays),
            eyes=np.ascontiguousarray(cameras.cam2world[:, :3, 3]),
            centres=centres,
        )

    def __getitem__(self, index: int) -> View:
        cx, cy = self.centres[index]
        return View(self.matrices[index], self.rays[index], self.eyes[index], float(cx), float(cy))

    def __iter__(self) -> Iterator[View]:
        return (self[i] for i in range(len(self.eyes)))


@kernel()
def view_rays(view: View, row0: int, width: int, scale: float, directions: Array) -> None:
    """Write the ray through each pixel centre of a band of rows.

    Args:
        view: `View`.
        row0: First row.
        width: Pixels in a row.
        scale: Factor for all directions.
        directions: Out, [rows * width, 3] float32, world, camera z = `scale`.
    """
    rays = view.rays
    for n in range(len(directions)):
        u = n % width - view.cx
        v = n // width + row0 - view.cy
        for k in range(3):
            directions[n, k] = scale * (rays[k, 0] * u + rays[k, 1] * v + rays[k, 2])
