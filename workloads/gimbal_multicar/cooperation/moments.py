"""Which rows of a panorama stage belong together: the cars of one scenario at one moment.

The first car is the main one: its frame is the sample's world. Order is a function of the data
alone (ids sorted as text, as OPV2V's users do), never of a random draw, so a sample means the same
in training, validation and a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gimbal.errors import ConfigError

Doubles = np.ndarray[Any, np.dtype[np.float64]]
MainCar = Literal["first", "each"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CoopMoment:
    """Cars that are near enough at one moment.

    Attributes:
        split: Such as `train`.
        scenario: Folder of the scenario.
        frame: Six digits.
        rows: Row numbers in the stage, the main car's first, the others nearest first.
        agents: Their ids, likewise.
        distances_m: From the main car, likewise; the first is 0.
    """

    split: str
    scenario: str
    frame: str
    rows: tuple[int, ...]
    agents: tuple[str, ...]
    distances_m: tuple[float, ...]

    @property
    def num_views(self) -> int:
        """Views of the sample: its cars."""
        return len(self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class CoopRule:
    """Which cars make a sample.

    Attributes:
        max_distance_m: Cars farther than this from the main one are no partners.
        min_cars: Moments with fewer cars, the main one included, are left out.
        max_cars: No more than this, the nearest; 1 gives single-car samples; none: all.
        main: `first`: one sample a moment, whose main car has the first id as text; `each`: one
            for every car as the main one.
    """

    max_distance_m: float = 60.0
    min_cars: int = 2
    max_cars: int | None = None
    main: MainCar = "first"

    def __post_init__(self) -> None:
        """Refuse rules that no sample can follow.

        Raises:
            ConfigError: A bound is not positive, or `max_cars` is below `min_cars`.
        """
        if not self.max_distance_m > 0 or self.min_cars < 1:
            raise ConfigError(
                f"max_distance_m={self.max_distance_m}, min_cars={self.min_cars} is no rule",
                "give a distance above 0 and at least one car",
            )
        if self.max_cars is not None and self.max_cars < self.min_cars:
            raise ConfigError(
                f"max_cars ({self.max_cars}) is below min_cars ({self.min_cars})",
                "raise max_cars or lower min_cars",
            )


def coop_moments(columns: Mapping[str, Sequence[Any]], rule: CoopRule) -> list[CoopMoment]:
    """Return the samples of all splits, ordered by split, scenario, frame and main car.

    Args:
        columns: `split`, `scenario`, `frame`, `agent_id` and `world_from_car` [N, 4, 4], all
            rows.
        rule: Which cars make a sample.
    """
    keys = zip(columns["split"], columns["scenario"], columns["frame"], strict=True)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    agents = columns["agent_id"]
    places: Doubles = np.asarray(columns["world_from_car"], np.float64)[:, :3, 3]
    found = []
    for key in sorted(groups):
        rows = sorted(groups[key], key=lambda row: str(agents[row]))
        for main in rows if rule.main == "each" else rows[:1]:
            moment = _around(main, rows, places, rule)
            if len(moment) >= rule.min_cars:
                found.append(_moment(key, moment, agents))
    return found


def _around(
    main: int, rows: Sequence[int], places: Doubles, rule: CoopRule
) -> list[tuple[float, int]]:
    """Return (distance, row) of the main car and its partners, nearest first."""
    distances = np.linalg.norm(places[list(rows)] - places[main], axis=1)
    others = sorted(
        (float(distance), row)
        for distance, row in zip(distances, rows, strict=True)
        if row != main and distance <= rule.max_distance_m
    )
    return [(0.0, main), *others][: rule.max_cars]


def _moment(
    key: tuple[str, str, str], cars: Sequence[tuple[float, int]], agents: Sequence[str]
) -> CoopMoment:
    split, scenario, frame = key
    return CoopMoment(
        split=split,
        scenario=scenario,
        frame=frame,
        rows=tuple(row for _, row in cars),
        agents=tuple(str(agents[row]) for _, row in cars),
        distances_m=tuple(distance for distance, _ in cars),
    )
