"""Whether cars agree on where vehicles are: one world, one place for each vehicle at one moment.

A car's pose must lie in the box that other cars list under its id, and all that list a vehicle must
list it at the same place. A disagreement is blamed on the side that agrees with fewer others, and
on both where neither does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.listings import Listing

Doubles = np.ndarray[Any, np.dtype[np.float64]]

NAME = "cars agree on places"
SLACK_M = 0.5
"""A LiDAR need not stand over the middle of its car, and a vehicle's origin is not its middle."""
LAG_S = 0.1
"""One step of OPV2V's simulation: files may tell of a vehicle a step apart."""
POSES, BOXES = "poses", "boxes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Misplaced:
    """A car whose poses or boxes others contradict.

    Attributes:
        place: `split/scenario/agent`.
        what: `poses` or `boxes`.
        frames: In how many of its files.
        apart_m: Median distance from where others have the same vehicles.
    """

    place: str
    what: str
    frames: int
    apart_m: float


@dataclass(kw_only=True)
class Agreement:
    """What a set's cars say of each other.

    Attributes:
        pairs: Statements of two sources on one vehicle at one moment.
        apart_m: Largest distance of those that agree and compare boxes.
        misplaced: Distances by car, what is wrong and frame.
    """

    pairs: int = 0
    apart_m: float = 0.0
    misplaced: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    @property
    def cars(self) -> tuple[Misplaced, ...]:
        """Who is contradicted, the worst first."""
        found = [
            Misplaced(
                place=place,
                what=what,
                frames=len(frames),
                apart_m=float(np.median([*frames.values()])),
            )
            for (place, what), frames in self.misplaced.items()
        ]
        return tuple(sorted(found, key=lambda m: (-m.frames, m.place)))


@dataclass(frozen=True, eq=False, slots=True)
class _Statements:
    """All that is said at one moment; source i is car i's pose, source n + i its boxes."""

    source: np.ndarray[Any, np.dtype[np.int64]]
    ids: np.ndarray[Any, np.dtype[np.int64]]
    at_m: Doubles
    half_length_m: Doubles
    speed_ms: Doubles


def agreement_of(listings: Iterable[Listing]) -> Agreement:
    """Return what the cars of all moments say of each other.

    Args:
        listings: Of a set's files, in any order.
    """

    def moment(listing: Listing) -> tuple[str, str, str]:
        return listing.agent.split, listing.agent.scenario, listing.frame

    found = Agreement()
    for _, group in groupby(sorted(listings, key=moment), key=moment):
        cars = list(group)
        if len(cars) > 1:
            _compare(cars, found)
    return found


def _compare(cars: Sequence[Listing], found: Agreement) -> None:
    said = _statements(cars)
    first, other = np.nonzero(np.triu(said.ids[:, None] == said.ids[None], 1))
    if not len(first):
        return
    apart = np.linalg.norm(said.at_m[first] - said.at_m[other], axis=-1)
    with_pose = said.source[first] < len(cars)
    half = np.maximum(said.half_length_m[first], said.half_length_m[other])
    speed = np.maximum(said.speed_ms[first], said.speed_ms[other])
    agrees = apart <= SLACK_M + LAG_S * speed + np.where(with_pose, half, 0.0)
    found.pairs += len(first)
    boxes = apart[agrees & ~with_pose]
    found.apart_m = max(found.apart_m, float(boxes.max()) if len(boxes) else 0.0)
    if agrees.all():
        return
    sources = said.source[first], said.source[other]
    share = _agreeing_share(sources, agrees, 2 * len(cars))
    for k in np.nonzero(~agrees)[0]:
        a, b = int(sources[0][k]), int(sources[1][k])
        for s, rival in ((a, b), (b, a)):
            if share[s] <= share[rival] and share[s] <= 0.5:
                car = cars[s % len(cars)]
                key = car.place, POSES if s < len(cars) else BOXES
                found.misplaced.setdefault(key, {})[car.frame] = float(apart[k])


def _agreeing_share(
    sources: tuple[Any, Any], agrees: np.ndarray[Any, np.dtype[np.bool_]], count: int
) -> Doubles:
    """Return [count] share of each source's pairs in which the two agree."""
    both = np.concatenate(sources)
    pairs = np.bincount(both, minlength=count)
    agreeing = np.bincount(both, weights=np.tile(agrees, 2), minlength=count)
    share: Doubles = agreeing / np.maximum(pairs, 1)
    return share


def _statements(cars: Sequence[Listing]) -> _Statements:
    count = len(cars)
    others = [car.ids != int(car.agent.agent) for car in cars]
    listed = [int(keep.sum()) for keep in others]
    source = np.concatenate([np.arange(count), np.repeat(np.arange(count), listed) + count])

    def joined(own: Any, name: str) -> Any:
        kept = (getattr(c, name)[k] for c, k in zip(cars, others, strict=True))
        return np.concatenate([own, *kept])

    return _Statements(
        source=source,
        ids=joined(np.array([int(car.agent.agent) for car in cars]), "ids"),
        at_m=joined(np.stack([car.own_m for car in cars]), "at_m"),
        half_length_m=joined(np.zeros(count), "half_length_m"),
        speed_ms=joined(np.zeros(count), "speed_kmh") / 3.6,
    )


def judge_agreement(found: Agreement, files: Mapping[str, int]) -> Finding:
    """Return whether all cars live in one world.

    Args:
        found: See `agreement_of`.
        files: Files of each car, by `split/scenario/agent`.
    """
    if not found.pairs:
        return cannot_tell(NAME, "no vehicle is listed by two cars at one moment")
    cars = found.cars
    if not cars:
        return ok(NAME, f"{found.pairs} pairs of statements, boxes within {found.apart_m:.2f} m")
    kinds = {m.what for m in cars}
    posed = {m.place for m in cars if m.what == POSES}
    return Finding(
        name=NAME,
        status=Status.FAIL,
        measured=f"{len({m.place for m in cars})} cars are contradicted, by "
        f"{max(m.apart_m for m in cars):.1f} m",
        expected="a car's pose in the box that others list for it, and one place for each vehicle",
        cause=EVERYWHERE
        if posed == set(files)
        else "; ".join(_CAUSES[what] for what in (POSES, BOXES) if what in kinds),
        hint="write lidar_pose, cords and boxes of one moment in one world, in metres",
        where=shortened(
            f"{m.place}: {m.what} of {m.frames} of {files.get(m.place, m.frames)} files, "
            f"{m.apart_m:.1f} m off"
            for m in cars
        ),
        count=len(cars),
    )


EVERYWHERE = "the poses of all cars and their boxes are in different worlds"
_CAUSES = {
    POSES: "poses of some cars are not where the other cars list them",
    BOXES: "boxes of some cars are not where the other cars have the same vehicles",
}
