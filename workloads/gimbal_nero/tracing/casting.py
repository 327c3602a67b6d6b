"""Which face of a mesh a ray meets first: Embree on the CPU, Warp on CUDA."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from gimbal_vision.meshes import Mesh


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
    """Casts on the CPU.

    Args:
        mesh: At least one face.
    """

    def __init__(self, mesh: Mesh) -> None:
        from gimbal_vision.rendering.rays import RayCaster

        self._caster = RayCaster(mesh)

    def faces(self, origins: Tensor, directions: Tensor) -> Tensor:
        """Return the face [R] that each ray meets first; see `Caster`."""
        _, faces = self._caster.first_hit(origins.numpy(), directions.numpy())
        return torch.from_numpy(faces).long()


def caster_for(mesh: Mesh, device: torch.device) -> Caster:
    """Return what casts rays on a device.

    Raises:
        ShapeError: Rays cannot be cast there; says what is missing.
    """
    if device.type == "cpu":
        return EmbreeCaster(mesh)
    from gimbal_nero.tracing.warp_casting import WarpCaster

    return WarpCaster(mesh, device)
