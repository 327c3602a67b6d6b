"""Random assemblies: each part grows out of the surface of an earlier one."""

from __future__ import annotations

import numpy as np

from gimbal_nbv.shapes.primitives import box, capsule, cylinder, ellipsoid, torus
from gimbal_nbv.shapes.solid import Solid, merge, random_direction, rotation_about, rotation_to


def jointed(rng: np.random.Generator, parts: int) -> Solid:
    """Join `parts` random primitives end to surface."""
    solids = [random_part(rng, scale=1.0)]
    for _ in range(parts - 1):
        parent = solids[rng.integers(len(solids))]
        solids.append(_grown(rng, parent, random_part(rng, scale=rng.uniform(0.45, 1.0))))
    return merge(solids)


def random_part(rng: np.random.Generator, scale: float) -> Solid:
    """Draw a primitive about `scale` long, longest along z."""
    kind = rng.choice(["box", "cylinder", "cone", "ellipsoid", "capsule", "torus"])
    length, a, b = scale, scale * rng.uniform(0.15, 0.9), scale * rng.uniform(0.15, 0.9)
    match kind:
        case "box":
            return box([a, b, length])
        case "cylinder":
            return cylinder(a / 2, length)
        case "cone":
            return cylinder(a / 2, length, top=rng.uniform(0.0, 0.5) * a)
        case "ellipsoid":
            return ellipsoid([a / 2, b / 2, length / 2])
        case "capsule":
            return capsule(a / 3, length - a / 3)
        case _:
            minor = rng.uniform(0.06, 0.15) * scale
            ring = torus(length / 2 - minor, minor)
            return ring.turned(rotation_about([1, 0, 0], np.pi / 2))


def _grown(rng: np.random.Generator, parent: Solid, child: Solid) -> Solid:
    low, high = parent.bounds()
    anchor = parent.vertices[rng.integers(len(parent.vertices))]
    outward = anchor - (low + high) / 2
    outward = outward / max(float(np.linalg.norm(outward)), 1e-9)
    direction = outward + 0.6 * random_direction(rng)
    half = np.ptp(child.vertices[:, 2]) / 2
    spun = child.turned(rotation_about([0, 0, 1], rng.uniform(0, 2 * np.pi)))
    lifted = spun.moved([0, 0, rng.uniform(0.3, 0.85) * half])
    return lifted.turned(rotation_to(direction)).moved(anchor)
