"""Protocol `sphere-v1`: where cameras may stand, what they see, how an object is judged.

Every number that decides a result is a field here, so that one record names the experiment. The
object is scaled to bounding-box diagonal 1 and centred; it then lies inside a ball of radius 1/2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.spheres import fibonacci_sphere, sphere_cameras

BALL_RADIUS = 0.5
"""Radius of the ball around the origin that holds every normalised object."""


@dataclass(frozen=True, kw_only=True)
class SphereProtocol:
    """One candidate sphere around a normalised object.

    Attributes:
        name: Name under which results are published.
        views: Candidate cameras M, on a Fibonacci sphere, looking at the origin.
        radius: Distance of the cameras from the origin, in bbox diagonals.
        fov_deg: Angle of view of the square images.
        image_size: Side of the depth images in pixels.
        samples: Coverable surface samples P per object.
        reference_views: Directions that decide whether a sample is coverable at all.
        max_incidence_deg: A sample counts as seen up to this angle between ray and normal.
        clearance: Length of the segment end, in diagonals, left out of the obstruction test.
        grid: Voxels along each side of the cube around the ball.
        max_single_coverage: Objects of which one view covers more are left out.
        f_threshold: Distance of the F-score, in diagonals.
        depth_noise: Standard deviation of Gaussian depth noise in diagonals; coverage ignores it.
    """

    name: str = "sphere-v1"
    views: int = 64
    radius: float = 1.5
    fov_deg: float = 42.0
    image_size: int = 96
    samples: int = 2500
    reference_views: int = 48
    max_incidence_deg: float = 80.0
    clearance: float = 2e-3
    grid: int = 32
    max_single_coverage: float = 0.95
    f_threshold: float = 0.01
    depth_noise: float = 0.0

    @cached_property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors [M,3] from the origin to the candidate cameras."""
        return fibonacci_sphere(self.views)

    @cached_property
    def cameras(self) -> PinholeCameras:
        """The candidate cameras."""
        return self.cameras_of(self.image_size)

    def cameras_of(self, image_size: int) -> PinholeCameras:
        """Return the candidate cameras with images of another size."""
        return sphere_cameras(self.directions, self.radius, self.fov_deg, image_size, image_size)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every field."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def first_frames(protocol: SphereProtocol, views: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return rotations [B,3,3] from the frames of some candidates [B] to the world.

    z points towards the candidate, x along its camera's right.
    """
    poses = protocol.cameras.cam2world[views, :3, :3]
    return np.asarray(poses * [1.0, -1.0, -1.0])


def first_views(protocol: SphereProtocol, object_id: str, count: int, seed: int) -> list[int]:
    """Return the first views of an object: drawn without repeats, the same for every policy.

    Args:
        protocol: Names the candidates.
        object_id: Different objects start from different views.
        count: How many; at most M.
        seed: Seed of the list.
    """
    rng = np.random.default_rng([seed, crc32(object_id.encode())])
    return [int(view) for view in rng.permutation(protocol.views)[:count]]


def starts_of(
    protocol: SphereProtocol, object_id: str, count: int, seed: int, first_view: int | None
) -> list[int]:
    """Return where rollouts on an object start.

    Args:
        protocol: Names the candidates.
        object_id: See `first_views`.
        count: How many where they are drawn.
        seed: Seed of the draw.
        first_view: The one start of an experiment that fixes it (its key `first_view`), or None.
    """
    return first_views(protocol, object_id, count, seed) if first_view is None else [first_view]


def frozen_list_digest(
    protocol: SphereProtocol,
    meshes: Mapping[str, str],
    *,
    first_view_count: int,
    seed: int,
    first_view: int | None = None,
) -> str:
    """Return the SHA-256 that freezes an evaluation: protocol, objects and first views.

    Two results may be compared when this is equal.

    Args:
        protocol: How objects are judged.
        meshes: SHA-256 of each object's normalised mesh, by the object's name.
        first_view_count: First views of an object.
        seed: Seed of their list.
        first_view: The one first view of every object, where it is fixed.
    """
    record = {
        "protocol": protocol.digest,
        "objects": {
            name: [sha256, starts_of(protocol, name, first_view_count, seed, first_view)]
            for name, sha256 in meshes.items()
        },
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
