"""What goes into the volume renderer and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Rays:
    """R rays in the unit frame.

    Attributes:
        origins: [R, 3] camera centres.
        directions: [R, 3] of length 1.
        photographer: [R, 3, 4] world-to-photographer frame of each ray's view (nero.md 3.6); None
            where nobody stands behind the camera.
    """

    origins: Tensor
    directions: Tensor
    photographer: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Uniform numbers in [0, 1) that belong to each ray; None of it: the middle of every bin.

    Attributes:
        inner: [R] shift of all samples of a ray between near and far.
        outer: [R, background samples] places within their bins.
    """

    inner: Tensor
    outer: Tensor


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What of the renderer depends on the optimizer step.

    Attributes:
        anneal: 0 to 1, how far cos is the true one (nero.md 3.3).
        variance_trains: Whether inv_s gets a gradient.
        step: Optimizer steps done, at some of which cached distances are asked anew; None: what is
            cached stays.
        detail: 0 to 1, the coarser share of a grid's levels that learns.
    """

    anneal: float = 1.0
    variance_trains: bool = True
    step: int | None = None
    detail: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What R rays see.

    Attributes:
        colour: [R, 3] in the space of the targets (sRGB in faithful mode).
        inner_colour: [R, 3] composited from samples in the sphere alone.
        outer_colour: [R, 3] composited from the background alone.
        plain_colour: [R, 3] `colour` where samples in the sphere have the colours of the network
            that knows no light; None without one.
        opacity: [R] weight of all samples in the sphere.
        depth_along_ray: [R] weighted distance of samples in the sphere, at section midpoints.
        normal: [R, 3] weighted unit normals of samples in the sphere, not normalised.
        distances: [R, S] section midpoints, increasing.
        weights: [R, S]
        inside: [R, S] bool, in the unit sphere.
        sdf: [R, S] at the midpoints; 0 outside the sphere.
        gradients: [N, 3] of the SDF at the samples that are inside, in the order of `inside`.
        inner_points: [N, 3] those samples.
        material: Composited `metallic` [R, 1], `roughness` [R, 1], `albedo` [R, 3],
            `occlusion` [R, 1], `specular_light` and `diffuse_light` [R, 3]; empty in mode radiance.
        shaded: [N] bool, which inner samples weighed enough to get a colour; None: all.
        occlusion_raw: [N, 1] unclamped occlusion at the inner samples, 0 where not shaded; None
            without that head.
    """

    colour: Tensor
    inner_colour: Tensor
    outer_colour: Tensor
    opacity: Tensor
    depth_along_ray: Tensor
    normal: Tensor
    distances: Tensor
    weights: Tensor
    inside: Tensor
    sdf: Tensor
    gradients: Tensor
    inner_points: Tensor
    material: Mapping[str, Tensor]
    shaded: Tensor | None = None
    plain_colour: Tensor | None = None
    occlusion_raw: Tensor | None = None
