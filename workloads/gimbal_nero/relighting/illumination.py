"""What lights an object: a given picture with real bounces, or what was learnt.

Under a picture, light between parts of the object is worked out: a ray that hits is shaded there,
by fewer directions the deeper it goes. Learnt light is as learning had it, `TracedLight`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gimbal_nero.material.lighting import LightNetworks, TracedLight
from gimbal_nero.material.networks import Material
from gimbal_nero.reflectance.environment import EnvironmentTable
from gimbal_nero.reflectance.estimators import shade
from gimbal_nero.reflectance.model import SMALLEST_ALPHA, Light, Surface
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_nero.relighting.draws import bounce_numbers, draws_of
from gimbal_nero.relighting.settings import RelightSettings
from gimbal_nero.relighting.sky import Sky
from gimbal_nero.tracing.hits import Hits
from gimbal_nero.tracing.secondary import SecondaryRays
from gimbal_nero.tracing.surface import TracedMesh

MaterialOf = Callable[[Tensor], Material]
"""Points [N, 3] of the unit frame to what the surface is made of there."""

_FEWER = 4
"""Times fewer directions at each further bounce."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """N points that light falls on.

    Attributes:
        face_normals: [N, 3] of the flat faces, towards where light comes from.
        numbers: [N, 6] uniform, each point's own.
    """

    face_normals: Tensor
    numbers: Tensor


class Illumination(Protocol):
    """All the light there is.

    Attributes:
        table: Steers directions; None: nothing does.
    """

    table: EnvironmentTable | None

    def afar(self, directions: Tensor) -> Tensor:
        """Return radiance [M, 3] from directions [M, 3] that meet nothing."""
        ...

    def falling_on(self, place: Place) -> Light:
        """Return the light that arrives at some points."""
        ...


class SkyLight:
    """A picture of the surrounding light, and what the object sends to itself.

    Args:
        sky: The picture.
        traced: The object.
        material: What it is made of.
        settings: Bounces, and directions at each.
        directions_at_once: Of one estimate; it changes no number.
    """

    def __init__(
        self,
        sky: Sky,
        traced: TracedMesh,
        material: MaterialOf,
        settings: RelightSettings,
        directions_at_once: int,
    ) -> None:
        self.table: EnvironmentTable | None = sky.table
        self._sky, self._material, self._settings = sky, material, settings
        self._rays = SecondaryRays(traced)
        self._at_once = directions_at_once

    def afar(self, directions: Tensor) -> Tensor:
        """Return radiance [M, 3] of the picture."""
        return self._sky.radiance(directions)

    def falling_on(self, place: Place) -> Light:
        """Return the light that arrives at some points that the camera sees."""
        return self._arriving(place, 1)

    def _arriving(self, place: Place, depth: int) -> Light:
        """Return the light at points after `depth - 1` bounces."""

        def light(points: Tensor, directions: Tensor, rows: Tensor) -> Tensor:
            above = (directions * place.face_normals[rows]).sum(-1) > 0.0
            kept = above.nonzero()[:, 0]
            asked = points[kept], directions[kept], rows[kept]
            answer = self._traced_light(place, depth, *asked)
            return torch.zeros_like(directions).index_copy(0, kept, answer)

        return light

    def _traced_light(
        self, place: Place, depth: int, points: Tensor, directions: Tensor, rows: Tensor
    ) -> Tensor:
        hits = self._rays.trace(points, directions)
        answer = torch.empty_like(directions)
        answer[~hits.hit] = self._sky.radiance(directions[~hits.hit])
        answer[hits.hit] = self._sent(hits, -directions[hits.hit], place, rows[hits.hit], depth)
        return answer

    def _sent(self, hits: Hits, towards: Tensor, place: Place, rows: Tensor, depth: int) -> Tensor:
        """Return what hit points send towards the points whose rays hit them [K, 3]."""
        count = self._settings.bounce_directions // _FEWER ** (depth - 1)
        if depth > self._settings.bounces or not self._settings.bounce_directions or not len(hits):
            return torch.zeros_like(towards)
        estimator = estimator_of(max(1, count), steered=True)
        numbers = bounce_numbers(place.numbers, rows, depth)
        parts = []
        for part in parts_of(len(hits), estimator, self._at_once):
            there = Place(face_normals=hits.face_normals[part], numbers=numbers[part])
            surface = surface_of(hits, part, towards[part], self._material)
            light = self._arriving(there, depth + 1)
            draws = draws_of(there.numbers)
            parts.append(shade(surface, light, estimator, draws, self.table).radiance)
        return torch.cat(parts)


class LearntLight:
    """The light that was learnt with a material, from afar and from the object.

    Args:
        networks: What open directions and hit points send.
        traced: The object.
        table: Steers directions; None: nothing does.
    """

    def __init__(
        self, networks: LightNetworks, traced: TracedMesh, table: EnvironmentTable | None = None
    ) -> None:
        self.table = table
        self._networks = networks
        self._light = TracedLight(networks, SecondaryRays(traced))

    def afar(self, directions: Tensor) -> Tensor:
        """Return radiance [M, 3] as seen from the object's centre."""
        return self._networks.from_afar(torch.zeros_like(directions), directions)

    def falling_on(self, place: Place) -> Light:
        """Return the learnt light; nobody stands in it."""
        return self._light


def estimator_of(directions: int, *, steered: bool) -> EstimatorSettings:
    """Return settings of so many directions of each way; `steered`: by a picture too."""
    return EstimatorSettings(
        diffuse_samples=directions,
        specular_samples=directions,
        environment_samples=directions if steered else 0,
    )


def parts_of(count: int, estimator: EstimatorSettings, directions_at_once: int) -> list[slice]:
    """Return the parts in which points are shaded."""
    asked = estimator.diffuse_samples + estimator.specular_samples + estimator.environment_samples
    size = max(1, directions_at_once // asked)
    return [slice(start, start + size) for start in range(0, count, size)]


def surface_of(hits: Hits, part: slice, towards: Tensor, material: MaterialOf) -> Surface:
    """Return some hits in single precision, with what they are made of."""
    said = material(hits.points[part].float())
    return Surface(
        points=hits.starts[part].float(),
        normals=hits.normals[part].float(),
        towards=towards.float(),
        albedo=said.albedo,
        metallic=said.metallic,
        alpha=said.alpha.clamp(min=SMALLEST_ALPHA),
    )
