"""Where rays go and how far: of the cameras as they are, and of the panorama made from them.

The source asks for these numbers before anything is switched to panoramas, as a baseline: whoever
compares a model on pinholes with one on panoramas should know how differently both look at a scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gimbal_multicar.row_reading import camera_of, rig_of
from gimbal_vision.cameras import CameraModel

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


def ray_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers of the panorama and of each camera of one row."""
    panorama = camera_of(row)
    covered = np.asarray(row["coverage"])
    cameras = {
        c.name: _numbers(c.camera, c.car_from_camera[:3, :3], None) for c in rig_of(row).cameras
    }
    return {"panorama": _numbers(panorama, np.eye(3), covered), "cameras": cameras}


def _numbers(model: CameraModel, car_from_camera: Floats, seen: Any) -> dict[str, float]:
    """Return angles in degrees (elevation upwards) and steradians of the pixels that are seen."""
    rays = model.rays() @ car_from_camera.T
    weights = model.solid_angle()
    if seen is not None:
        rays, weights = rays[seen], weights[seen]
    elevation = -np.degrees(np.arcsin(np.clip(rays[..., 1], -1.0, 1.0)))
    mean = (rays * weights[..., None]).reshape(-1, 3).sum(0) / weights.sum()
    return {
        "pixels": int(weights.size),
        "steradians": float(weights.sum()),
        "elevation_min_deg": float(elevation.min()),
        "elevation_max_deg": float(elevation.max()),
        "elevation_mean_deg": float((elevation * weights).sum() / weights.sum()),
        "azimuth_deg": float(np.degrees(np.arctan2(mean[0], mean[2]))),
        "concentration": float(np.linalg.norm(mean)),
    }
