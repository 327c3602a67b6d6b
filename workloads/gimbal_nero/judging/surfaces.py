"""How far two surfaces are apart as cameras see them (nero.md 5).

Only what views show counts: the underside that no photograph has cannot be right or wrong. Points
are thinned out on a grid, so what many views see weighs no more than what one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.capture import View
from gimbal_nero.meshing.seeing import Seen
from gimbal_vision.meshes import Mesh
from gimbal_vision.nearest import match

Doubles = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Surfaces:
    """What the judged views see.

    Attributes:
        views: The judged ones.
        said: What each sees of the judged mesh.
        true: What each sees of the truth; None where there is none.
        mesh: The true mesh in the unit frame; None where only depth is known, or nothing.
    """

    views: Sequence[View]
    said: Sequence[Seen]
    true: Sequence[Seen] | None = None
    mesh: Mesh | None = None


@dataclass(frozen=True, kw_only=True)
class Distances:
    """How far two visible surfaces are apart, in unit lengths.

    Attributes:
        chamfer: Half the sum of both means.
        accuracy: Mean distance from said points to true ones.
        completeness: Mean distance from true points to said ones.
        said_points: How many were compared.
        true_points: How many were compared.
    """

    chamfer: float
    accuracy: float
    completeness: float
    said_points: int
    true_points: int


def points_of(view: View, depth: Doubles) -> Doubles:
    """Return the points [N, 3] that a view sees, in the unit frame, at its pixels' centres."""
    shown = np.isfinite(depth)
    in_camera = view.camera.z_one_rays()[shown] * depth[shown][:, None]
    points: Doubles = in_camera @ view.cam2world[:3, :3].T + view.cam2world[:3, 3]
    return points


def thinned(points: Doubles, voxel: float) -> Doubles:
    """Return the mean point of every cell of a grid that holds any.

    Args:
        points: [N, 3]
        voxel: Side of a cell.
    """
    _, cell, counts = np.unique(cells_of(points, voxel), return_inverse=True, return_counts=True)
    sums = [np.bincount(cell, weights=points[:, axis], minlength=len(counts)) for axis in range(3)]
    return np.asarray(np.stack(sums, axis=-1) / counts[:, None], np.float64)


def cells_of(points: Doubles, voxel: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a number [N] for each point that only points of the same cell of a grid have.

    Args:
        points: [N, 3]
        voxel: Side of a cell.
    """
    cells = np.floor(points / voxel).astype(np.int64)
    cells -= cells.min(axis=0, initial=0)
    size = cells.max(axis=0, initial=0) + 1
    return np.asarray((cells[:, 0] * size[1] + cells[:, 1]) * size[2] + cells[:, 2], np.int64)


def distances(said: Sequence[Doubles], true: Sequence[Doubles], voxel: float) -> Distances | None:
    """Compare the points that the views see of two surfaces; None where one shows none.

    Args:
        said: [N, 3] points of each view.
        true: [M, 3] points of each view.
        voxel: Side of the grid on which both are thinned out.
    """
    clouds = [thinned(np.concatenate(points), voxel) for points in (said, true)]
    if not all(len(cloud) for cloud in clouds):
        return None
    matched = match(*clouds)
    accuracy = float(np.linalg.norm(matched.first_offsets, axis=-1).mean())
    completeness = float(np.linalg.norm(matched.second_offsets, axis=-1).mean())
    return Distances(
        chamfer=0.5 * (accuracy + completeness),
        accuracy=accuracy,
        completeness=completeness,
        said_points=len(clouds[0]),
        true_points=len(clouds[1]),
    )


def normal_angles_deg(said: Seen, true: Seen) -> Doubles:
    """Return the angles [N] between normals at pixels where both surfaces are seen."""
    if said.normals is None or true.normals is None:
        return np.zeros(0)
    both = np.isfinite(said.depth) & np.isfinite(true.depth)
    cosine: Doubles = (said.normals[both] * true.normals[both]).sum(-1)
    return np.asarray(np.degrees(np.arccos(cosine.clip(-1.0, 1.0))), np.float64)
