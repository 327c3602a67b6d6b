"""Which surface samples a camera sees: exact ray segments, no pixels involved.

A pixel-based test would measure the resolution of the images (pixels are .0096 apart at 96^2);
a segment test measures visibility. Surfaces are two-sided, since real files are often wound at
random: a sample counts as seen from either side.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.errors import UnusableObject
from gimbal_nbv.protocol import SphereProtocol
from gimbal_vision.meshes import Mesh
from gimbal_vision.spheres import fibonacci_sphere

Points = NDArray[np.float64]
Flags = NDArray[np.bool_]

_ROUNDS = 12
"""Batches of samples drawn before an object counts as hardly visible."""


class SegmentTester(Protocol):
    """Tells which segments a surface obstructs, such as `gimbal_vision`'s `RayCaster`."""

    def occluded(self, origins: Any, targets: Any, epsilon: float = 0.0) -> Flags:
        """Return whether the surface crosses segments [N,3] to [N,3], up to `epsilon` short."""
        ...


def visible_from(
    positions: Points,
    samples: Points,
    normals: Points,
    tester: SegmentTester,
    protocol: SphereProtocol,
) -> Flags:
    """Return which samples each position sees.

    Args:
        positions: Camera centres [V,3].
        samples: Surface points [P,3].
        normals: Unit normals of the surface there [P,3], of either sign.
        tester: The surface.
        protocol: Gives the largest incidence and the clearance at the surface.

    Returns:
        bool [V,P]: the segment is free up to the clearance, and the angle between the segment and
        the normal is below the largest incidence.
    """
    ray = samples[None] - positions[:, None]
    length = np.linalg.norm(ray, axis=-1)
    cosine = np.abs(np.einsum("vpk,pk->vp", ray, normals)) / length
    visible = cosine > np.cos(np.deg2rad(protocol.max_incidence_deg))
    view, sample = np.nonzero(visible)
    visible[view, sample] = ~tester.occluded(positions[view], samples[sample], protocol.clearance)
    return np.asarray(visible)


def coverable_samples(
    mesh: Mesh, tester: SegmentTester, protocol: SphereProtocol, seed: int
) -> tuple[Points, Points]:
    """Draw surface samples that some direction around the object can see.

    Returns:
        Samples and their face normals, float64 [P,3] each, P of the protocol.

    Raises:
        UnusableObject: Hardly any of the surface can be seen from outside.
    """
    reference = protocol.radius * fibonacci_sphere(protocol.reference_views)
    rng = np.random.default_rng(seed)
    kept: list[tuple[Points, Points]] = []
    count = 0
    for _ in range(_ROUNDS):
        points, normals = sample_surface(mesh, protocol.samples, rng)
        seen = visible_from(reference, points, normals, tester, protocol).any(axis=0)
        kept.append((points[seen], normals[seen]))
        count += int(seen.sum())
        if count >= protocol.samples:
            samples, directions = (np.concatenate(part) for part in zip(*kept, strict=True))
            return samples[: protocol.samples], directions[: protocol.samples]
    share = count / (_ROUNDS * protocol.samples)
    raise UnusableObject(
        f"only {share:.1%} of the surface can be seen from outside",
        "remove the inner faces of the mesh or leave it out",
    )


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[Points, Points]:
    """Draw points uniformly by area, with their face normals [count,3] each."""
    corners = mesh.vertices[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    total = np.cumsum(area)
    face = np.searchsorted(total, rng.random(count) * total[-1], side="right")
    u, v = rng.random((2, count, 1))
    root = np.sqrt(u)
    a, b, c = corners[face].transpose(1, 0, 2)
    return (1 - root) * a + root * (1 - v) * b + root * v * c, cross[face] / area[face, None]
