"""Rays of light between parts of a surface: whether a direction is open, and what it meets.

They are traced in parts, since an estimator asks for hundreds of directions a point and only the
rays of one part need memory for their hits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gimbal_nero.tracing.hits import Hits, joined
from gimbal_nero.tracing.surface import TracedMesh

RAYS_AT_ONCE = 1 << 20


class SecondaryRays:
    """Traces from points of a surface.

    Args:
        traced: The mesh.
        rays_at_once: Rays of one part; it changes no number.
    """

    def __init__(self, traced: TracedMesh, rays_at_once: int = RAYS_AT_ONCE) -> None:
        self._traced = traced
        self._at_once = rays_at_once

    def trace(self, points: Tensor, directions: Tensor) -> Hits:
        """Return what rays meet; nothing has a gradient.

        Args:
            points: [M, 3] in the unit frame, lifted off the mesh: `Hits.starts`, as
                `SurfacePoints` gives them; on any device.
            directions: [M, 3] of length 1, away from the surface.

        Returns:
            `hit` [M], and rows of the rays that met the mesh alone, on the device of `points`.
        """
        home, device = points.device, self._traced.device
        rays = points.detach().to(device), directions.detach().to(device)
        parts = zip(*(torch.split(ray, self._at_once) for ray in rays), strict=True)
        return _moved(joined([self._traced.first_hits(*part) for part in parts]), home)


def _moved(hits: Hits, device: torch.device) -> Hits:
    if hits.hit.device == device:
        return hits
    return Hits(**{name: value.to(device) for name, value in vars(hits).items()})
