"""Depth of a car's cameras: from files where there are any, else splatted from its own LiDAR.

OPV2V itself has no depth. Three kinds of files are known: `.npy` in metres; OPV2V-H's PNG in whole
metres, saturating at 255; CARLA's raw PNG, 24 bits in three channels. In OPV2V-H's, 255 means "255
m or more", nearly always sky, so it is read as CARLA's sky (1000 m) and not as a surface at 255 m.
Everywhere 0 means unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.images import is_there, read_raw
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId
from gimbal_multicar.opv2v.naming import depth_npy_name, depth_png_name
from gimbal_multicar.opv2v.npy import map_npy
from gimbal_multicar.opv2v.own_cloud import cloud_in_car, without_body
from gimbal_multicar.opv2v.pcd import LidarPoints, read_pcd
from gimbal_vision.cameras import Pinhole
from gimbal_vision.poses import invert_pose, transform_points

Floats = np.ndarray[Any, np.dtype[np.float32]]
DepthSource = Literal["npy", "opv2v_h", "lidar", "none"]
DepthChoice = Literal["auto", "npy", "opv2v_h", "lidar", "none"]

SKY_M = 1000.0
"""Depth of CARLA's sky, and of its far plane."""
SATURATED = 255
HETERO_FOLDER = "OPV2V_Hetero"
NEAREST_M = 0.05

_NameOf = Callable[[str, str], str]
_PNG_NAMES: tuple[_NameOf, ...] = (
    depth_png_name,
    lambda frame, camera: depth_npy_name(frame, camera).replace(".npy", ".png"),
)


@dataclass(frozen=True, eq=False)
class DepthImages:
    """Depth of all cameras of a rig.

    Attributes:
        source: Where it comes from.
        z_depth_m: [H, W] float32 by the cameras' names, planar depth; 0 where unknown. Cameras
            without a file are unknown throughout; with the source `none` the mapping is empty.
        density: Share of all these pixels whose depth is known; the sky counts as known.
        points_car: With the source `lidar` the sweep itself, [P, 3] in the car's frame.
    """

    source: DepthSource
    z_depth_m: Mapping[str, Floats]
    density: float
    points_car: Floats | None = None


@dataclass(frozen=True)
class DepthFiles:
    """Finds and reads the depth of frames.

    Attributes:
        root: The data set.
        depth_root: Where depth files lie, laid out like the root; none: beside the images, or in
            OPV2V-H's parallel folder.
        choice: Which source is wanted.
    """

    root: Path
    depth_root: Path | None
    choice: DepthChoice

    def read(self, frame: CarFrame) -> DepthImages:
        """Return the depth of a frame.

        Raises:
            DatasetError: A file is damaged, does not fit its camera, or the source that is wanted
                has none for this frame.
        """
        if self.choice in ("auto", "npy"):
            found = self._found(frame, (depth_npy_name,))
            if found or self.choice == "npy":
                return self._of_files(frame, "npy", found, read_depth_npy)
        if self.choice in ("auto", "opv2v_h"):
            found = self._found(frame, _PNG_NAMES)
            if found or self.choice == "opv2v_h":
                return self._of_files(frame, "opv2v_h", found, read_depth_png)
        if self.choice == "lidar" or (self.choice == "auto" and is_there(frame.pcd_path)):
            return splat_lidar(frame, without_body(read_pcd(frame.pcd_path)))
        return DepthImages("none", {}, 0.0)

    def folders(self, frame: CarFrameId) -> tuple[Path, ...]:
        """Return where depth files of a car are looked for, in this order."""
        if self.depth_root is not None:
            roots = [self.depth_root, self.depth_root / HETERO_FOLDER]
        else:
            roots = [self.root, self.root / HETERO_FOLDER, self.root.parent / HETERO_FOLDER]
        return tuple(root / frame.split / frame.scenario / frame.agent for root in roots)

    def _found(self, frame: CarFrame, names: tuple[_NameOf, ...]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for camera in frame.rig.names:
            paths = (
                folder / name(frame.id.frame, camera)
                for folder in self.folders(frame.id)
                for name in names
            )
            path = next(filter(is_there, paths), None)
            if path is not None:
                found[camera] = path
        return found

    def _of_files(
        self,
        frame: CarFrame,
        source: DepthSource,
        found: Mapping[str, Path],
        read: Callable[[Path, tuple[int, int]], Floats],
    ) -> DepthImages:
        if not found:
            raise DatasetError(
                f"{frame.id} has no {source} depth in {self.folders(frame.id)[0]}",
                "check data.depth_root, or use data.depth=auto",
            )
        depths = {}
        for c in frame.rig.cameras:
            size = c.camera.height, c.camera.width
            path = found.get(c.name)
            depths[c.name] = read(path, size) if path else np.zeros(size, np.float32)
        return _measured(source, depths)


def read_depth_npy(path: Path, size: tuple[int, int]) -> Floats:
    """Read an array in metres; what is not finite or negative becomes 0.

    Args:
        path: A `.npy` file; pickled objects are refused.
        size: Height and width of the camera's image.

    Raises:
        DatasetError: It is damaged, or not an [H, W] array of numbers of that size.
    """
    mapped = map_npy(path)
    shape = mapped.shape
    if shape not in (size, (*size, 1)) or mapped.dtype.kind not in "fiu":
        raise _unfit(path, f"is {mapped.dtype} {list(shape)}", size)
    return _known(np.array(mapped, np.float32).reshape(size))


def read_depth_png(path: Path, size: tuple[int, int]) -> Floats:
    """Read OPV2V-H's depth (equal channels or one), or CARLA's raw depth (channels that differ).

    Args:
        path: A PNG file of 8 bits a channel.
        size: Height and width of the camera's image.

    Raises:
        DatasetError: It is damaged, of another size, or of 16 bits, whose unit nobody tells.
    """
    pixels = read_raw(path, size)
    if pixels.dtype != np.uint8:
        raise _unfit(path, f"has {pixels.dtype} values, of an unknown unit", size)
    if pixels.ndim == 3 and not (pixels == pixels[..., :1]).all():
        return decode_carla_depth(pixels)
    metres = pixels[..., 0] if pixels.ndim == 3 else pixels
    return np.where(metres == SATURATED, np.float32(SKY_M), metres.astype(np.float32))


def decode_carla_depth(rgb: np.ndarray[Any, Any]) -> Floats:
    """Return [H, W] metres of CARLA's raw depth: 1000 (R + 256 G + 65536 B) / (2^24 - 1)."""
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    metres: Floats = (SKY_M * (r + 256.0 * g + 65536.0 * b) / (2**24 - 1)).astype(np.float32)
    return metres


def splat_lidar(frame: CarFrame, cloud: LidarPoints) -> DepthImages:
    """Return depth where the car's own LiDAR has measured it: the nearest point of each pixel."""
    lidar_from_car = invert_pose(frame.world_from_lidar) @ frame.world_from_car
    depths = {
        c.name: splat(cloud.points, invert_pose(lidar_from_car @ c.car_from_camera), c.camera)
        for c in frame.rig.cameras
    }
    return replace(_measured("lidar", depths), points_car=cloud_in_car(frame, cloud.points))


def splat(points: Floats, camera_from_points: Any, camera: Pinhole) -> Floats:
    """Return [H, W] z-depth in metres of the nearest point in each pixel, 0 where there is none.

    Args:
        points: [P, 3] metres.
        camera_from_points: [4, 4] from their frame into the camera's.
        camera: Whose pixels.
    """
    local = transform_points(camera_from_points, points.astype(np.float64))
    local = local[local[:, 2] > NEAREST_M]
    pixels, _ = camera.project(local)
    columns, rows = np.floor(pixels).astype(np.int64).T
    seen = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    z = local[seen, 2].astype(np.float32)
    depth = np.full(camera.height * camera.width, np.inf, np.float32)
    np.minimum.at(depth, rows[seen] * camera.width + columns[seen], z)
    return _known(depth.reshape(camera.height, camera.width))


def _known(depth: Floats) -> Floats:
    """Return the depth with 0 for what is not finite or negative."""
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def _measured(source: DepthSource, depths: Mapping[str, Floats]) -> DepthImages:
    known = sum(int(np.count_nonzero(depth)) for depth in depths.values())
    return DepthImages(source, depths, known / sum(depth.size for depth in depths.values()))


def _unfit(path: Path, problem: str, size: tuple[int, int]) -> DatasetError:
    return DatasetError(
        f"{path} {problem}; its camera needs [{size[0]}, {size[1]}]",
        "write float32 metres of the image's own size, or use data.depth=lidar",
    )
