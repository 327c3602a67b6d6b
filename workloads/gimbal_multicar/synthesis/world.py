"""The surfaces of a scenario, and of one moment of it without one car.

What never moves, parked cars included, is put into Embree once per scenario and process; what moves
is a small mesh of its own for each frame, which all its cars share. Faces are numbered through
both, what stands still first, so that a face tells which vehicle it belongs to. Here Unreal's axes
end: meshes, rays and poses are OpenCV's from here on.

A car does not see itself. Nothing else can be inside its box, so rays begin where they leave it,
and for the rasteriser its faces are shrunk to nothing; numbers of faces stay the same.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.opv2v.axes import points_to_opencv
from gimbal_multicar.synthesis.bodies import body_quads
from gimbal_multicar.synthesis.buildings import building_quads
from gimbal_multicar.synthesis.furniture import furniture_quads
from gimbal_multicar.synthesis.quads import Bytes, FloatArray, Quads, triangles
from gimbal_multicar.synthesis.recording import box_of
from gimbal_multicar.synthesis.scenario import Scenario
from gimbal_multicar.synthesis.streets import street_quads
from gimbal_multicar.synthesis.traffic import Vehicle
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering.rays import RayCaster
from gimbal_vision.rendering.surface import Surface, surface_of

Ids = np.ndarray[Any, np.dtype[np.int32]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

NOBODY = -1
SHADOW: tuple[int, int, int] = (44, 44, 47)
SHADOW_LIFT_M = 0.05
OWN_MARGIN_M = 0.01
FRAMES_KEPT = 2


@dataclass(frozen=True, eq=False)
class Vehicles:
    """Quads of some vehicles, and of the dark patches under them.

    Attributes:
        points: [4 N, 3] corners, world, OpenCV axes.
        colours: [N, 3].
        part: [N] index of the vehicle each quad belongs to, patches included.
        owner: [N] the same, `NOBODY` for patches.
    """

    points: FloatArray
    colours: Bytes
    part: Ids
    owner: Ids


class Surfaces:
    """All surfaces of a scenario at one frame.

    Attributes:
        owner: [F] index into the scenario's vehicles of each face, `NOBODY` for the rest.
        rough_faces: How many faces, the first ones, are town and not vehicle.
        still_faces: How many faces, the first ones, never move.
    """

    def __init__(self, still: StillWorld, moving: Vehicles) -> None:
        self._still, self._moving = still, moving
        self.still_faces = len(still.owner)
        owners = np.concatenate([still.owner, np.repeat(moving.owner, 2)])
        self.owner: Ids = owners
        self.rough_faces = still.rough_faces
        self.caster = RayCaster(
            Mesh(moving.points.astype(np.float64), triangles(len(moving.colours)))
        )

    @functools.cached_property
    def table(self) -> Surface:
        """Normals and colours of all faces."""
        return surface_of(self.mesh(NOBODY), ("rgb",))

    def mesh(self, without: int) -> Mesh:
        """Return all faces; those of one vehicle and its patch have no area."""
        points = self._moving.points
        if without != NOBODY:
            own = np.repeat(self._moving.part == without, 4)
            points = np.where(own[:, None], points[np.argmax(own)], points)
        colours = np.concatenate([self._still.colours, self._moving.colours])
        vertices = np.concatenate([self._still.points, points])
        return Mesh(vertices, triangles(len(colours)), np.repeat(colours, 4, axis=0))


class StillWorld:
    """What never moves.

    Attributes:
        points: [4 N, 3] corners of quads, world, OpenCV axes.
        colours: [N, 3].
        owner: [2 N] of the faces.
        rough_faces: How many faces, the first ones, are town and not vehicle.
        caster: Rays against all of it.
    """

    def __init__(self, scenario: Scenario) -> None:
        parts = [
            build(scenario.town, scenario.rng("surface", k))
            for k, build in enumerate((street_quads, building_quads, furniture_quads))
        ]
        corners, colours = zip(*(p.arrays() for p in parts), strict=True)
        town = points_to_opencv(np.concatenate(corners).reshape(-1, 3))
        parked = _vehicles(scenario, _indices(scenario, still=True), scenario.frames[0])
        self.points = np.concatenate([town, parked.points])
        self.colours: Bytes = np.concatenate([*colours, parked.colours])
        self.rough_faces = len(town) // 2
        nobody = np.full(self.rough_faces, NOBODY, np.int32)
        self.owner: Ids = np.concatenate([nobody, np.repeat(parked.owner, 2)])
        self.caster = RayCaster(Mesh(self.points, triangles(len(self.colours))))


@dataclass(frozen=True, eq=False)
class Moment:
    """All surfaces at one frame as one car sees them.

    Attributes:
        surfaces: All of them.
        still: Rays against what never moves.
        own: Index of the car among the vehicles.
        own_from_world: [4, 4] into the axes of the car's box.
        own_half_m: [3] half extent of the box.
    """

    surfaces: Surfaces
    still: RayCaster
    own: int
    own_from_world: FloatArray
    own_half_m: FloatArray

    @property
    def mesh(self) -> Mesh:
        """All faces, made anew; the car's own have no area."""
        return self.surfaces.mesh(self.own)

    def first_hit(self, origin: FloatArray, directions: FloatArray) -> tuple[Floats, Ids]:
        """Return where rays from one point meet something else than the car itself.

        Args:
            origin: [3] world.
            directions: [N, 3] unit vectors.

        Returns:
            Distances [N], inf for a miss, and faces [N], -1 for a miss.
        """
        t, face = self.still.first_hit(origin, directions)
        skip = self._way_through_itself(origin, directions)
        starts = origin + skip[:, None] * directions
        t_moving, face_moving = self.surfaces.caster.first_hit(starts, directions)
        t_moving = t_moving + skip.astype(np.float32)
        nearer = t_moving < t
        face = np.where(nearer, face_moving + self.surfaces.still_faces, face).astype(np.int32)
        return np.where(nearer, t_moving, t), face

    def _way_through_itself(self, origin: FloatArray, directions: FloatArray) -> FloatArray:
        """Return [N] distance at which each ray leaves the car's box; 0 if it does not meet it."""
        turn, move = self.own_from_world[:3, :3], self.own_from_world[:3, 3]
        o, half = turn @ origin + move, self.own_half_m + OWN_MARGIN_M
        enter, leave = np.full(len(directions), -np.inf), np.full(len(directions), np.inf)
        for k in range(3):
            with np.errstate(divide="ignore", invalid="ignore"):
                per_length = 1.0 / (directions @ turn[k])
                a, b = (-half[k] - o[k]) * per_length, (half[k] - o[k]) * per_length
            enter, leave = np.fmax(enter, np.fmin(a, b)), np.fmin(leave, np.fmax(a, b))
        return np.where((leave > 0.0) & (enter <= leave), leave, 0.0)

    def seen(self, face: Ids) -> Ids:
        """Return the sorted indices of the vehicles that the faces belong to."""
        owners: Ids = np.unique(self.surfaces.owner[face[face >= 0]])
        vehicles: Ids = owners[owners != NOBODY]
        return vehicles


class World:
    """What a scenario is made of.

    Args:
        scenario: What to build.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._still = StillWorld(scenario)
        self._frames: OrderedDict[str, Surfaces] = OrderedDict()

    def moment(self, frame: str, agent: str) -> Moment:
        """Return the world at a frame as a car sees it.

        Args:
            frame: One of the scenario's.
            agent: Id of that car.
        """
        vehicle = self.scenario.vehicle(agent)
        box = box_of(self.scenario, vehicle, frame)
        return Moment(
            surfaces=self._surfaces(frame),
            still=self._still.caster,
            own=self.scenario.vehicles.index(vehicle),
            own_from_world=np.linalg.inv(box.world_from_box),
            own_half_m=box.half_extent_m,
        )

    def _surfaces(self, frame: str) -> Surfaces:
        if frame not in self._frames:
            moving = _vehicles(self.scenario, _indices(self.scenario, still=False), frame)
            self._frames[frame] = Surfaces(self._still, moving)
            while len(self._frames) > FRAMES_KEPT:
                self._frames.popitem(last=False)
        return self._frames[frame]


def _indices(scenario: Scenario, *, still: bool) -> list[int]:
    return [i for i, v in enumerate(scenario.vehicles) if v.motion.parked == still]


def _vehicles(scenario: Scenario, indices: Sequence[int], frame: str) -> Vehicles:
    quads, owners, parts = Quads(), [], []
    every = scenario.world_from_vehicles(frame)
    for index in indices:
        vehicle = scenario.vehicles[index]
        pose = every[index]
        corners, colours = body_quads(vehicle.body)
        quads.add(corners @ pose[:3, :3].T + pose[:3, 3], colours)
        quads.add(_shadow(vehicle) @ pose[:3, :3].T + pose[:3, 3], SHADOW)
        parts.append(np.full(len(corners) + 1, index, np.int32))
        owners.append(np.append(np.full(len(corners), index), NOBODY).astype(np.int32))
    corners, colours = quads.arrays()
    none = np.empty(0, np.int32)
    return Vehicles(
        points=points_to_opencv(corners.reshape(-1, 3)),
        colours=colours,
        part=np.concatenate([none, *parts]),
        owner=np.concatenate([none, *owners]),
    )


def _shadow(vehicle: Vehicle) -> FloatArray:
    """Return the dark patch [4, 3] under a vehicle, in its axes; it is no part of the vehicle."""
    x, y, _ = vehicle.body.half_extent_m * (0.97, 0.88, 1.0)
    middle = vehicle.body.ahead_m
    signs = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    flat = signs * (x, y) + (middle, 0.0)
    return np.concatenate([flat, np.full((4, 1), SHADOW_LIFT_M)], axis=-1)


@functools.lru_cache(maxsize=2)
def world_of(scenario: Scenario) -> World:
    """Return the world of a scenario; the last two are kept."""
    return World(scenario)
