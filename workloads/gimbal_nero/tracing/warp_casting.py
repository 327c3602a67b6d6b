"""Rays against a mesh on CUDA, by NVIDIA Warp.

Tensors are lent to Warp and not copied: rays are made on the card by the estimator, and the faces
they meet are used there.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gimbal_nero.errors import ShapeError
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering.unit_frame import UnitFrame


class WarpCaster:
    """Casts rays on one device.

    Args:
        mesh: At least one face.
        device: Where the rays will be; `cpu` is there to try it out, and slower than Embree.

    Raises:
        ShapeError: Warp is not installed, or does not find the device.
    """

    def __init__(self, mesh: Mesh, device: torch.device) -> None:
        self._warp = _warp()
        self._device = _device_of(self._warp, device)
        frame = UnitFrame.of(mesh)
        self._centre = torch.as_tensor(frame.centre, device=device)
        self._scale = frame.scale
        wp = self._warp
        with wp.ScopedDevice(self._device):
            self._mesh: Any = wp.Mesh(
                points=wp.array(frame.points(mesh.vertices), dtype=wp.vec3),
                indices=wp.array(np.ascontiguousarray(mesh.faces, np.int32).ravel(), dtype=int),
            )

    def faces(self, origins: Tensor, directions: Tensor) -> Tensor:
        """Return the face [R] that each ray meets first; see `Caster`."""
        from gimbal_nero.tracing.warp_kernel import first_face

        wp = self._warp
        moved = ((origins - self._centre.to(origins)) * self._scale).float().contiguous()
        aimed = directions.float().contiguous()
        met = torch.empty(len(origins), dtype=torch.int32, device=origins.device)
        if not len(met):
            return met.long()
        inputs = [
            self._mesh.id,
            wp.from_torch(moved, dtype=wp.vec3),
            wp.from_torch(aimed, dtype=wp.vec3),
        ]
        with wp.ScopedDevice(self._device), self._torch_order(origins.device):
            wp.launch(first_face, dim=len(met), inputs=inputs, outputs=[wp.from_torch(met)])
        return met.long()

    def _torch_order(self, device: torch.device) -> Any:
        """Have the kernel wait for what torch was asked before, and torch for the kernel."""
        if device.type != "cuda":
            return contextlib.nullcontext()
        stream = self._warp.stream_from_torch(torch.cuda.current_stream(device))
        return self._warp.ScopedStream(stream)


def _warp() -> Any:
    try:
        import warp
    except ImportError as error:
        raise ShapeError(
            "light is not traced on the CUDA device, since the package warp-lang is not installed",
            "pip install 'gimbal[warp]'",
        ) from error
    warp.config.log_level = max(warp.config.log_level, warp.LOG_WARNING)
    warp.init()
    return warp


def _device_of(warp: Any, device: torch.device) -> Any:
    if device.type == "cuda" and not warp.is_cuda_available():
        raise ShapeError(
            f"warp finds no CUDA device for {device}",
            "install an NVIDIA driver, or trace on the CPU",
        )
    try:
        return warp.device_from_torch(_indexed(device))
    except (RuntimeError, ValueError) as error:
        raise ShapeError(
            f"warp cannot trace on the device {device}: {error}",
            "take cuda, cuda:N or cpu",
        ) from error


def _indexed(device: torch.device) -> torch.device:
    """Name the card that plain `cuda` means, which Warp does not guess."""
    plain = str(device) == "cuda"
    return torch.device("cuda", torch.cuda.current_device()) if plain else device
