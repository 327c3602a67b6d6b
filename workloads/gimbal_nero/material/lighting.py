"""Light that falls on a surface: from afar, or from another part of the object (nero.md 6.3).

Whether a direction is open is traced and not learnt. What a hit point sends is a network of where
it is and of the direction its mirror image lies in, not of its material: the paper's shortcut for
bounces.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gimbal_nero.exporting.environment import environment_directions
from gimbal_nero.fields import directional
from gimbal_nero.fields.encodings import positional
from gimbal_nero.fields.layers import Predictor
from gimbal_nero.fields.photographer import PhotographerLight
from gimbal_nero.fields.shading import sphere_exit
from gimbal_nero.material.picture_light import PictureLight, looked_up
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.tracing.secondary import SecondaryRays

_PLACE = 8
_LOG_HALF = math.log(0.5)
_TOO_NEAR = 1e-5
"""Hits so near are the surface itself; they send nothing, as published."""


class LightNetworks(nn.Module):
    """Light from afar by direction, and light from the object by place and mirror direction.

    Args:
        settings: Their size.
    """

    def __init__(self, settings: MaterialSettings) -> None:
        super().__init__()
        self._sphere_direction, self._rows = settings.sphere_direction, settings.light_rows
        size, place = directional.SIZE, 3 * (2 * _PLACE + 1)
        self.outer: Predictor | PictureLight = (
            PictureLight(settings.picture_rows, max_log=settings.light_max_log)
            if settings.light == "picture"
            else _light(settings, 2 * size if settings.sphere_direction else size)
        )
        self.inner = _light(settings, place + size)

    def from_afar(self, points: Tensor, directions: Tensor) -> Tensor:
        """Return radiance [M, 3] from unit directions [M, 3], seen from points [M, 3].

        A picture that is looked up is drawn anew by every call: it is never older than the
        weights, and its gradient is theirs.
        """
        if isinstance(self.outer, PictureLight):
            seen: Tensor = self.outer(directions)
            return seen
        if self._rows:
            return looked_up(self._drawn(directions), directions)
        return self._asked(points, directions)

    def picture(self, rows: int) -> Tensor:
        """Return light from afar as seen from the centre, [rows, 2 rows, 3], without a gradient.

        It is z-up, row 0 at +z and the centre column at +x: what an `EnvironmentTable` takes.
        """
        towards = _texels(rows, next(self.parameters()))
        with torch.no_grad():
            seen = self.from_afar(torch.zeros_like(towards), towards)
        return seen.view(rows, 2 * rows, 3)

    def _drawn(self, like: Tensor) -> Tensor:
        """Return [1, 3, rows, 2 rows] of the network."""
        towards = _texels(self._rows, like)
        said = self._asked(torch.zeros_like(towards), towards)
        return said.T.reshape(1, 3, self._rows, 2 * self._rows)

    def _asked(self, points: Tensor, directions: Tensor) -> Tensor:
        sharp = directions.new_zeros(1, 1)
        lobe = directional.directional(directions, sharp)
        if self._sphere_direction:
            leaves = directional.directional(sphere_exit(points, directions), sharp)
            lobe = torch.cat([lobe, leaves], dim=-1)
        light: Tensor = self.outer(lobe)
        return light

    def from_object(self, points: Tensor, mirrored: Tensor) -> Tensor:
        """Return radiance [M, 3] of points [M, 3] whose mirror directions are [M, 3]."""
        lobe = directional.directional(mirrored, mirrored.new_zeros(1, 1))
        light: Tensor = self.inner(torch.cat([positional(points, _PLACE), lobe], dim=-1))
        return light


class TracedLight:
    """`gimbal_nero.reflectance.model.Light` of networks and a mesh.

    Args:
        networks: What open directions and hit points send.
        rays: Trace the mesh.
        photographer: Who stands in the way of light from afar, as a network and his frames
            [N, 3, 4], one for each surface point; None: nobody.
    """

    def __init__(
        self,
        networks: LightNetworks,
        rays: SecondaryRays,
        photographer: tuple[PhotographerLight, Tensor] | None = None,
    ) -> None:
        self._networks = networks
        self._rays = rays
        self._photographer = photographer

    def __call__(self, points: Tensor, directions: Tensor, rows: Tensor) -> Tensor:
        """Return radiance [M, 3] that arrives at points [M, 3] from unit directions [M, 3]."""
        hits = self._rays.trace(points, directions)
        open_ = ~hits.hit
        light = points.new_zeros((len(points), 3))
        if bool(open_.any()):
            afar = self._from_afar(points[open_], directions[open_], rows[open_])
            light = light.index_put((open_,), afar)
        if len(hits):
            towards = directions[hits.hit]
            along = (hits.normals * towards).sum(-1, keepdim=True)
            mirrored = towards - 2.0 * along * hits.normals
            sent = self._networks.from_object(hits.points, mirrored)
            far = (hits.distances > _TOO_NEAR)[:, None]
            light = light.index_put((hits.hit,), sent * far)
        return light

    def _from_afar(self, points: Tensor, directions: Tensor, rows: Tensor) -> Tensor:
        light = self._networks.from_afar(points, directions)
        if self._photographer is None:
            return light
        network, frames = self._photographer
        sharp = directions.new_zeros(len(directions), 1)
        colour, coverage = network(points, directions, sharp, frames[rows])
        seen: Tensor = coverage * colour + (1.0 - coverage) * light
        return seen


def _texels(rows: int, like: Tensor) -> Tensor:
    """Return directions [2 rows^2, 3] of a picture's texels, in the precision of a tensor."""
    return torch.from_numpy(environment_directions(rows)).to(like).view(-1, 3)


def _light(settings: MaterialSettings, inputs: int) -> Predictor:
    heads = settings.heads
    return Predictor(
        inputs,
        3,
        layers=heads.layers,
        width=heads.width,
        activation="exp",
        max_log=settings.light_max_log,
        bias=_LOG_HALF,
    )
