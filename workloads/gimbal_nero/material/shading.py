"""Points of photographs shaded by material and light: what learning, reviewing and views share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gimbal_nero.material.lighting import TracedLight
from gimbal_nero.material.model import MaterialModel
from gimbal_nero.material.networks import Material
from gimbal_nero.reflectance.environment import EnvironmentTable
from gimbal_nero.reflectance.estimators import shade
from gimbal_nero.reflectance.model import Draws, ShadedPoints, Surface
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_nero.tracing.secondary import SecondaryRays
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.meshes import Mesh

_STEERING_ROWS = 32
"""Of the picture of the light that `mc.environment_samples` follow; it steers, and adds nothing."""
_NEEDED = ("points", "normals", "directions", "rgb", "photographer")


class PointShader:
    """Shades points on whatever device they are.

    Args:
        mesh: In the unit frame; light is traced between its parts.
        settings: How many directions light is asked from.
    """

    def __init__(self, mesh: Mesh, settings: EstimatorSettings) -> None:
        self._mesh = mesh
        self._settings = settings
        self._rays: dict[torch.device, SecondaryRays] = {}

    def shade(
        self, model: MaterialModel, points: Mapping[str, Tensor], material: Material, draws: Draws
    ) -> ShadedPoints:
        """Return what points send to their cameras.

        Args:
            model: The light's networks.
            points: As `given_of` returns them.
            material: Of these points.
            draws: Uniform numbers of each point.
        """
        surface = Surface(
            points=points["points"],
            normals=points["normals"],
            towards=-points["directions"],
            albedo=material.albedo,
            metallic=material.metallic,
            alpha=material.alpha,
        )
        rays = self._rays_on(points["points"].device)
        standing = model.photographer
        photographer = None if standing is None else (standing, points["photographer"])
        light = TracedLight(model.light, rays, photographer)
        table = None
        if self._settings.environment_samples:
            table = EnvironmentTable(model.light.picture(_STEERING_ROWS))
        return shade(surface, light, self._settings, draws, table)

    def _rays_on(self, device: torch.device) -> SecondaryRays:
        if device not in self._rays:
            self._rays[device] = SecondaryRays(TracedMesh(self._mesh, device))
        return self._rays[device]


def given_of(model: MaterialModel, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return what shading needs of `SurfacePoints.fetch`, as the networks' numbers."""
    like = next(model.parameters())
    return {name: torch.as_tensor(batch[name]).to(like) for name in _NEEDED if name in batch}
