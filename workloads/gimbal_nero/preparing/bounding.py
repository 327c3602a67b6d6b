"""What the unit sphere is to enclose, found without a manual step.

Three ways, by how much is known: the object's own points, the visual hull of masks, or what all
cameras look at. The last is the default of bare photographs, not the sparse points: a mirror has
hardly any of those, and the table it stands on has many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.capture import Bools
from gimbal_nero.errors import CaptureError
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.poses import invert_pose, transform_points

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_CELLS = 32
"""Cells of the visual hull's grid along an axis; it is laid twice, the second time closely."""
_AGREE = 0.97
"""Share of the views that see a cell in which it must be object; one bad mask carves nothing."""
_LEAST_SPARSE = 50
_NEIGHBOURS = 8
_FAR_NEIGHBOUR = 4.0
"""Points whose neighbours are further off than this times the median are strays."""
_LEAST_EIGENVALUE = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Posed:
    """A pinhole where it stood.

    Attributes:
        camera: Of the image.
        cam2source: [4, 4].
        mask: [H, W] of the image, or none.
    """

    camera: Pinhole
    cam2source: Doubles
    mask: Bools | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ball:
    """A sphere in the source frame: centre [3] and radius."""

    centre: Doubles
    radius: float


def ball_of_points(points: Doubles) -> Ball:
    """Return the ball about the middle of the points' axis-aligned box that just holds them all.

    NeRO's rule; the box's middle, unlike the mean, does not depend on where points are dense.

    Raises:
        CaptureError: All points are one.
    """
    centre = 0.5 * (points.max(axis=0) + points.min(axis=0))
    radius = float(np.linalg.norm(points - centre, axis=-1).max())
    if not radius > 0:
        raise CaptureError("the object's points are all one point", "crop the object's points anew")
    return Ball(centre=centre, radius=radius)


def axes_meet(poses: Doubles) -> Doubles:
    """Return the point nearest to all optical axes, by least squares.

    Args:
        poses: [N, 4, 4] camera to world.

    Returns:
        [3].

    Raises:
        CaptureError: The axes are parallel.
    """
    forward, centres = poses[:, :3, 2], poses[:, :3, 3]
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    total = across.mean(axis=0)
    if np.linalg.eigvalsh(total)[0] < _LEAST_EIGENVALUE:
        raise CaptureError(
            "the cameras look the same way, so nothing says where the object is",
            "give masks or object_point_cloud.ply, or photographs from around the object",
        )
    aimed = (across @ centres[:, :, None])[..., 0].mean(axis=0)
    return np.asarray(np.linalg.solve(total, aimed), np.float64)


def ball_of_frusta(views: Sequence[Posed]) -> Ball:
    """Return the largest ball about the axes' meeting point that nine views in ten see whole.

    Raises:
        CaptureError: The cameras do not look at one place.
    """
    centre = axes_meet(np.stack([view.cam2source for view in views]))
    rooms = [_room(view, centre) for view in views]
    radius = float(np.quantile(rooms, 0.1))
    if not radius > 0:
        raise CaptureError(
            "the cameras do not look at one place: no ball is in view of nine in ten",
            "give masks or object_point_cloud.ply, or take out the stray photographs",
        )
    return Ball(centre=centre, radius=radius)


def _room(view: Posed, centre: Doubles) -> float:
    """Return the distance of a point from the nearest side of a frustum, negative outside."""
    in_camera = transform_points(invert_pose(view.cam2source), centre[None])
    x, y, z = np.asarray(in_camera, np.float64).reshape(3)
    c = view.camera
    sides = (
        (x * c.fx + z * c.cx, np.hypot(c.fx, c.cx)),
        (z * (c.width - c.cx) - x * c.fx, np.hypot(c.fx, c.width - c.cx)),
        (y * c.fy + z * c.cy, np.hypot(c.fy, c.cy)),
        (z * (c.height - c.cy) - y * c.fy, np.hypot(c.fy, c.height - c.cy)),
    )
    return float(min(distance / length for distance, length in sides))


def ball_of_sparse_points(points: Doubles, views: Sequence[Posed]) -> Ball:
    """Return the ball of the sparse points in view of all cameras, strays left out.

    Raises:
        CaptureError: There are too few.
    """
    from scipy.spatial import cKDTree

    seen = ball_of_frusta(views)
    inside = points[np.linalg.norm(points - seen.centre, axis=-1) < seen.radius]
    if len(inside) < _LEAST_SPARSE:
        raise CaptureError(
            f"bound: points, but only {len(inside)} sparse points are in view of all cameras",
            "use bound: frusta or masks, or give object_point_cloud.ply",
        )
    distances, _ = cKDTree(inside).query(inside, k=_NEIGHBOURS + 1)
    away = np.asarray(distances, np.float64)[:, 1:].mean(axis=-1)
    return ball_of_points(inside[away <= _FAR_NEIGHBOUR * np.median(away)])


def ball_of_masks(views: Sequence[Posed]) -> Ball:
    """Return the ball about the visual hull of the masks.

    Args:
        views: Those with masks count.

    Raises:
        CaptureError: No place is inside the masks of the views that see it.
    """
    masked = [view for view in views if view.mask is not None]
    seen = ball_of_frusta(masked)
    low, high = seen.centre - 1.5 * seen.radius, seen.centre + 1.5 * seen.radius
    for _ in range(2):
        cells, step = _grid(low, high)
        hull = cells[_in_masks(cells, masked)]
        if not len(hull):
            raise CaptureError(
                "no place is inside the masks of all views: masks and poses disagree",
                "check the masks (bright = object) and the poses, or use bound: frusta",
            )
        low, high = hull.min(axis=0) - step, hull.max(axis=0) + step
    ball = ball_of_points(hull)
    return Ball(centre=ball.centre, radius=ball.radius + 0.5 * float(np.linalg.norm(step)))


def _grid(low: Doubles, high: Doubles) -> tuple[Doubles, Doubles]:
    """Return [n³, 3] cells' centres and the [3] size of a cell."""
    step = (high - low) / _CELLS
    axes = [low[k] + (np.arange(_CELLS) + 0.5) * step[k] for k in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), step


def _in_masks(points: Doubles, views: Sequence[Posed]) -> Bools:
    seen = np.zeros(len(points), np.int64)
    inside = np.zeros(len(points), np.int64)
    for view in views:
        if view.mask is None:
            continue
        in_camera = transform_points(invert_pose(view.cam2source), points)
        pixels, _ = view.camera.project(in_camera)
        size = np.array([view.camera.width, view.camera.height])
        there: Bools = np.asarray(((pixels >= 0) & (pixels < size)).all(-1))
        columns, rows = np.where(there[:, None], pixels, 0.0).astype(np.int64).T
        seen += there
        inside += there & view.mask[rows, columns]
    enough = seen >= max(1, len(views) // 2)
    return np.asarray(enough & (inside >= _AGREE * seen), np.bool_)
