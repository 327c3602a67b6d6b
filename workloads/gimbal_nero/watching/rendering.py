"""Rays through a trained shape as arrays, without gradients and without jitter.

Everything after this works on arrays of numpy, so that no check depends on a device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gimbal_nero.learning.port import Fields
from gimbal_nero.volume.model import Moment, Rays, Rendered

Array = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What R rays see; see `gimbal_nero.volume.model.Rendered`.

    Attributes:
        colour: [R, 3] sRGB, not clipped; `inner` and `outer` likewise.
        inner: From samples in the unit sphere alone.
        outer: From the background alone.
        opacity: [R]
        depth: [R] weighted distance along the ray of samples in the sphere.
        normal: [R, 3]
        distances: [R, S] unit lengths.
        weights: [R, S]
        inside: [R, S]
        sdf: [R, S]; 0 outside the sphere.
        gradient_length: [N] of the distance at the samples in the sphere.
        material: [R, C] each, weighted sums; empty where colours are not made of materials.
    """

    colour: Floats
    inner: Floats
    outer: Floats
    opacity: Floats
    depth: Floats
    normal: Floats
    distances: Floats
    weights: Floats
    inside: Bools
    sdf: Floats
    gradient_length: Floats
    material: Mapping[str, Floats]


def see(fields: Fields, module: nn.Module, rays: Mapping[str, Array], at_once: int) -> Seen:
    """Render rays.

    Args:
        fields: The renderer.
        module: The networks, in evaluation mode.
        rays: `origins` and `directions` [R, 3] in the unit frame, and `photographer` [R, 3, 4]
            where the light knows one, as `RaySource.fetch` returns them.
        at_once: Rays of one forward pass.
    """
    count = len(rays["origins"])
    parts = []
    with torch.no_grad():
        for first in range(0, count, at_once):
            chosen = slice(first, first + at_once)
            parts.append(_arrays(fields, _render(fields, module, rays, chosen)))
    return _joined(parts)


def distances_at(fields: Fields, module: nn.Module, points: Array, at_once: int) -> Floats:
    """Return [N] signed distances of [N, 3] points in the unit frame."""
    like = next(module.parameters())
    found = []
    with torch.no_grad():
        for first in range(0, len(points), at_once):
            part = torch.as_tensor(points[first : first + at_once]).to(like)
            found.append(_array(fields.sdf(module, part)))
    return np.concatenate(found)


def _render(
    fields: Fields, module: nn.Module, rays: Mapping[str, Array], chosen: slice
) -> Rendered:
    like = next(module.parameters())

    def part(name: str) -> Tensor:
        return torch.as_tensor(np.asarray(rays[name][chosen])).to(like)

    frames = part("photographer") if rays.get("photographer") is not None else None
    asked = Rays(origins=part("origins"), directions=part("directions"), photographer=frames)
    return fields.render(module, asked, None, Moment())


def _arrays(fields: Fields, found: Rendered) -> dict[str, Any]:
    return {
        "colour": _array(fields.srgb(found.colour)),
        "inner": _array(fields.srgb(found.inner_colour)),
        "outer": _array(fields.srgb(found.outer_colour)),
        "opacity": _array(found.opacity),
        "depth": _array(found.depth_along_ray),
        "normal": _array(found.normal),
        "distances": _array(found.distances),
        "weights": _array(found.weights),
        "inside": found.inside.cpu().numpy(),
        "sdf": _array(found.sdf),
        "gradient_length": np.linalg.norm(_array(found.gradients), axis=-1),
        "material": {name: _array(value) for name, value in found.material.items()},
    }


def _joined(parts: Sequence[dict[str, Any]]) -> Seen:
    plain = {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
        if name != "material"
    }
    names = parts[0]["material"]
    material = {name: np.concatenate([part["material"][name] for part in parts]) for name in names}
    return Seen(**plain, material=material)


def _array(values: Tensor) -> Floats:
    """Return doubles; what is not finite stays so, for the gates to see."""
    return np.asarray(values.detach().cpu().numpy(), np.float64)
