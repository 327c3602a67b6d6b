"""From a row of Arrow back to what it was written from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from gimbal_multicar.rows import CAMERA_NUMBERS
from gimbal_vision.cameras import Panorama, Pinhole, camera_from
from gimbal_vision.panoramas.model import PanoramaImage
from gimbal_vision.panoramas.rig import Rig, RigCamera

Row = Mapping[str, Any]


def camera_of(row: Row) -> Panorama:
    """Return the panorama's geometry of a row."""
    height, width = row["coverage"].shape
    numbers = dict(zip(CAMERA_NUMBERS, row["virtual_camera"], strict=True))
    described = {"model": row["camera_model"], "height": height, "width": width, **numbers}
    return cast("Panorama", camera_from(described))


def rig_of(row: Row) -> Rig:
    """Return the cameras of a row."""
    names = row["camera_names"].split(",")
    parts = zip(names, row["camera_K"], row["camera_size"], row["car_from_camera"], strict=True)
    return Rig(tuple(RigCamera(name, _pinhole(K, size), pose) for name, K, size, pose in parts))


def image_of(row: Row) -> PanoramaImage:
    """Return the panorama of a row; its arrays are views on the file where the row's are."""
    return PanoramaImage(
        camera=camera_of(row),
        rgb=np.asarray(row["rgb"]),
        range_m=np.asarray(row["range_m"]),
        coverage=np.asarray(row["coverage"]),
        non_ambiguous=np.asarray(row["non_ambiguous"]),
        valid=np.asarray(row["valid"]),
        camera_index=np.asarray(row["camera_index"]),
        moved_share=float(row["moved_share"]),
    )


def _pinhole(K: Any, size: Any) -> Pinhole:
    return Pinhole(
        fx=float(K[0, 0]),
        fy=float(K[1, 1]),
        cx=float(K[0, 2]),
        cy=float(K[1, 2]),
        height=int(size[0]),
        width=int(size[1]),
    )
