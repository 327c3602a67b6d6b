"""Where each camera of a rig sees a direction.

A camera sees what projects to 0 <= u <= W and 0 <= v <= H in continuous coordinates (pixel centres
at +.5), the outer halves of its border pixels included. The narrower rule that a bilinear lookup
suggests, from the first pixel centre to the last, would leave a seam of unseen directions where two
cameras touch exactly, as OPV2V's front and side cameras do at 50 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.panoramas.rig import Rig, RigCamera

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

EDGE_PX = 1e-6
"""So far beyond its border a camera still sees: the rounding error of a projection."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """One camera, or with a leading axis of N all cameras, looking along an array of rays.

    Attributes:
        u: [...] float64 pixels from the left edge, centres at +.5; NaN behind the camera.
        v: [...] float64 pixels from the upper edge.
        cosine: [...] float64 of the angle between the optical axis and the ray.
        seen: [...] bool.
    """

    u: FloatArray
    v: FloatArray
    cosine: FloatArray
    seen: Bools


def sight_directions(camera: RigCamera, rays_car: FloatArray, min_cosine: float) -> Sighting:
    """Return where a camera sees what lies infinitely far along unit rays of the car's frame."""
    rays = rays_car @ camera.car_from_camera[:3, :3]
    pixels, _ = camera.camera.project(rays)
    u, v, cosine = pixels[..., 0], pixels[..., 1], rays[..., 2]
    model = camera.camera
    inside = (u >= -EDGE_PX) & (u <= model.width + EDGE_PX)
    inside &= (v >= -EDGE_PX) & (v <= model.height + EDGE_PX)
    return Sighting(u=u, v=v, cosine=cosine, seen=inside & (cosine > min_cosine))


def all_directions(rig: Rig, rays_car: FloatArray, min_cosine: float) -> Sighting:
    """Return `sight_directions` of every camera, stacked along a new first axis."""
    each = [sight_directions(c, rays_car, min_cosine) for c in rig.cameras]
    return Sighting(
        u=np.stack([s.u for s in each]),
        v=np.stack([s.v for s in each]),
        cosine=np.stack([s.cosine for s in each]),
        seen=np.stack([s.seen for s in each]),
    )
