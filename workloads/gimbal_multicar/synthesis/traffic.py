"""Who drives where in a made street: motions along lanes that never collide.

Cars of one lane share one speed, so their gaps stay; nobody turns. Where roads cross, the crossing
road has to wait: its cars brake towards their stop line or stand there, behind one another. Nothing
then has to be simulated, and a car's pose at any time follows from a few numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gimbal_multicar.synthesis.bodies import PASSENGER_KINDS, PROFILES, Body, draw_body
from gimbal_multicar.synthesis.roads import LANE_M, PARKING_M, FloatArray, Hills, Road, standing

STOP_BEFORE_M = 9.0
"""From the kerb of the road ahead to the middle of the first car that waits."""

SPACING_M = 13.5
"""Between the middles of cars in a lane, at least; the longest vehicle has 12 m."""

PARKED_SPACING_M = 7.2
CLUSTER_M = 30.0
"""Cooperating cars are within this of the scenario's centre halfway through it, so none is farther
than twice this from another then."""

APART_M = 5.0
"""Between the origins of cooperating cars, at least, where possible."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Where on its road a car is at any time.

    Attributes:
        road: Index of the road.
        way: 1 along the road's direction, -1 against it.
        right_m: Of the centre line, seen along the road's direction.
        start_m: Length s on the road at t = 0; for a braking car the s where it will stop.
        speed_ms: At t = 0.
        braking_s: Time constant of a car that brakes; None for one that keeps its speed.
    """

    road: int
    way: int
    right_m: float
    start_m: float
    speed_ms: float = 0.0
    braking_s: float | None = None

    @property
    def parked(self) -> bool:
        """Whether it never moves."""
        return self.speed_ms == 0.0

    def length(self, time_s: float) -> float:
        """Return s on the road at a time."""
        if self.braking_s is None:
            return self.start_m + self.way * self.speed_ms * time_s
        left = self.speed_ms * self.braking_s * float(np.exp(-time_s / self.braking_s))
        return self.start_m - self.way * left

    def speed(self, time_s: float) -> float:
        """Return metres per second at a time."""
        if self.braking_s is None:
            return self.speed_ms
        return self.speed_ms * float(np.exp(-time_s / self.braking_s))


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """One vehicle of a scenario.

    Attributes:
        id: As CARLA's actor ids.
        body: What it looks like.
        motion: How it moves.
    """

    id: int
    body: Body
    motion: Motion


@dataclass(frozen=True, kw_only=True)
class Town:
    """Where cars can be.

    Attributes:
        roads: The main road first; others cross it.
        crossings_m: For each road after the first, where on the main road it crosses.
        hills: The ground.
        duration_s: How long cars move.
    """

    roads: tuple[Road, ...]
    crossings_m: tuple[float, ...]
    hills: Hills
    duration_s: float


def poses(town: Town, vehicles: Sequence[Vehicle], time_s: float) -> FloatArray:
    """Return [V, 6] x, y, z in metres and roll, yaw, pitch in degrees, of vehicles' origins."""
    points, headings = np.zeros((len(vehicles), 2)), np.zeros(len(vehicles))
    for k, road in enumerate(town.roads):
        here = [i for i, v in enumerate(vehicles) if v.motion.road == k]
        motions = [vehicles[i].motion for i in here]
        s = np.array([m.length(time_s) for m in motions])
        points[here] = road.at(s, np.array([m.right_m for m in motions]))
        turned = np.array([0.0 if m.way > 0 else np.pi for m in motions])
        headings[here] = road.heading(s) + turned
    return standing(town.hills, points, headings)


def draw_motions(town: Town, rng: np.random.Generator) -> tuple[list[Motion], list[Motion]]:
    """Return motions of the moving (or waiting) vehicles, and of the parked ones."""
    moving: list[Motion] = []
    main = town.roads[0]
    for way in (1, -1):
        for lane in range(main.lanes):
            moving += _flow(town, rng, way, lane)
    for k in range(1, len(town.roads)):
        for way in (1, -1):
            moving += _queue(town, rng, k, way)
    parked = [m for k in range(len(town.roads)) for m in _parked(town, rng, k)]
    return moving, parked


def _flow(town: Town, rng: np.random.Generator, way: int, lane: int) -> list[Motion]:
    """Return the cars of a lane of the main road, around its centre halfway through."""
    speed = float(rng.uniform(4.0, 13.0))
    right = way * ((lane + 0.5) * LANE_M + float(rng.uniform(-0.15, 0.15)))
    reach = 110.0
    s, cars = -reach + float(rng.uniform(0.0, SPACING_M)), []
    while s < reach:
        start = s - way * speed * town.duration_s / 2.0
        cars.append(Motion(road=0, way=way, right_m=right, start_m=start, speed_ms=speed))
        s += SPACING_M + float(rng.exponential(9.0))
    return cars


def _queue(town: Town, rng: np.random.Generator, road: int, way: int) -> list[Motion]:
    """Return the cars that wait for the main road, and those that have left it behind."""
    right = way * 0.5 * LANE_M
    line = town.roads[0].half_width_m + STOP_BEFORE_M
    speed, tau, cars = float(rng.uniform(2.0, 6.0)), float(rng.uniform(1.5, 3.0)), []
    for k in range(int(rng.integers(1, 4))):
        stop = -way * (line + k * SPACING_M)
        cars.append(
            Motion(road=road, way=way, right_m=right, start_m=stop, speed_ms=speed + 0.4 * k,
                   braking_s=tau)
        )  # fmt: skip
    leaving = float(rng.uniform(4.0, 9.0))
    for k in range(int(rng.integers(0, 3))):
        start = way * (line + 4.0 + k * 1.6 * SPACING_M)
        cars.append(
            Motion(road=road, way=way, right_m=right, start_m=start, speed_ms=leaving)
        )  # fmt: skip
    return cars


def _parked(town: Town, rng: np.random.Generator, index: int) -> list[Motion]:
    """Return cars at the kerb, away from crossings."""
    road = town.roads[index]
    if not road.parking:
        return []
    near = [*town.crossings_m] if index == 0 else [0.0]
    motions = []
    for way in (1, -1):
        right = way * (road.lanes * LANE_M + PARKING_M / 2.0 + 0.1)
        for s in np.arange(-90.0, 90.0, PARKED_SPACING_M) + float(rng.uniform(0, 3)):
            free = all(abs(s - c) > 22.0 for c in near)
            if free and rng.uniform() < 0.5:
                motions.append(Motion(road=index, way=way, right_m=right, start_m=float(s)))
    return motions


def choose_agents(
    town: Town, motions: Sequence[Motion], count: int, rng: np.random.Generator
) -> list[int]:
    """Return the indices of `count` motions near the centre, of as many lanes as there are.

    They keep `APART_M` from each other at the begin, halfway and at the end, as long as there are
    enough such cars. Fewer than `count` come back only where fewer vehicles move.
    """
    times = (0.0, town.duration_s / 2.0, town.duration_s)
    spots = np.array(
        [[town.roads[m.road].at(m.length(t), m.right_m) for t in times] for m in motions]
    )
    away = np.linalg.norm(spots[:, 1] - town.roads[0].at(0.0), axis=-1)
    near = np.flatnonzero(away < CLUSTER_M)
    if len(near) < count:
        near = np.argsort(away, kind="stable")[:count]
    order = [int(i) for i in rng.permutation(near)]
    order = _lanes_first(motions, order)
    chosen: list[int] = []
    for i in order:
        gaps = np.linalg.norm(spots[chosen] - spots[i], axis=-1)
        if not chosen or float(gaps.min()) >= APART_M:
            chosen.append(i)
    chosen += [i for i in order if i not in chosen]
    return chosen[:count]


def _lanes_first(motions: Sequence[Motion], order: list[int]) -> list[int]:
    """Return the same indices, the first of each road and direction before all others."""
    first: dict[tuple[int, int], int] = {}
    for i in order:
        first.setdefault((motions[i].road, motions[i].way), i)
    leaders = list(first.values())
    return leaders + [i for i in order if i not in leaders]


def draw_bodies(count: int, agents: Sequence[int], rng: np.random.Generator) -> list[Body]:
    """Return a body for each moving vehicle; cooperating cars are passenger cars."""
    every = tuple(PROFILES)
    often = PASSENGER_KINDS * 3 + every
    return [draw_body(rng, PASSENGER_KINDS if i in agents else often) for i in range(count)]


def draw_ids(count: int, first: int, rng: np.random.Generator) -> list[int]:
    """Return increasing actor ids with gaps, as CARLA counts sensors and walkers too."""
    return [int(i) for i in first + np.cumsum(rng.integers(1, 9, count))]
