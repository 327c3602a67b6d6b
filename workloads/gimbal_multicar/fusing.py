"""One car at one moment: from its files to its panorama, the same way for a stage and a preview.

CARLA writes poses in single precision, so the cameras of one car move by tens of micrometres
against each other from frame to frame, and no two frames would share a table of where each pixel
comes from. A rig is therefore steadied first: poses are rounded to a millimetre and to a tenth of a
milliradian, which moves nothing by a fiftieth of a pixel.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gimbal_multicar.caching import cache_folder
from gimbal_multicar.data_settings import DataSettings, PanoramaSettings
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId
from gimbal_multicar.rows import RowSource
from gimbal_vision.cameras import Cylindrical, Equirectangular, Panorama
from gimbal_vision.lie import so3_exp, so3_log
from gimbal_vision.panoramas.exposure import exposure_jitter
from gimbal_vision.panoramas.legacy import legacy_crop_depth, legacy_crop_image, legacy_crop_rig
from gimbal_vision.panoramas.model import BuildOptions, PanoramaImage, Warp
from gimbal_vision.panoramas.rig import Rig, RigCamera

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.reader import Opv2v
    from gimbal_vision.panoramas.builder import PanoramaBuilder

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Floats64 = np.ndarray[Any, np.dtype[np.floating[Any]]]

STEADY_M = 1e-3
STEADY_RAD = 1e-4


@dataclass(frozen=True, eq=False, kw_only=True)
class Fused:
    """A panorama with what it was made of.

    Attributes:
        frame: Its rig is the one used: steady, without cameras whose image is missing, cropped
            where the source's crop is asked for.
        images: By camera, as they went into the panorama.
        image: The panorama.
        source: Where its pixels come from.
        warp: What depth was used for.
    """

    frame: CarFrame
    images: Mapping[str, Bytes]
    image: PanoramaImage
    source: RowSource
    warp: Warp


def open_dataset(data: DataSettings) -> Opv2v:
    """Open the data set that `data.root` names.

    Raises:
        DatasetError: There is none, or `data.root` is null.
    """
    from gimbal_multicar.opv2v.reader import Opv2v

    if data.root is None:
        raise DatasetError("data.root is null", "name the folder of OPV2V: data.root=/data/OPV2V")
    return Opv2v(
        data.root.absolute(),
        depth_root=data.depth_root.absolute() if data.depth_root else None,
        depth=data.depth,
        reference=data.reference,
        road_side_units=data.road_side_units,
        max_cars=data.max_cars,
        min_cars=data.min_cars,
        frame_stride=data.frame_stride,
        splits=data.splits,
        cache_dir=cache_folder(data.cache_dir),
    )


def panorama_camera(settings: PanoramaSettings) -> Panorama:
    """Return the geometry that the settings describe."""
    size = settings.height, settings.width
    if settings.camera_model == "cylindrical":
        return Cylindrical.from_vfov(*size, settings.vfov_deg)
    return Equirectangular.from_vfov(*size, cast("float", settings.vfov_deg))


def build_options(settings: PanoramaSettings, warp: Warp) -> BuildOptions:
    """Return how the settings want images fused."""
    return BuildOptions(
        blend=settings.blend,
        feather_px=settings.feather_px,
        min_cos_view_angle=settings.view_selection_margin,
        warp=warp,
    )


def fuse(dataset: Opv2v, frame_id: CarFrameId, data: DataSettings, seed: int = 0) -> Fused:
    """Read one car at one moment and fuse its cameras.

    Args:
        dataset: The opened set.
        frame_id: Which car and moment.
        data: How.
        seed: Of the exposure jitter, where `data` asks for one.

    Raises:
        DatasetError: A file of it is missing or broken; the message names it.
        VisionError: Its calibration and its images do not fit each other.
    """
    frame = dataset.read(frame_id)
    images = dataset.images(frame)
    if not images:
        raise DatasetError(
            f"{frame.folder}: no camera of {frame_id.frame} has an image",
            "unpack the images beside the YAML files",
        )
    depth = dataset.depths(frame)
    rig = steady(frame.rig.only(images))
    if data.exposure_jitter:
        images = _jittered(images, data.exposure_jitter, seed)
    fused = fuse_images(rig, images, depth.z_depth_m, data, points_car=depth.points_car)
    return Fused(
        frame=replace(frame, rig=fused.rig),
        images=fused.images,
        image=fused.image,
        source=RowSource(source="opv2v", depth_source=depth.source, depth_density=depth.density),
        warp=fused.warp,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class FusedImages:
    """A panorama of images in memory.

    Attributes:
        rig: The rig of the images as they were fused, cropped where that is asked for.
        images: By camera, likewise.
        image: The panorama.
        warp: What depth was used for.
    """

    rig: Rig
    images: Mapping[str, Bytes]
    image: PanoramaImage
    warp: Warp


def fuse_images(
    rig: Rig,
    images: Mapping[str, Bytes],
    depths: Mapping[str, Floats] | None,
    data: DataSettings,
    *,
    points_car: Floats | None = None,
) -> FusedImages:
    """Fuse images of one moment; a run, a check and a rig of one's own all do it here.

    Args:
        rig: Cameras that all have an image.
        images: [h, w, 3] uint8 by camera; of others too, which are left out.
        depths: [h, w] float32 z-depth by camera; cameras without are unknown throughout, and
            nothing at all is as good as None.
        data: `panorama`, `legacy_crop` and `cache_dir` count.
        points_car: [P, 3] float32 the cloud that the depths were made of, in the car's frame:
            `ranges` takes the points themselves instead.

    Raises:
        VisionError: Calibration and images do not fit, or a warp needs depth that is not there.
    """
    shown = {name: images[name] for name in rig.names}
    known = _depths_of(rig, depths) if depths else None
    if data.legacy_crop:
        size = data.panorama.height, data.panorama.width
        rig = legacy_crop_rig(rig, *size)
        shown = {name: legacy_crop_image(image, *size) for name, image in shown.items()}
        known = [legacy_crop_depth(depth, *size) for depth in known] if known else None
    warp = chosen_warp(data.panorama, known, points_car)
    builder = builder_of(rig, data.panorama, warp, cache_folder(data.cache_dir))
    if warp == "ranges" and points_car is not None:
        image = builder.build(list(shown.values()), points=points_car)
    else:
        image = builder.build(list(shown.values()), known)
    return FusedImages(rig=rig, images=shown, image=image, warp=warp)


def _depths_of(rig: Rig, depths: Mapping[str, Floats]) -> list[Floats]:
    return [
        depths[c.name]
        if c.name in depths
        else np.zeros((c.camera.height, c.camera.width), np.float32)
        for c in rig.cameras
    ]


def _jittered(images: Mapping[str, Bytes], strength: float, seed: int) -> dict[str, Bytes]:
    jittered = exposure_jitter(list(images.values()), np.random.default_rng(seed), strength)
    return dict(zip(images, jittered, strict=True))


def steady(rig: Rig) -> Rig:
    """Return the rig with poses rounded, so that frames of one car share their tables."""
    return Rig(tuple(RigCamera(c.name, c.camera, _rounded(c.car_from_camera)) for c in rig.cameras))


def _rounded(pose: Floats64) -> Floats64:
    rounded = np.eye(4)
    turn = _one_sided(np.asarray(so3_log(pose[:3, :3])))
    rounded[:3, :3] = so3_exp(np.round(turn / STEADY_RAD) * STEADY_RAD)
    rounded[:3, 3] = np.round(pose[:3, 3] / STEADY_M) * STEADY_M
    return rounded


def _one_sided(turn: Floats64) -> Floats64:
    """Return the same rotation vector; near half a turn, of the two that mean it always one.

    A camera that looks backwards is turned by 180 degrees, where the last digits decide the sign.
    """
    angle = float(np.linalg.norm(turn))
    if np.pi - angle > 10 * STEADY_RAD or turn[np.abs(turn).argmax()] > 0:
        return turn
    return turn * (1.0 - 2.0 * np.pi / angle)


def chosen_warp(
    settings: PanoramaSettings, depths: Sequence[Floats] | None, points_car: Floats | None
) -> Warp:
    """Return what depth is used for; `auto` depends on whether there is any, and how dense."""
    if settings.warp != "auto":
        return settings.warp
    from gimbal_vision.panoramas.builder import depth_is_dense

    if points_car is not None:
        return "ranges"
    if depths is None:
        return "rotation"
    return "splat" if depth_is_dense(depths) else "ranges"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Making:
    """What a builder depends on; a rig counts by its digest."""

    digest: str
    camera: Panorama
    options: BuildOptions
    cache_dir: Path
    rig: Rig = field(compare=False)


def builder_of(
    rig: Rig, settings: PanoramaSettings, warp: Warp, cache_dir: Path
) -> PanoramaBuilder:
    """Return the builder of a rig; one process makes each once, and all share tables on disk."""
    return _builder(
        _Making(
            digest=rig.digest,
            camera=panorama_camera(settings),
            options=build_options(settings, warp),
            cache_dir=cache_dir,
            rig=rig,
        )
    )


@functools.lru_cache(maxsize=16)
def _builder(making: _Making) -> PanoramaBuilder:
    from gimbal_vision.panoramas.builder import PanoramaBuilder

    return PanoramaBuilder(
        making.rig, making.camera, making.options, cache_dir=making.cache_dir / "tables"
    )
