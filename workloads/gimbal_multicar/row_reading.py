"""From a row of Arrow back to what it was written from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gimbal_vision.cameras import Cylindrical, Equirectangular, Panorama, Pinhole
from gimbal_vision.panoramas.model import PanoramaImage
from gimbal_vision.panoramas.rig import Rig, RigCamera

Row = Mapping[str, Any]

_MODELS: Mapping[str, type[Panorama]] = {
    kind.camera_model: kind for kind in (Equirectangular, Cylindrical)
}


def camera_of(row: Row) -> Panorama:
    """Return the panorama's geometry of a row."""
    height, width = row["coverage"].shape
    _, fy, _, cy, _ = (float(value) for value in row["virtual_camera"])
    return _MODELS[row["camera_model"]](height=height, width=width, fy=fy, cy=cy)


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
