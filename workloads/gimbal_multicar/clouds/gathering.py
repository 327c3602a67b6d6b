"""The cars of one cooperative moment, from a data set's files or from a finished run's rows.

Both ways end in the same rows, so what follows cannot tell them apart. Of a data set only the
poses are read until the moment is found; no picture is decoded for moments that are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gimbal.data.stage import seed_of_item
from gimbal.errors import ConfigError
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.cooperation.moments import CoopMoment, CoopRule, coop_moments
from gimbal_multicar.cooperation.views import View, car_view, main_from_cars
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.fusing import fuse, open_dataset
from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.previewing.looking import (
    dataset_record,
    multicar_run,
    panoramas_folder,
    run_record,
)
from gimbal_multicar.row_reading import camera_of, image_of
from gimbal_multicar.rows import panorama_row
from gimbal_vision.cameras import Panorama
from gimbal_vision.panoramas.model import PanoramaImage

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.layout import Moment
    from gimbal_multicar.opv2v.reader import Opv2v

Row = Mapping[str, Any]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
PoseSource = Literal["gt", "pred"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Car:
    """One car of the moment.

    Attributes:
        agent: Its id.
        row: See `gimbal_multicar.rows`.
        main_from_car: [4, 4] its pose in the main car's frame.
        view: See `gimbal_multicar.cooperation.car_view`.
    """

    agent: str
    row: Row
    main_from_car: Doubles
    view: View

    @property
    def camera(self) -> Panorama:
        """Geometry of its panorama."""
        return camera_of(self.row)

    @property
    def image(self) -> PanoramaImage:
        """Its panorama."""
        return image_of(self.row)

    @property
    def points_main(self) -> Floats:
        """Return [P, 3] its known points in the main car's frame, in the order of pixels."""
        points: Floats = self.view["pts3d"][self.view["valid_mask"]]
        return points

    @property
    def colours(self) -> Bytes:
        """Return [P, 3] their colours."""
        colours: Bytes = np.asarray(self.row["rgb"])[self.view["valid_mask"]]
        return colours


@dataclass(frozen=True, eq=False, kw_only=True)
class Gathered:
    """The cars of one moment, the main one first, in its frame.

    Attributes:
        moment: Who, where and when.
        index: Number of the moment in its split, under the rule.
        cars: In the moment's order.
        pose_source: Where poses come from.
        rule: Which cars belong together.
        unreadable: Messages of cars that were passed over on the way, because a file is broken.
        record: What made it: run or data set, commit, config.
    """

    moment: CoopMoment
    index: int
    cars: tuple[Car, ...]
    pose_source: PoseSource
    rule: CoopRule
    unreadable: tuple[str, ...]
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the files' names begin with: `train_idx0`."""
        return f"{self.moment.split}_idx{self.index}"

    @property
    def title(self) -> str:
        """Split, scenario and frame."""
        return f"{self.moment.split}/{self.moment.scenario}/{self.moment.frame}"


def gather_dataset(config: MulticarConfig, split: str, index: int, rule: CoopRule) -> Gathered:
    """Fuse the cars of one moment of a data set at their true poses.

    Args:
        config: Its `data` names the set; `data.splits` holds `split` alone.
        split: Of the set.
        index: Among the split's cooperative moments, by scenario and time.
        rule: Which cars belong together.

    Raises:
        ConfigError: There are not so many.
        DatasetError: A file of the moment's cars is missing or broken.
    """
    dataset = open_dataset(config.data)
    unreadable: list[str] = []
    moment = _nth(_cooperative(dataset, split, rule, unreadable), index, split, rule)
    rows = [_fused_row(dataset, config, moment, agent) for agent in moment.agents]
    return Gathered(
        moment=moment,
        index=index,
        cars=cars_of(rows),
        pose_source="gt",
        rule=rule,
        unreadable=tuple(unreadable),
        record=dataset_record(config),
    )


def gather_run(reference: str, runs_dir: Path, split: str, index: int, rule: CoopRule) -> Gathered:
    """Read the cars of one moment of a finished run, at their true poses.

    Args:
        reference: See `gimbal.experiment.run_finding.find`; `latest` is the newest multi-car run.
        runs_dir: The folder of all runs.
        split: Of its rows.
        index: Among the split's cooperative moments, by scenario and time.
        rule: Which cars belong together.

    Raises:
        ConfigError: There is no such run, it has no panoramas, or not so many moments.
        StorageError: Its files are damaged.
    """
    run = multicar_run(reference, runs_dir)
    return gather_stage(panoramas_folder(run), (split, index), rule, run_record(run))


def gather_stage(
    stage_dir: Path, place: tuple[str, int], rule: CoopRule, record: Mapping[str, Any]
) -> Gathered:
    """Read the cars of one moment of a finished stage `panoramas`.

    Args:
        stage_dir: Its folder.
        place: Split, and index among its cooperative moments.
        rule: Which cars belong together.
        record: What made it.

    Raises:
        ConfigError: There are not so many moments.
        StorageError: Its files are damaged.
    """
    from gimbal_multicar.cooperation.dataset import CoopPanoramas

    split, index = place
    data = CoopPanoramas(stage_dir, split, rule)
    moment = _nth(iter(data.moments), index, split, rule)
    return Gathered(
        moment=moment,
        index=index,
        cars=cars_of([data.reader[row] for row in moment.rows]),
        pose_source="gt",
        rule=rule,
        unreadable=(),
        record=record,
    )


def cars_of(rows: Sequence[Row]) -> tuple[Car, ...]:
    """Return the cars of some rows; the first is the main one."""
    return tuple(
        Car(agent=str(row["agent_id"]), row=row, main_from_car=pose, view=car_view(row, pose))
        for row, pose in zip(rows, main_from_cars(rows), strict=True)
    )


def _nth(moments: Iterator[CoopMoment], index: int, split: str, rule: CoopRule) -> CoopMoment:
    """Return a moment by its number.

    Raises:
        ConfigError: There is none; the message says how many there are.
    """
    count = 0
    for count, moment in enumerate(moments, start=1):
        if count == index + 1:
            return moment
    if not count:
        raise ConfigError(
            f"--split: no moment of {split} has {rule.min_cars} cars within "
            f"{rule.max_distance_m:g} m",
            "raise --max-distance, or name another split",
        )
    raise ConfigError(
        f"--index: {index} is not among the {count} cooperative moments of {split}",
        f"write 0 to {count - 1}",
    )


def _cooperative(
    dataset: Opv2v, split: str, rule: CoopRule, unreadable: list[str]
) -> Iterator[CoopMoment]:
    """Give the split's cooperative moments in order, as `coop_moments` orders all of them."""
    for moment in sorted(dataset.moments(split), key=lambda m: (m.scenario, m.frame)):
        yield from coop_moments(_keys(dataset, moment, unreadable), rule)


def _keys(dataset: Opv2v, moment: Moment, unreadable: list[str]) -> dict[str, list[Any]]:
    """Return what `coop_moments` reads of one moment; cars with a broken file are passed over."""
    found: dict[str, list[Any]] = {"agent_id": [], "world_from_car": []}
    for frame_id in moment.ids:
        try:
            pose = dataset.read(frame_id).world_from_car
        except DatasetError as error:
            unreadable.append(error.message)
            continue
        found["agent_id"].append(frame_id.agent)
        found["world_from_car"].append(pose)
    count = len(found["agent_id"])
    place = {name: [getattr(moment, name)] * count for name in ("split", "scenario", "frame")}
    return {**found, "world_from_car": _stacked(found["world_from_car"]), **place}


def _stacked(poses: Sequence[Any]) -> Any:
    return np.array(poses, np.float64).reshape(-1, 4, 4)


def _fused_row(dataset: Opv2v, config: MulticarConfig, moment: CoopMoment, agent: str) -> Row:
    frame_id = CarFrameId(moment.split, moment.scenario, agent, moment.frame)
    seed = seed_of_item(config.seed, "panoramas", str(frame_id))
    fused = fuse(dataset, frame_id, config.data, seed)
    return panorama_row(fused.frame, fused.image, fused.source)
