"""Pictures of a surface under a light: primary rays, then light by directions of three ways.

A pixel is the mean over its own square, as a box filter has it, so outlines blend as a
photograph's do. Everything stays on the device of the mesh; all numbers are keyed by pixel, so a
picture is the same whatever it is split into.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nero.reflectance.estimators import shade
from gimbal_nero.relighting.draws import (
    RAYS,
    directions_a_ray,
    draws_of,
    ray_numbers,
    ray_places,
)
from gimbal_nero.relighting.illumination import (
    Illumination,
    MaterialOf,
    Place,
    estimator_of,
    parts_of,
    surface_of,
)
from gimbal_nero.tracing.hits import Hits
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.cameras.pinhole import Pinhole

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Progress = Callable[[int, int], None]

PIXELS_AT_ONCE = 16_384
DIRECTIONS_AT_ONCE = 1 << 18
"""Of one estimate: about 200 MB, and fast on a CPU; a GPU is filled by more."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """A picture to be taken.

    Attributes:
        lens: The camera.
        cam2world: [4, 4], OpenCV axes, in the unit frame.
    """

    lens: Pinhole
    cam2world: Doubles


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What a camera sees.

    Attributes:
        radiance: [H, W, 3] linear, of the object alone: a pixel that it covers by half has half of
            its light.
        coverage: [H, W], share of the pixel that shows the object.
        behind: [H, W, 3] linear, of the light that is seen past it, likewise weighed.
    """

    radiance: Floats
    coverage: Floats
    behind: Floats

    @property
    def whole(self) -> Floats:
        """[H, W, 3] linear, the object before the light."""
        return self.radiance + self.behind


class Renderer:
    """Renders one surface.

    Args:
        traced: The surface, in the unit frame.
        material: What it is made of; asked on the mesh's device.
        directions_at_once: Of one estimate; it changes no number.
    """

    def __init__(
        self,
        traced: TracedMesh,
        material: MaterialOf,
        *,
        directions_at_once: int = DIRECTIONS_AT_ONCE,
    ) -> None:
        self.material = material
        self._traced = traced
        self._at_once = directions_at_once

    @torch.no_grad()
    def render(
        self,
        shot: Shot,
        light: Illumination,
        directions: int,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Picture:
        """Return a picture.

        Args:
            shot: The camera; of any size.
            light: What lights the surface.
            directions: Of each way of choosing, for a whole pixel.
            seed: Of rays and directions.
            progress: Told of pixels.
        """
        shape = (shot.lens.height, shot.lens.width)
        count = shape[0] * shape[1]
        seen: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in range(0, count, PIXELS_AT_ONCE):
            end = min(start + PIXELS_AT_ONCE, count)
            pixels = torch.arange(start, end, device=self._traced.device)
            seen.append(self._pixels(pixels, shot, light, directions, seed))
            if progress is not None:
                progress(end, count)
        radiance, coverage, behind = (torch.cat(part) for part in zip(*seen, strict=True))
        return Picture(
            radiance=_floats(radiance).reshape(*shape, 3),
            coverage=_floats(coverage).reshape(shape),
            behind=_floats(behind).reshape(*shape, 3),
        )

    def _pixels(
        self, pixels: Tensor, shot: Shot, light: Illumination, directions: int, seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return radiance [P, 3], coverage [P] and what is behind [P, 3]."""
        towards = _rays(shot, pixels, ray_places(seed, pixels))
        origin = torch.as_tensor(np.array(shot.cam2world[:3, 3])).to(towards).expand_as(towards)
        hits = self._traced.first_hits(origin, towards)
        each = directions_a_ray(directions)
        numbers = ray_numbers(seed, pixels, each).reshape(-1, 6)[hits.hit]
        sent = self._sent(hits, -towards[hits.hit], numbers, light, each)
        every = towards.new_zeros(len(towards), 3, dtype=torch.float32)
        afar = light.afar(towards[~hits.hit].float())
        radiance = every.index_put((hits.hit,), sent).reshape(-1, RAYS, 3).mean(1)
        behind = every.index_put((~hits.hit,), afar).reshape(-1, RAYS, 3).mean(1)
        return radiance, hits.hit.float().reshape(-1, RAYS).mean(1), behind

    def _sent(
        self, hits: Hits, towards: Tensor, numbers: Tensor, light: Illumination, each: int
    ) -> Tensor:
        """Return what hit points send to the camera [K, 3]."""
        estimator = estimator_of(each, steered=light.table is not None)
        parts = [numbers.new_zeros(0, 3)]
        for part in parts_of(len(hits), estimator, self._at_once):
            surface = surface_of(hits, part, towards[part], self.material)
            place = Place(face_normals=hits.face_normals[part].float(), numbers=numbers[part])
            falling, draws = light.falling_on(place), draws_of(place.numbers)
            parts.append(shade(surface, falling, estimator, draws, light.table).radiance)
        return torch.cat(parts)


def _rays(shot: Shot, pixels: Tensor, places: Tensor) -> Tensor:
    """Return unit directions [P * RAYS, 3] float64 through places [P, RAYS, 2] of pixels."""
    lens = shot.lens
    corners = torch.stack([pixels % lens.width, pixels // lens.width], dim=-1)[:, None]
    principal = places.new_tensor([lens.cx, lens.cy])
    slopes = (corners + places - principal) / places.new_tensor([lens.fx, lens.fy])
    straight = torch.cat([slopes, torch.ones_like(slopes[..., :1])], dim=-1).reshape(-1, 3)
    rotation = torch.as_tensor(np.array(shot.cam2world[:3, :3])).to(straight)
    return functional.normalize(straight @ rotation.T, dim=-1)


def _floats(values: Tensor) -> Floats:
    return np.asarray(values.cpu().numpy(), np.float32)
