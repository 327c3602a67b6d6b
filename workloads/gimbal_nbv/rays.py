"""What each candidate would see of the voxel grid: ray images and counts of visible voxels.

The rays of a protocol never change, so the voxels along them are listed once; a state then costs
one walk along those lists. Rays fill the square around the ball, a voxel apart, and only the part
of a ray inside the ball is walked, half a voxel a step.

Rays measure projected area, but a sample of surface counts fully however slanted it is seen.
Therefore voxels are counted as well, each once however many rays meet it: that measures area.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.protocol import BALL_RADIUS, SphereProtocol
from gimbal_nbv.voxels import Codes
from gimbal_nbv.walking import look, mark, normals_of

Images = NDArray[np.float32]

RAYS = 32
"""Rays along each side of a ray image: one a voxel of the default grid."""

CHANNELS = (
    "hit",
    "hit_depth",
    "unknown_length",
    "open",
    "unknown_depth",
    "rear",
    "frontier",
    "new_surface",
    "closeness",
    "new_side",
    "opposite",
)
"""What a ray tells, each in 0..1.

hit: it meets a known surface; hit_depth: where, as a share of the ball's diameter (0 without);
unknown_length: unknown before that surface; open: any unknown before it; unknown_depth: where the
first unknown lies (1 without); rear: the surface is entered out of unknown, hence from behind;
frontier: unknown voxels next to free ones; new_surface: chance of a new surface if unknown voxels
near known surface are likely surface; closeness: nearness of the ray's unknown to known surface;
new_side: half of 1 - cos between this view and the nearest one that measured the surface it meets;
opposite: that angle exceeds a right angle.
"""

COUNTS = (
    "edge",
    "edge_near",
    "edge_facing",
    "edge_adjacent",
    "edge_close",
    "edge_middle",
    "edge_remote",
    "edge_slanted",
    "edge_near_slanted",
    "unknown",
    "unknown_near",
    "frontier",
    "frontier_near",
    "known",
    "known_averted",
    "rear",
    "new_side",
    "opposite",
)
"""Voxels a candidate sees, each counted once, in units of the grid's face (grid^2 voxels).

edge: first unknown voxel of a ray; near: weighted by nearness to known surface; facing: weighted by
|cos| to the edge's normal; adjacent, close, middle, remote: edges by that distance; slanted: rays
that meet an edge, weighted by 1 / |cos| (an estimate of its area); unknown, frontier: all such
voxels before the first known surface; known: first known surface voxels; averted: weighted by how
far they turn away; rear, new_side, opposite: those of them that `CHANNELS` describes.
"""

_DECAY_VOXELS = 1.5


@dataclass(frozen=True)
class RayTable:
    """The voxels along every ray of every candidate.

    Attributes:
        voxels: Flat voxel indices, ray after ray.
        starts: First entry of each ray, int32 [M * RAYS^2 + 1].
        entry: Where a ray enters the ball, as a share of the diameter [M * RAYS^2].
        step: Length of a step as a share of the diameter.
    """

    voxels: NDArray[np.int32]
    starts: NDArray[np.int32]
    entry: Images
    step: float


@lru_cache(maxsize=8)
def ray_table(protocol: SphereProtocol) -> RayTable:
    """List the voxels along the rays of a protocol's candidates."""
    grid, diameter = protocol.grid, 2 * BALL_RADIUS
    step = diameter / grid / 2
    tangent = BALL_RADIUS / np.sqrt(protocol.radius**2 - BALL_RADIUS**2)
    u = (2 * (np.arange(RAYS) + 0.5) / RAYS - 1) * tangent
    down, right = np.meshgrid(u, u, indexing="ij")
    local = np.stack([right, down, np.ones_like(right)], axis=-1).reshape(-1, 3)
    local /= np.linalg.norm(local, axis=1, keepdims=True)
    along = protocol.radius * local[:, 2]
    half = np.sqrt(np.maximum(BALL_RADIUS**2 - protocol.radius**2 + along**2, 0))
    counts = np.ceil(2 * half / step).astype(int)
    ray = np.repeat(np.arange(len(local)), counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    distance = (along - half)[ray] + (number + 0.5) * step
    lists = []
    for pose in protocol.cameras.cam2world:
        points = pose[:3, 3] + distance[:, None] * (local[ray] @ pose[:3, :3].T)
        cells = np.clip(np.floor((points / diameter + 0.5) * grid).astype(int), 0, grid - 1)
        lists.append((cells @ [grid * grid, grid, 1]).astype(np.int32))
    starts = np.concatenate([[0], np.cumsum(np.tile(counts, protocol.views))])
    entry = (along - half - (protocol.radius - BALL_RADIUS)) / diameter
    return RayTable(
        voxels=np.concatenate(lists),
        starts=starts.astype(np.int32),
        entry=np.tile(entry, protocol.views).astype(np.float32),
        step=step / diameter,
    )


def ray_images(
    codes: Codes,
    observers: NDArray[np.uint16],
    used: NDArray[np.integer[Any]],
    protocol: SphereProtocol,
) -> tuple[Images, Images]:
    """Return what every candidate would see.

    Args:
        codes: Voxel codes of the state [grid, grid, grid].
        observers: Bit n of a voxel: the n-th used view measured a point in it [grid^3].
        used: The state's views, in the order of those bits.
        protocol: Names the candidates.

    Returns:
        Ray images float32 [M, RAYS, RAYS, channels] and voxel counts float32 [M, counts].
    """
    table = ray_table(protocol)
    frontier, nearness = annotate(codes)
    cosines = (protocol.directions @ protocol.directions[used].T).astype(np.float32)
    forward = np.ascontiguousarray(-protocol.directions, np.float32)
    images = np.zeros((protocol.views, RAYS * RAYS, len(CHANNELS)), np.float32)
    counts = np.zeros((protocol.views, len(COUNTS)), np.float32)
    look(
        codes.reshape(-1), frontier, nearness, normals_of(codes), observers, cosines, forward,
        table.voxels, table.starts, table.entry, np.float32(table.step), images, counts,
    )  # fmt: skip
    counts /= protocol.grid**2
    return images.reshape(protocol.views, RAYS, RAYS, len(CHANNELS)), counts


def annotate(codes: Codes) -> tuple[NDArray[np.uint8], Images]:
    """Return which unknown voxels touch free ones, and how near each voxel is to known surface.

    Returns:
        uint8 [grid^3] and float32 [grid^3]: exp(-distance / 1.5 voxels), by a chamfer transform.
    """
    frontier = np.zeros(codes.size, np.uint8)
    distance = np.full(codes.shape, 1e3, np.float32)
    mark(codes, frontier, distance)
    return frontier, np.exp(distance.reshape(-1) * np.float32(-1 / _DECAY_VOXELS))
