"""The cars of one cooperative moment, from a data set's files or from a finished run's rows.

Both ways end in the same rows, so what follows cannot tell them apart. Of a data set only the
poses are read until the moment is found; no picture is decoded for moments that are passed over.
What a model says about a moment is added to it afterwards, see `predicted`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.data.stage import seed_of_item
from gimbal.errors import ConfigError
from gimbal_multicar.clouds.moment import Car, Gathered, Row
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.cooperation.moments import CoopMoment, CoopRule, coop_moments
from gimbal_multicar.cooperation.views import car_view, main_from_cars
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.fusing import fuse, open_dataset
from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.previewing.looking import (
    dataset_record,
    multicar_run,
    panoramas_folder,
    run_record,
)
from gimbal_multicar.rows import panorama_row

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.layout import Moment
    from gimbal_multicar.opv2v.reader import Opv2v


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
    rows = [fused_row(dataset, config, moment, agent) for agent in moment.agents]
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
    """Return the cars of some rows at their true poses; the first is the main one."""
    return tuple(
        Car(
            agent=str(row["agent_id"]),
            row=row,
            main_from_car=pose,
            true_main_from_car=pose,
            view=car_view(row, pose),
        )
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
        yield from coop_moments(moment_keys(dataset, moment, unreadable), rule)


def moment_keys(dataset: Opv2v, moment: Moment, unreadable: list[str]) -> dict[str, list[Any]]:
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


def fused_row(dataset: Opv2v, config: MulticarConfig, moment: CoopMoment, agent: str) -> Row:
    """Fuse one car of a moment, as the stage `panoramas` of that config would.

    Raises:
        DatasetError: A file of it is missing or broken.
    """
    frame_id = CarFrameId(moment.split, moment.scenario, agent, moment.frame)
    seed = seed_of_item(config.seed, "panoramas", str(frame_id))
    fused = fuse(dataset, frame_id, config.data, seed)
    return panorama_row(fused.frame, fused.image, fused.source)
