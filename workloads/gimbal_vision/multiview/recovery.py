"""Which camera predicted rays are of: a pinhole only where a pinhole is expected.

A pinhole fitted to a panorama's rays gives numbers without meaning and no error (multicar.md A9),
so the fit follows the name that the view carries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.cameras.base import CameraModel
from gimbal_vision.cameras.dispatch import DEFAULT_MODEL, model_name
from gimbal_vision.cameras.recovery import RayFit, fit_panorama, fit_pinhole

PREDICTED_TOLERANCE_DEG = 3.0
"""Root mean square angle up to which predicted rays count as those of a camera."""


def recover_camera(
    rays: ArrayLike, camera_model: str | None, tolerance_deg: float = PREDICTED_TOLERANCE_DEG
) -> RayFit[CameraModel]:
    """Return the camera behind predicted rays, and how far they are from its own.

    Args:
        rays: [H, W, 3] directions, camera axes.
        camera_model: What the view says it is; none: a pinhole. Of panoramas the nearer of the two
            models is taken, whichever of them is named.
        tolerance_deg: Largest residual that is no error.

    Raises:
        CameraError: The name is unknown, or no such camera comes near the rays.
    """
    field = np.asarray(rays, np.float64)
    if model_name(camera_model) == DEFAULT_MODEL:
        return fit_pinhole(field, tolerance_deg)
    return fit_panorama(field, tolerance_deg)
