"""A made scenario: everything that is in it, as a few numbers.

A scenario is cheap to make and to send to another process; its surfaces are built where they are
needed (`world.py`). Everything is drawn from (seed, index), so it does not matter who makes what in
which order.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gimbal_multicar.data_settings import SyntheticSettings
from gimbal_multicar.errors import SynthesisError
from gimbal_multicar.opv2v.axes import x_to_world
from gimbal_multicar.synthesis.bodies import PASSENGER_KINDS, draw_body
from gimbal_multicar.synthesis.roads import FloatArray, Hills, Road
from gimbal_multicar.synthesis.traffic import (
    Motion,
    Town,
    Vehicle,
    choose_agents,
    draw_bodies,
    draw_ids,
    draw_motions,
    poses,
)

GENERATOR_VERSION = 1
"""Raised whenever the same seed would give another world."""

FRAME_S = 0.1
TICKS_PER_FRAME = 2
"""Frame ids count the simulator's ticks of .05 s, as OPV2V's do."""

MOST_FRAMES = 1000
"""Of one scenario: 100 s, for which its street has to be over a kilometre long."""

Colour = tuple[int, int, int]
Stream = Literal["scenario", "surface", "gps", "lidar", "exposure"]
_STREAMS: dict[Stream, int] = {
    "scenario": 0,
    "surface": 1,
    "gps": 2,
    "lidar": 3,
    "exposure": 4,
}
_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((74, 126, 196), (198, 214, 230)),
    ((150, 160, 172), (208, 212, 214)),
    ((92, 112, 164), (236, 204, 168)),
    ((56, 110, 190), (182, 206, 232)),
)


@dataclass(frozen=True, kw_only=True)
class Light:
    """Sun and sky.

    Attributes:
        towards_sun: Unit vector in Unreal's axes.
        zenith: Colour straight above.
        horizon: Colour of the sky at the horizon, and of the haze.
        haze_m: Distance over which 63 % of a surface's colour is lost to haze.
    """

    towards_sun: tuple[float, float, float]
    zenith: Colour
    horizon: Colour
    haze_m: float


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario.

    Attributes:
        seed: Of the whole set.
        index: Of the scenario in the set.
        split: `train`, `validate` or `test`.
        name: Folder, a time stamp.
        frames: Six digits each.
        town: Roads and ground.
        vehicles: All that have a box; cooperating cars among them.
        agent_ids: Ids of the cooperating cars, increasing as numbers.
        light: Sun and sky.
    """

    seed: int
    index: int
    split: str
    name: str
    frames: tuple[str, ...]
    town: Town
    vehicles: tuple[Vehicle, ...]
    agent_ids: tuple[int, ...]
    light: Light

    @property
    def agents(self) -> tuple[str, ...]:
        """Folders of the cooperating cars."""
        return tuple(str(i) for i in self.agent_ids)

    def time_s(self, frame: str) -> float:
        """Return the time of a frame since the first."""
        return self.frames.index(frame) * FRAME_S

    def rng(self, stream: Stream, *keys: int) -> np.random.Generator:
        """Return random numbers that depend on nothing but (seed, index, stream, keys)."""
        return np.random.default_rng([self.seed, self.index, _STREAMS[stream], *keys])

    def vehicle(self, agent: str) -> Vehicle:
        """Return a cooperating car."""
        return next(v for v in self.vehicles if v.id == int(agent))

    def world_from_vehicles(self, frame: str) -> FloatArray:
        """Return [V, 4, 4] poses of all vehicles' origins on the ground, Unreal's axes."""
        return x_to_world(poses(self.town, self.vehicles, self.time_s(frame)))

    def world_from_vehicle(self, vehicle: Vehicle, frame: str) -> FloatArray:
        """Return [4, 4] the pose of one vehicle's origin, Unreal's axes."""
        pose: FloatArray = x_to_world(poses(self.town, [vehicle], self.time_s(frame)))[0]
        return pose


def split_of(index: int, scenarios: int) -> str:
    """Return the split of a scenario: the last ones are for test, those before for validation.

    One in six each, rounded, and at least one of both where there are three or more; two scenarios
    are train and validate.
    """
    share = max(1, round(scenarios / 6))
    tests = share if scenarios >= 3 else 0
    validations = share if scenarios >= 2 else 0
    if index >= scenarios - tests:
        return "test"
    return "validate" if index >= scenarios - tests - validations else "train"


def scenario(settings: SyntheticSettings, seed: int, index: int) -> Scenario:
    """Return one scenario of a set.

    Args:
        settings: How many scenarios, cars and frames the set has.
        seed: Of the set.
        index: Which scenario, from 0.

    Raises:
        SynthesisError: The set's scenarios are too long.
    """
    if settings.frames > MOST_FRAMES:
        raise SynthesisError(
            f"{settings.frames} frames of one scenario are too many: its street would be too long",
            f"make up to {MOST_FRAMES} frames, and more scenarios",
        )
    rng = np.random.default_rng([seed, index, _STREAMS["scenario"]])
    duration = (settings.frames - 1) * FRAME_S
    town = _town(index, duration, rng)
    moving, parked = draw_motions(town, rng)
    chosen = choose_agents(town, moving, settings.agents, rng)
    vehicles, agents = _vehicles(index, moving, parked, chosen, rng)
    first = 60 + int(rng.integers(0, 11))
    ticks = first + TICKS_PER_FRAME * np.arange(settings.frames)
    return Scenario(
        seed=seed,
        index=index,
        split=split_of(index, settings.scenarios),
        name=_name(seed, index),
        frames=tuple(f"{t:06d}" for t in ticks),
        town=town,
        vehicles=vehicles,
        agent_ids=agents,
        light=_light(rng),
    )


def _name(seed: int, index: int) -> str:
    since = datetime.timedelta(minutes=17 * index, seconds=seed % 60)
    return (datetime.datetime(2024, 1, 1, 8) + since).strftime("%Y_%m_%d_%H_%M_%S")


def _town(index: int, duration_s: float, rng: np.random.Generator) -> Town:
    """Return roads and ground: every second town is hilly, two in three have crossings."""
    far = 150.0 + 13.0 * duration_s
    origin = (float(rng.uniform(-200, 200)), float(rng.uniform(-200, 200)))
    straight = index % 3 == 2
    main = Road(
        origin_m=origin,
        heading_rad=float(rng.uniform(-np.pi, np.pi)),
        half_length_m=far,
        swing_rad=0.0 if straight else float(rng.uniform(0.25, 0.55) * rng.choice([-1, 1])),
        wave_m=float(rng.uniform(190, 300)),
        lanes=int(rng.integers(1, 3)),
        parking=bool(rng.uniform() < 0.7),
    )
    roads, crossings = [main], []
    if index % 3 != 1:
        offsets = [float(rng.uniform(-8, 8))]
        offsets += [offsets[0] + float(rng.choice([-1, 1]) * rng.uniform(70, 95))]
        crossings = offsets[: int(rng.integers(1, 3))]
    heading = main.heading_rad + np.pi / 2 + float(rng.uniform(-0.15, 0.15))
    length = 120.0 + 9.0 * duration_s
    for s in crossings:
        x, y = (float(c) for c in main.at(s))
        roads.append(Road(origin_m=(x, y), heading_rad=heading, half_length_m=length))
    hills = _hills(main.heading_rad, rng) if index % 2 == 0 else Hills()
    return Town(
        roads=tuple(roads), crossings_m=tuple(crossings), hills=hills, duration_s=duration_s
    )


def _hills(along_rad: float, rng: np.random.Generator) -> Hills:
    """Return waves along the main road (pitch of a few degrees) and across it (roll)."""
    waves = []
    for turn, slope in ((0.3, rng.uniform(0.05, 0.08)), (1.3, rng.uniform(0.03, 0.05))):
        length = float(rng.uniform(110, 190))
        k = 2.0 * np.pi / length
        direction = along_rad + turn + float(rng.uniform(-0.2, 0.2))
        amplitude, phase = float(slope) / k, float(rng.uniform(0, 2 * np.pi))
        waves.append((amplitude, k * float(np.cos(direction)), k * float(np.sin(direction)), phase))
    return Hills(waves=tuple(waves))


def _vehicles(
    index: int,
    moving: list[Motion],
    parked: list[Motion],
    chosen: list[int],
    rng: np.random.Generator,
) -> tuple[tuple[Vehicle, ...], tuple[int, ...]]:
    """Return all vehicles, and the ids of the cooperating ones.

    Ids are dealt out at random. Every third set begins such that they pass from three digits to
    four within the cooperating cars, so that the order as text is not the order as numbers.
    """
    bodies = draw_bodies(len(moving), chosen, rng)
    bodies += [draw_body(rng, (*PASSENGER_KINDS, "van", "pickup")) for _ in parked]
    motions = [*moving, *parked]
    crossing_thousand = index % 3 == 0
    first = 960 if crossing_thousand else int(rng.integers(100, 700))
    ids = [int(i) for i in rng.permutation(draw_ids(len(motions), first, rng))]
    if crossing_thousand and len(chosen) > 1:
        for slot, wanted in ((chosen[0], min(ids)), (chosen[1], max(ids))):
            holder = ids.index(wanted)
            ids[slot], ids[holder] = ids[holder], ids[slot]
    vehicles = tuple(
        Vehicle(id=i, body=b, motion=m) for i, b, m in zip(ids, bodies, motions, strict=True)
    )
    return vehicles, tuple(sorted(ids[k] for k in chosen))


def _light(rng: np.random.Generator) -> Light:
    azimuth, elevation = float(rng.uniform(-np.pi, np.pi)), float(np.radians(rng.uniform(28, 60)))
    level = float(np.cos(elevation))
    sun = (level * float(np.cos(azimuth)), level * float(np.sin(azimuth)), float(np.sin(elevation)))
    zenith, horizon = _SKIES[int(rng.integers(len(_SKIES)))]
    haze = float(rng.uniform(350, 900))
    return Light(towards_sun=sun, zenith=zenith, horizon=horizon, haze_m=haze)
