"""One moment of any rig becomes a panorama, by the builder that OPV2V's cars go through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from gimbal.errors import ConfigError
from gimbal.experiment.loading import default_settings
from gimbal.experiment.overrides import parse_override
from gimbal_multicar.config import DataSettings, MulticarConfig
from gimbal_multicar.fusing import fuse_images, panorama_camera
from gimbal_multicar.rigs.axes import angles_of
from gimbal_multicar.rigs.images import RigImages
from gimbal_multicar.workload import MulticarWorkload
from gimbal_vision.cameras import describe
from gimbal_vision.panoramas.coverage import camera_shares, expected_coverage, expected_overlap
from gimbal_vision.panoramas.model import PanoramaImage
from gimbal_vision.panoramas.rig import Rig

ALLOWED = ("data.panorama", "data.legacy_crop", "data.cache_dir")


@dataclass(frozen=True, eq=False, kw_only=True)
class RigPanorama:
    """A panorama of a rig's moment, and the numbers to judge it by.

    Attributes:
        image: The panorama.
        record: Plain values for a file, a table or a program: the panorama's geometry, expected
            and measured coverage, masks, and what each camera contributes.
    """

    image: PanoramaImage
    record: dict[str, Any]


def fuse_settings(overrides: Sequence[str]) -> DataSettings:
    """Return the settings that `key=value` overrides ask for.

    Raises:
        ConfigError: A key does not exist, has a wrong value, or has nothing to do with fusing.
    """
    for text in overrides:
        key = ".".join(parse_override(text).keys)
        if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in ALLOWED):
            raise ConfigError(
                f"override {text!r} has no effect on fusing one moment",
                "change data.panorama.*, such as data.panorama.height=252",
            )
    base = {"workload": "multicar", "experiment": "fuse"}
    settings = cast("MulticarConfig", default_settings(MulticarWorkload(), base, overrides))
    return settings.data


def fuse_rig(read: RigImages, data: DataSettings) -> RigPanorama:
    """Return the panorama of the cameras that have an image.

    Raises:
        VisionError: Calibration and images do not fit, or a warp needs depth that is not there.
    """
    fused = fuse_images(read.rig, read.images, read.depths, data)
    rig, image = fused.rig, fused.image
    record = {
        "panorama": describe(image.camera),
        "warp": fused.warp,
        "blend": data.panorama.blend,
        **_coverages(rig, image, data),
        "non_ambiguous": _share(image.non_ambiguous),
        "valid": _share(image.valid),
        "moved_share": image.moved_share,
        "cameras": _cameras(rig, read, image, data),
        "missing": list(read.missing),
        "without_depth": list(read.without_depth),
        "unused": list(read.unused),
    }
    return RigPanorama(image=image, record=record)


def _coverages(rig: Rig, image: PanoramaImage, data: DataSettings) -> dict[str, float]:
    camera, margin = panorama_camera(data.panorama), data.panorama.view_selection_margin
    return {
        "expected_coverage": expected_coverage(rig, camera, margin),
        "coverage": _share(image.coverage),
        "expected_overlap": expected_overlap(rig, camera, margin),
    }


def _cameras(
    rig: Rig, read: RigImages, image: PanoramaImage, data: DataSettings
) -> list[dict[str, Any]]:
    camera, margin = panorama_camera(data.panorama), data.panorama.view_selection_margin
    shares = camera_shares(rig, camera, margin)
    rows = []
    for index, mounted in enumerate(rig.cameras):
        yaw, pitch, roll = angles_of(mounted.car_from_camera)
        depth = None if read.depths is None else read.depths[mounted.name]
        rows.append(
            {
                "name": mounted.name,
                "width": mounted.camera.width,
                "height": mounted.camera.height,
                "hfov_deg": mounted.camera.hfov_deg,
                "vfov_deg": mounted.camera.vfov_deg,
                "yaw_deg": yaw,
                "pitch_deg": pitch,
                "roll_deg": roll,
                "from_centre_m": float(np.linalg.norm(mounted.car_from_camera[:3, 3])),
                "sees": shares[mounted.name],
                "gives": _share(image.camera_index == index),
                "depth_density": None if depth is None else _share(depth > 0),
            }
        )
    return rows


def _share(mask: np.ndarray[Any, Any]) -> float:
    return float(np.mean(mask))
