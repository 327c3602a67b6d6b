"""The data set: which cars exist when, and what each of them measured.

Nothing is read before it is asked for, and what is asked for is one file at a time: a set of
hundreds of gigabytes opens in a second. A reader can be sent to other processes and used by several
threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.calibration import car_frame, reference_pose
from gimbal_multicar.opv2v.depth import DepthChoice, DepthFiles, DepthImages
from gimbal_multicar.opv2v.depth_root import require_depth_root
from gimbal_multicar.opv2v.frame_cache import FrameCache
from gimbal_multicar.opv2v.frame_yaml import FrameRecord
from gimbal_multicar.opv2v.images import is_there, png_size, read_rgb
from gimbal_multicar.opv2v.layout import (
    Choice,
    Moment,
    Scenario,
    existing_splits,
    moments_of,
    scan_split,
)
from gimbal_multicar.opv2v.model import SPLITS, CarFrame, CarFrameId, Reference
from gimbal_multicar.opv2v.pcd import LidarPoints, read_pcd

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

_LOOKS_FOR_A_BOX = 5


class Opv2v:
    """OPV2V, or a set laid out like it.

    Args:
        root: Folder with `train`, `validate`, ... inside.
        depth_root: Folder of depth files laid out like the root; none: beside the images.
        depth: Which depth; `auto` takes `.npy`, then OPV2V-H's PNG, then the LiDAR, then none.
        reference: The car's frame. For `box_centre` the centre is looked up in what other cars of
            the scenario list, the same for all frames of a car.
        road_side_units: Whether agents with negative ids count; they come last.
        max_cars: Agents of one scenario beyond this many are left out.
        min_cars: Moments with fewer agents are left out.
        frame_stride: Every so many frames of a scenario.
        splits: Those that exist are used.
        cache_dir: Where parsed frames are kept; none: nowhere.

    Raises:
        DatasetError: The root is no data set; the message says what it seems to be. Or
            `depth_root` is no folder, or holds no depth of the kind that is asked for.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        depth_root: Path | str | None = None,
        depth: DepthChoice = "auto",
        reference: Reference = "lidar",
        road_side_units: bool = False,
        max_cars: int = 7,
        min_cars: int = 1,
        frame_stride: int = 1,
        splits: Sequence[str] = SPLITS,
        cache_dir: Path | None = None,
    ) -> None:
        self.root = Path(root)
        self.reference = reference
        self._splits = existing_splits(self.root, splits)
        self._choice = Choice(
            road_side_units=road_side_units,
            max_cars=max_cars,
            min_cars=min_cars,
            frame_stride=frame_stride,
        )
        self._depth = DepthFiles(self.root, Path(depth_root) if depth_root else None, depth)
        require_depth_root(self._depth, self._splits)
        self._cache = FrameCache(self.root, cache_dir)
        self._scans: dict[str, tuple[Scenario, ...]] = {}
        self._box_centres: dict[tuple[str, str, str], FloatArray | None] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that were asked for and exist."""
        return self._splits

    def scenarios(self, split: str) -> tuple[Scenario, ...]:
        """Return the scenarios of a split with every agent and frame, whatever the settings.

        Raises:
            DatasetError: The split does not exist or holds no frame.
        """
        if split not in self._splits:
            raise DatasetError(
                f"{self.root} has no split {split!r}", f"it has {', '.join(self._splits)}"
            )
        if split not in self._scans:
            self._scans[split] = scan_split(self.root, split)
        return self._scans[split]

    def moments(self, split: str) -> Sequence[Moment]:
        """Return the moments of a split by scenario and time; only folders are listed.

        Raises:
            DatasetError: See `scenarios`.
        """
        return [m for s in self.scenarios(split) for m in moments_of(s, self._choice)]

    def car_frames(self, split: str) -> Sequence[CarFrameId]:
        """Return the cars of all moments of a split.

        Raises:
            DatasetError: See `scenarios`.
        """
        return [frame_id for moment in self.moments(split) for frame_id in moment.ids]

    def read(self, frame_id: CarFrameId) -> CarFrame:
        """Read one car at one moment: its YAML file alone.

        Raises:
            DatasetError: The file is missing, damaged or lacks something; the message names it.
        """
        folder = self._folder(frame_id)
        path = folder / f"{frame_id.frame}.yaml"
        record = self._cache.read(path)
        centre = self._box_centre(frame_id) if self.reference == "box_centre" else None
        pose = reference_pose(record, self.reference, path, centre)
        return car_frame(
            record,
            frame_id,
            folder,
            pose,
            lambda camera: png_size(folder / f"{frame_id.frame}_{camera}.png"),
        )

    def images(self, frame: CarFrame) -> Mapping[str, Bytes]:
        """Return [H, W, 3] RGB by camera, of the cameras whose file exists.

        Raises:
            DatasetError: A file is damaged, of another size than its calibration's, or a link to
                nothing.
        """
        return {
            c.name: read_rgb(path, (c.camera.height, c.camera.width))
            for c in frame.rig.cameras
            if is_there(path := frame.image_path(c.name))
        }

    def depths(self, frame: CarFrame) -> DepthImages:
        """Return the depth of the cameras, from the source that was chosen.

        Raises:
            DatasetError: See `DepthFiles.read`.
        """
        return self._depth.read(frame)

    def points(self, frame: CarFrame) -> LidarPoints:
        """Return the LiDAR's sweep in its own OpenCV axes.

        Raises:
            DatasetError: The file is missing or damaged.
        """
        return read_pcd(frame.pcd_path)

    def _folder(self, frame_id: CarFrameId) -> Path:
        return self.root / frame_id.split / frame_id.scenario / frame_id.agent

    def _box_centre(self, frame_id: CarFrameId) -> FloatArray | None:
        """Return [3] centre of the car's own box, which only other cars list; none: not found."""
        key = frame_id.split, frame_id.scenario, frame_id.agent
        if key not in self._box_centres:
            found = (r.vehicles[r.vehicle_ids.index(key[2])] for r in self._others(*key))
            numbers = next(found, None)
            self._box_centres[key] = None if numbers is None else numbers[6:9]
        return self._box_centres[key]

    def _others(self, split: str, scenario: str, agent: str) -> Iterator[FrameRecord]:
        """Give some frames of other cars that list this one, always in the same order."""
        named = (s.frames for s in self.scenarios(split) if s.name == scenario)
        for other, frames in next(named, {}).items():
            step = max(1, len(frames) // _LOOKS_FOR_A_BOX)
            for frame in frames[::step] if other != agent else ():
                path = self.root / split / scenario / other / f"{frame}.yaml"
                try:
                    record = self._cache.read(path)
                except DatasetError:
                    continue  # whoever asks for that frame is told
                if agent in record.vehicle_ids:
                    yield record

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_scans": {}}
