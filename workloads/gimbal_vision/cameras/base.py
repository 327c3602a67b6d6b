"""What every camera model promises: one image geometry in the camera's own axes.

OpenCV axes (x right, y down, z forward), pixel centres at (column + .5, row + .5). A model knows no
pose: whoever has one moves points into the camera's axes first. Distances are *ranges* (along the
ray) everywhere, never z-depths: half of a panorama has z <= 0, where a z-depth means nothing.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


@runtime_checkable
class CameraModel(Protocol):
    """An image geometry; equal ones have equal hashes, so that what follows from it can be kept."""

    def __hash__(self) -> int:
        """Return the same number for equal geometries."""
        ...

    @property
    def camera_model(self) -> str:
        """Its name in data and configs: `pinhole`, `equirectangular` or `cylindrical`."""
        ...

    @property
    def height(self) -> int:
        """Image height in pixels."""
        ...

    @property
    def width(self) -> int:
        """Image width in pixels."""
        ...

    def rays(self) -> FloatArray:
        """Return [H, W, 3] float64 unit directions through the pixel centres, camera axes."""
        ...

    def project(self, points_camera: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return where points are seen.

        Args:
            points_camera: [..., 3] in camera axes.

        Returns:
            Pixel coordinates (u, v) [..., 2], NaN where the model cannot see the point (behind a
            pinhole, at the origin), and ranges [...]. They may lie outside the image, except that
            u of a full panorama is always in [0, W).
        """
        ...

    def solid_angle(self) -> FloatArray:
        """Return [H, W] float64 steradians that each pixel covers, exact for the model."""
        ...
