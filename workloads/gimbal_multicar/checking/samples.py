"""Which moments are looked at closely, and what is read of each car there.

Moments are spread over a split, one drawn from each of as many equal parts, so that few samples
still meet many scenarios. A file that cannot be read is noted, not raised: it is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.errors import GimbalError
from gimbal_multicar.opv2v.images import read_rgb
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId
from gimbal_multicar.spreading import spread
from gimbal_vision.cameras import Pinhole
from gimbal_vision.panoramas.legacy import legacy_crop
from gimbal_vision.panoramas.rig import Rig, RigCamera
from gimbal_vision.poses import invert_pose, transform_points

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.reader import Opv2v

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Doubles = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True, eq=False, kw_only=True)
class CarSample:
    """One car at one moment, with all its files read.

    Attributes:
        frame: As the reader gives it.
        rig: The cameras as calibrated: image sizes are those that the principal points imply, not
            those of the files.
        images: Camera to [h, w, 3] uint8, of any size; without cameras whose file is missing.
        depth_source: `npy`, `opv2v_h`, `lidar` or `none`.
        depth_density: Share of the cameras' pixels with depth.
        depths: Camera to [h, w] float32 as stored (z-depth in metres, if it is as it should be).
        points_lidar: [P, 3] in the LiDAR's OpenCV axes; None where there are none.
    """

    frame: CarFrame
    rig: Rig
    images: Mapping[str, Bytes]
    depth_source: str
    depth_density: float
    depths: Mapping[str, Floats]
    points_lidar: Floats | None

    @property
    def place(self) -> str:
        """`split/scenario/agent`."""
        return f"{self.frame.id.split}/{self.frame.id.label}"

    @property
    def rig_on_disk(self) -> Rig:
        """The cameras whose images are there, as those images must have been made.

        An image that has another size than calibrated is taken to have been scaled to cover its
        own size and cropped to its middle; a mere scaling is a case of that.
        """
        here = [c for c in self.rig.cameras if c.name in self.images]
        sizes = [self.images[c.name].shape[:2] for c in here]
        return Rig(
            tuple(
                RigCamera(c.name, as_on_disk(c.camera, *size), c.car_from_camera)
                for c, size in zip(here, sizes, strict=True)
            )
        )


def implied_camera(camera: Pinhole) -> Pinhole:
    """Return the camera with the image size that puts its principal point in the middle."""
    return replace(camera, height=round(2.0 * camera.cy), width=round(2.0 * camera.cx))


def as_on_disk(camera: Pinhole, height: int, width: int) -> Pinhole:
    """Return the model of a file of that size; see `CarSample.rig_on_disk`."""
    if (height, width) == (camera.height, camera.width):
        return camera
    return legacy_crop(camera, height, width)


def points_in_car(sample: CarSample) -> Doubles:
    """Return [P, 3] LiDAR points in the car's frame; the sample must have some."""
    car_from_lidar = invert_pose(sample.frame.world_from_car) @ sample.frame.world_from_lidar
    return np.asarray(transform_points(car_from_lidar, np.asarray(sample.points_lidar, np.float64)))


def chosen_cars(dataset: Opv2v, split: str, moments: int, seed: int) -> list[CarFrameId]:
    """Return the cars of some moments of a split."""
    return [
        CarFrameId(split, moment.scenario, agent, moment.frame)
        for moment in spread(dataset.moments(split), moments, seed=seed)
        for agent in moment.agents
    ]


def read_samples(
    dataset: Opv2v, ids: Sequence[CarFrameId], unreadable: dict[str, str]
) -> Iterator[CarSample | None]:
    """Yield each car's files, None where its YAML or all its images cannot be read.

    Args:
        dataset: Where from.
        ids: Which.
        unreadable: Receives what could not be read, car and frame to the reason.
    """
    for frame_id in ids:
        try:
            yield _read(dataset, dataset.read(frame_id), unreadable)
        except GimbalError as error:
            unreadable[str(frame_id)] = error.message
            yield None


def _read(dataset: Opv2v, frame: CarFrame, unreadable: dict[str, str]) -> CarSample:
    rig = Rig(
        tuple(
            RigCamera(c.name, implied_camera(c.camera), c.car_from_camera)
            for c in frame.rig.cameras
        )
    )
    source, density, depths, points = "none", 0.0, {}, None
    try:
        depth = dataset.depths(frame)
        source, density, depths = depth.source, depth.density, dict(depth.z_depth_m)
    except GimbalError as error:
        unreadable[f"{frame.id} depth"] = error.message
    try:
        points = dataset.points(frame).points if frame.pcd_path.exists() else None
    except GimbalError as error:
        unreadable[f"{frame.id} points"] = error.message
    return CarSample(
        frame=frame,
        rig=rig,
        images=_images(frame, unreadable),
        depth_source=source,
        depth_density=density,
        depths=depths,
        points_lidar=points,
    )


def _images(frame: CarFrame, unreadable: dict[str, str]) -> dict[str, Bytes]:
    """Return the images that can be read, of whatever size: a wrong size is found elsewhere."""
    images = {}
    for name in frame.rig.names:
        path = frame.image_path(name)
        if not path.is_file():
            continue
        try:
            images[name] = read_rgb(path)
        except GimbalError as error:
            unreadable[f"{frame.id} {name}"] = error.message
    return images
