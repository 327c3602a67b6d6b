"""Radiance that points of a surface send to a camera, from light asked in chosen directions.

`mis` adds up the light of all directions with one reflectance and one density, that of all ways
of choosing together (balance heuristic, Veach 1995). Its directions and densities have no
gradient: the gradient of the reflectance alone is then that of the integral, whatever is visible.
`official` is in `official`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gimbal_nero.reflectance.asking import light_from
from gimbal_nero.reflectance.brdf import reflectance_times_cosine
from gimbal_nero.reflectance.environment import EnvironmentTable
from gimbal_nero.reflectance.errors import ReflectanceError
from gimbal_nero.reflectance.frames import (
    frames_of,
    local_view,
    reflections,
    to_surface,
    to_world,
)
from gimbal_nero.reflectance.model import Draws, Light, ShadedPoints, Surface
from gimbal_nero.reflectance.official import shade_as_published
from gimbal_nero.reflectance.sampling import (
    cosine_density,
    cosine_directions,
    golden_points,
    normal_halves,
    normal_halves_density,
    visible_halves,
    visible_halves_density,
)
from gimbal_nero.reflectance.settings import EstimatorSettings


def shade(
    surface: Surface,
    light: Light,
    settings: EstimatorSettings,
    draws: Draws,
    environment: EnvironmentTable | None = None,
) -> ShadedPoints:
    """Estimate what points of a surface send to the camera.

    Args:
        surface: N points.
        light: Asked for at most all samples of all points at once, and only from above.
        settings: Which sum, and of how many directions.
        draws: Uniform numbers of the N points.
        environment: Steers `environment_samples`, where there are any.

    Raises:
        ReflectanceError: Environment samples are wanted of no environment.
    """
    if settings.environment_samples and environment is None:
        raise ReflectanceError(
            "mc.environment_samples are wanted, but no picture of the light is there",
            "write mc.environment_samples: 0, or give an EnvironmentTable",
        )
    if settings.estimator == "official":
        return shade_as_published(surface, light, settings, draws)
    return _shade_by_mis(surface, light, settings, draws, environment)


def _shade_by_mis(
    surface: Surface,
    light: Light,
    settings: EstimatorSettings,
    draws: Draws,
    environment: EnvironmentTable | None,
) -> ShadedPoints:
    frames = frames_of(surface.normals)
    view = local_view(frames, surface.towards)
    with torch.no_grad():
        chosen = _Choice(frames, view, surface.alpha[:, None], settings, environment)
        lights = chosen.directions(draws)
        above = lights[..., 2:] > 0.0
        weight = torch.where(above, 1.0 / torch.where(above, chosen.density(lights), 1.0), 0.0)
    incoming = light_from(light, surface.points, to_world(frames, lights), above[..., 0]) * weight
    parts = (surface.albedo, surface.metallic, surface.alpha)
    sent = reflectance_times_cosine(view, lights, *(part[:, None] for part in parts))
    return ShadedPoints(
        radiance=(sent * incoming).sum(1),
        diffuse_light=(cosine_density(lights) * incoming).sum(1),
    )


class _Choice:
    """All ways of choosing directions at the same points.

    Args:
        frames: [N, 3, 3]
        view: [N, 1, 3] in the frames.
        alpha: [N, 1, 1]
        settings: How many directions of each way.
        environment: There if any are chosen by it.
    """

    def __init__(
        self,
        frames: Tensor,
        view: Tensor,
        alpha: Tensor,
        settings: EstimatorSettings,
        environment: EnvironmentTable | None,
    ) -> None:
        self._frames, self._view, self._alpha = frames, view, alpha
        self._settings = settings
        self._environment = environment if settings.environment_samples else None

    def directions(self, draws: Draws) -> Tensor:
        """Return directions [N, K, 3] in the frames."""
        settings = self._settings
        cosine = cosine_directions(golden_points(settings.diffuse_samples, draws.diffuse))
        places = golden_points(settings.specular_samples, draws.specular)
        if settings.highlight == "visible":
            halves = visible_halves(places, self._view, self._alpha)
        else:
            halves = normal_halves(places, self._alpha)
        ways = [cosine, reflections(self._view, halves)]
        if self._environment is not None:
            places = golden_points(settings.environment_samples, draws.environment)
            ways.append(to_surface(self._frames, self._environment.directions(places)))
        return torch.cat(ways, dim=1)

    def density(self, lights: Tensor) -> Tensor:
        """Return how many directions are expected per steradian [N, K, 1], above 0 from above."""
        settings = self._settings
        by_highlight = (
            visible_halves_density if settings.highlight == "visible" else normal_halves_density
        )
        total = settings.diffuse_samples * cosine_density(lights)
        total = total + settings.specular_samples * by_highlight(self._view, lights, self._alpha)
        if self._environment is not None:
            there = self._environment.density(to_world(self._frames, lights))
            total = total + settings.environment_samples * there
        return total
