"""The colour of a surface sample: from material and light, or plainly from a network.

Light is split: a network that knows directions sends light from afar, another one light that the
object sends to itself, and a third says how much of a reflected ray the object blocks
(NeRO, equations 6 to 9). That third one learns from colours and from traced rays, but its inputs
carry no gradient, so it cannot bend the shape to say what it likes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from gimbal_nero.fields import directional, split_sum
from gimbal_nero.fields.encodings import positional
from gimbal_nero.fields.layers import Activation, Predictor
from gimbal_nero.fields.photographer import PhotographerLight
from gimbal_nero.fields.settings import HeadSettings, ModelSettings

_PLACE, _TOWARDS = 8, 6
_F0 = 0.04
_LOG_HALF = math.log(0.5)
_EXIT_RADIUS = 0.999
_MATERIAL = (1, 1, 3)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """N samples in the unit sphere.

    Attributes:
        points: [N, 3]
        normals: [N, 3] of length 1.
        towards: [N, 3] unit directions to the camera.
        features: [N, F] of the distance network.
        frames: [N, 3, 4] world-to-photographer; None without one.
    """

    points: Tensor
    normals: Tensor
    towards: Tensor
    features: Tensor
    frames: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Shaded:
    """Their colours.

    Attributes:
        colour: [N, 3] linear.
        plain: [N, 3] the same of a network that knows no light; None without one.
        occlusion_raw: [N, 1] not clamped; None without that network.
        material: What it was made of, as `Rendered.material` names it.
    """

    colour: Tensor
    plain: Tensor | None = None
    occlusion_raw: Tensor | None = None
    material: Mapping[str, Tensor] = field(default_factory=dict)


class ReflectionShader(nn.Module):
    """Metallic, roughness, albedo, and the light that falls on them.

    Args:
        settings: The model's.
        feature_size: Size of a sample's feature.
    """

    def __init__(self, settings: ModelSettings, feature_size: int) -> None:
        super().__init__()
        heads = settings.heads
        self._shared = settings.trunk == "shared"
        if self._shared:
            self.trunk = _head(heads, feature_size + 3, sum(_MATERIAL), "sigmoid")
        else:
            self.metallic = _head(heads, feature_size + 3, 1, "sigmoid")
            self.roughness = _head(heads, feature_size + 3, 1, "sigmoid")
            self.albedo = _head(heads, feature_size + 3, 3, "sigmoid")
        self.radiance = RadianceShader(settings, feature_size) if settings.dual else None
        place, towards = 3 * (2 * _PLACE + 1), 3 * (2 * _TOWARDS + 1)
        limit, size = settings.light_max_log, directional.SIZE
        self._sphere_direction = settings.sphere_direction
        direct = 2 * size if settings.sphere_direction else size
        self.direct = _head(heads, direct, 3, "exp", max_log=limit, bias=_LOG_HALF)
        self.indirect = _head(heads, place + size, 3, "exp", max_log=limit, bias=_LOG_HALF)
        self.occlusion = (
            _head(heads, place + towards, 1, "none", bias=-0.95) if settings.occlusion else None
        )
        self.photographer = None if settings.photographer == "none" else PhotographerLight(heads)

    def forward(self, samples: Samples) -> Shaded:
        """Return the colour of samples (nero.md 3.5)."""
        facing = (samples.normals * samples.towards).sum(-1, keepdim=True)
        reflected = 2.0 * facing * samples.normals - samples.towards
        described = torch.cat([samples.features, samples.points], dim=-1)
        metallic, roughness, albedo = self._material(described)
        diffuse_light = self._direct(samples.points, samples.normals, torch.ones_like(facing[:1]))
        specular_light, occlusion = self._specular(samples, reflected, roughness)
        scale, offset = split_sum.look_up(facing, roughness)
        at_normal = _F0 * (1.0 - metallic) + metallic * albedo
        colour = (1.0 - metallic) * albedo * diffuse_light
        colour = colour + (at_normal * scale + offset) * specular_light
        material = {
            "metallic": metallic,
            "roughness": roughness,
            "albedo": albedo,
            "specular_light": specular_light,
            "diffuse_light": diffuse_light,
        }
        if occlusion is not None:
            material["occlusion"] = occlusion.clamp(0.0, 1.0)
        plain = None if self.radiance is None else self.radiance(samples).colour
        return Shaded(colour=colour, plain=plain, occlusion_raw=occlusion, material=material)

    def _material(self, described: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return metallic [N, 1], roughness [N, 1] and albedo [N, 3]."""
        if self._shared:
            metallic, roughness, albedo = self.trunk(described).split(_MATERIAL, dim=-1)
            return metallic, roughness, albedo
        return self.metallic(described), self.roughness(described), self.albedo(described)

    def _specular(
        self, samples: Samples, reflected: Tensor, roughness: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return light [N, 3] around reflected rays, and raw occlusion [N, 1]."""
        light = self._direct(samples.points, reflected, roughness)
        if self.photographer is not None and samples.frames is not None:
            colour, coverage = self.photographer(
                samples.points, reflected, roughness, samples.frames
            )
            light = coverage * colour + (1.0 - coverage) * light
        if self.occlusion is None:
            return light, None
        place = positional(samples.points, _PLACE)
        lobe = directional.directional(reflected, roughness)
        indirect = self.indirect(torch.cat([place, lobe], dim=-1))
        asked = torch.cat([place, positional(reflected, _TOWARDS)], dim=-1).detach()
        raw = 0.5 * self.occlusion(asked) + 0.5
        blocked = raw.clamp(0.0, 1.0)
        return blocked * indirect + (1.0 - blocked) * light, raw

    def _direct(self, points: Tensor, directions: Tensor, spread: Tensor) -> Tensor:
        """Return light [N, 3] from afar around directions."""
        lobe = directional.directional(directions, spread)
        if self._sphere_direction:
            leaves = directional.directional(sphere_exit(points, directions), spread)
            lobe = torch.cat([lobe, leaves], dim=-1)
        light: Tensor = self.direct(lobe)
        return light


class RadianceShader(nn.Module):
    """Colour from position, direction, normal and feature, as NeuS has it: for comparison.

    Args:
        settings: The model's.
        feature_size: Size of a sample's feature.
    """

    def __init__(self, settings: ModelSettings, feature_size: int) -> None:
        super().__init__()
        towards = 3 * (2 * 4 + 1)
        self.colour = _head(settings.heads, feature_size + 6 + towards, 3, "sigmoid")

    def forward(self, samples: Samples) -> Shaded:
        """Return the colour of samples."""
        towards = positional(samples.towards, 4)
        asked = torch.cat([samples.features, samples.points, samples.normals, towards], dim=-1)
        return Shaded(colour=self.colour(asked))


def sphere_exit(points: Tensor, directions: Tensor) -> Tensor:
    """Return the unit vectors [N, 3] where rays from points [N, 3] leave the unit sphere.

    Points that are not in it are first brought to radius .999.
    """
    radius = torch.linalg.vector_norm(points, dim=-1, keepdim=True)
    points = torch.where(radius > _EXIT_RADIUS, points / radius * _EXIT_RADIUS, points)
    along = (points * directions).sum(-1, keepdim=True)
    rest = 1.0 + 1e-6 - points.square().sum(-1, keepdim=True)
    distance = (along.square() + rest).sqrt() - along
    return functional.normalize(points + distance * directions, dim=-1)


def _head(
    settings: HeadSettings,
    inputs: int,
    outputs: int,
    activation: Activation,
    *,
    max_log: float = 0.0,
    bias: float | None = None,
) -> Predictor:
    return Predictor(
        inputs,
        outputs,
        layers=settings.layers,
        width=settings.width,
        activation=activation,
        max_log=max_log,
        bias=bias,
    )
