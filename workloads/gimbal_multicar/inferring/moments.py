"""A moment of any folder laid out like OPV2V, read as the run's own data were.

Pictures are fused by the run's own settings, so the model sees what it was trained on, and rows
made here equal those of a stage that reads the same folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gimbal.errors import ConfigError
from gimbal_multicar.clouds.gathering import cars_of, fused_row, moment_keys
from gimbal_multicar.clouds.moment import Gathered
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.cooperation.moments import CoopMoment, CoopRule, coop_moments
from gimbal_multicar.fusing import open_dataset
from gimbal_multicar.inferring.wording import in_options
from gimbal_multicar.previewing.looking import dataset_record

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.layout import Moment
    from gimbal_multicar.opv2v.reader import Opv2v

_LISTED = 5
FRAME_DIGITS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which cars of which folder.

    Attributes:
        root: Folder of the data set.
        frame: Of the scenario; leading zeros may be left out.
        split: Folder of the split.
        scenario: Folder of the scenario; none: the only one that has the frame.
        main: Id of the main car; none: the first as text.
        depth_root: Folder of depth files; none: the run's own where `root` is the run's, else see
            `data.depth`.
        max_distance_m: Farther cars stay out; none: as in training.
    """

    root: Path
    frame: str
    split: str
    scenario: str | None = None
    main: str | None = None
    depth_root: Path | None = None
    max_distance_m: float | None = None


def gather_wanted(config: MulticarConfig, wanted: Wanted) -> Gathered:
    """Fuse the cars of one moment of a folder, at their true poses.

    Args:
        config: Of the run whose model is to be asked.
        wanted: Which cars of which folder.

    Raises:
        ConfigError: There is no such frame, scenario or car, or several scenarios have the frame.
        DatasetError: The folder is no data set, or a file of the moment is missing or broken.
    """
    with in_options():
        return _gathered(config, wanted)


def _gathered(config: MulticarConfig, wanted: Wanted) -> Gathered:
    there = config_of(config, wanted)
    dataset = open_dataset(there.data)
    place = _place(dataset, wanted)
    unreadable: list[str] = []
    rule = rule_for(config, wanted)
    found = coop_moments(moment_keys(dataset, place, unreadable), rule)
    moment = _chosen(found, place, wanted, rule, unreadable)
    return Gathered(
        moment=moment,
        index=0,
        cars=cars_of([fused_row(dataset, there, moment, agent) for agent in moment.agents]),
        pose_source="gt",
        rule=rule,
        unreadable=tuple(unreadable),
        record=dataset_record(there),
    )


def config_of(config: MulticarConfig, wanted: Wanted) -> MulticarConfig:
    """Return the run's settings with the folder that is wanted in place of its own."""
    data = config.data.model_copy(
        update={
            "root": wanted.root,
            "depth_root": _depth_root(config, wanted),
            "splits": (wanted.split,),
            "frame_stride": 1,
            "min_cars": 1,
        }
    )
    return config.model_copy(update={"data": data})


def _depth_root(config: MulticarConfig, wanted: Wanted) -> Path | None:
    """Return where depth is looked for: a folder of depth belongs to the set it mirrors."""
    root = config.data.root
    if wanted.depth_root is None and root is not None and root.resolve() == wanted.root.resolve():
        return config.data.depth_root
    return wanted.depth_root


def rule_for(config: MulticarConfig, wanted: Wanted) -> CoopRule:
    """Return which cars belong together: as in the run's held-out samples.

    Raises:
        ConfigError: The distance is not above 0.
    """
    samples, farthest = config.samples, wanted.max_distance_m
    if farthest is not None and not farthest > 0:
        raise ConfigError(
            f"--max-distance: {farthest:g} m leaves the main car alone",
            "write metres above 0, or leave it out: then it is as in training",
        )
    return CoopRule(
        max_distance_m=samples.max_distance_m if farthest is None else farthest,
        min_cars=samples.min_cars,
        max_cars=samples.max_cars,
        main="first" if wanted.main is None else "each",
    )


def _place(dataset: Opv2v, wanted: Wanted) -> Moment:
    """Return the moment of that frame.

    Raises:
        ConfigError: There is none, or there are several.
    """
    moments = dataset.moments(wanted.split)
    inside = [m for m in moments if wanted.scenario in (None, m.scenario)]
    if not inside:
        raise ConfigError(
            f"--scenario: {wanted.split} has no scenario {wanted.scenario}",
            f"it has {_some(sorted({m.scenario for m in moments}))}",
        )
    frame = wanted.frame.zfill(FRAME_DIGITS)
    found = [m for m in inside if m.frame.zfill(FRAME_DIGITS) == frame]
    if not found:
        raise ConfigError(
            f"--frame: {wanted.split} has no frame {frame}"
            + (f" in {wanted.scenario}" if wanted.scenario else ""),
            f"it has {_some(sorted({m.frame for m in inside}))}",
        )
    if len(found) > 1:
        raise ConfigError(
            f"--frame: {len(found)} scenarios of {wanted.split} have frame {frame}",
            f"name one with --scenario: {_some([m.scenario for m in found])}",
        )
    return found[0]


def _chosen(
    found: Sequence[CoopMoment],
    place: Moment,
    wanted: Wanted,
    rule: CoopRule,
    unreadable: Sequence[str],
) -> CoopMoment:
    """Return the moment around the main car.

    Raises:
        ConfigError: There is no such car, or too few cars around it.
    """
    if wanted.main is not None and wanted.main not in place.agents:
        raise ConfigError(
            f"--main: there is no car {wanted.main} at {place.scenario}/{place.frame}",
            f"it has {_some(place.agents)}",
        )
    fitting: Iterator[CoopMoment] = (m for m in found if wanted.main in (None, m.agents[0]))
    moment = next(fitting, None)
    if moment is None:
        broken = f"; unreadable: {'; '.join(unreadable)}" if unreadable else ""
        raise ConfigError(
            f"{place.scenario}/{place.frame} has fewer than {rule.min_cars} cars within "
            f"{rule.max_distance_m:g} m of the main one{broken}",
            "raise --max-distance, or name another frame or --main",
        )
    return moment


def _some(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
