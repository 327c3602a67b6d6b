"""Which face of a mesh a ray meets first: Embree on the CPU, Warp on CUDA.

Without Warp, rays of a CUDA device go to the CPU and their faces come back: slower, and the same.
"""

from __future__ import annotations

import functools
import logging
from typing import Protocol

import torch
from torch import Tensor

from gimbal_nero.errors import ShapeError
from gimbal_vision.meshes import Mesh

logger = logging.getLogger(__name__)


class Caster(Protocol):
    """Casts rays at the mesh it was made of; faces count from either side."""

    def faces(self, origins: Tensor, directions: Tensor) -> Tensor:
        """Return the face that each ray meets first.

        Args:
            origins: [R, 3] in the mesh's frame, on the caster's device.
            directions: [R, 3] of length 1.

        Returns:
            int64 [R] on the same device, -1 where nothing is met.
        """
        ...


class EmbreeCaster:
    """Casts on the CPU, whatever device rays are on.

    Args:
        mesh: At least one face.
    """

    def __init__(self, mesh: Mesh) -> None:
        from gimbal_vision.rendering.rays import RayCaster

        self._caster = RayCaster(mesh)

    def faces(self, origins: Tensor, directions: Tensor) -> Tensor:
        """Return the face [R] that each ray meets first; see `Caster`."""
        _, faces = self._caster.first_hit(origins.cpu().numpy(), directions.cpu().numpy())
        return torch.from_numpy(faces).long().to(origins.device)


def caster_for(mesh: Mesh, device: torch.device) -> Caster:
    """Return what casts rays of a device: Embree, with a warning, where Warp is missing."""
    if device.type == "cpu":
        return EmbreeCaster(mesh)
    from gimbal_nero.tracing.warp_casting import WarpCaster

    try:
        return WarpCaster(mesh, device)
    except ShapeError as error:
        _warn_once(f"{error.message}; it is traced on the CPU, which is slower. {error.remedy}")
        return EmbreeCaster(mesh)


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(message)
