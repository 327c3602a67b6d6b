"""Trajectory error after the best alignment, and whether that alignment means anything.

Two cars are always aligned to nothing by a similarity, and cars in a line leave the turn about that
line open: such sets are named instead of being averaged in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_RANK_SHARE = 1e-6
"""Singular values of a scatter below this share of the largest count as zero."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Alignment:
    """A similarity: x maps to `scale` · `rotation` x + `translation`.

    Attributes:
        scale: 1 for a rigid alignment.
        rotation: [3, 3], determinant 1.
        translation: [3] metres.
        degenerate: The points of one set lie in a line or in one place, so `rotation` is one of
            many that are as good.
    """

    scale: float
    rotation: Doubles
    translation: Doubles
    degenerate: bool

    def __call__(self, points: Doubles) -> Doubles:
        """Return aligned points [P, 3]."""
        return np.asarray(self.scale * points @ self.rotation.T + self.translation)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectory:
    """Root mean square distances of cars' places from the true ones, metres.

    Attributes:
        plain_m: In the main car's frame, no alignment.
        se3_m: After the best rotation and translation.
        sim3_m: After the best similarity; none for fewer than three cars, which it always fits.
        degenerate: The cars are fewer than three, or in a line.
    """

    plain_m: float
    se3_m: float
    sim3_m: float | None
    degenerate: bool


def umeyama(source: Doubles, target: Doubles, *, with_scale: bool) -> Alignment:
    """Return the similarity that takes `source` closest to `target` (Umeyama, 1991).

    Args:
        source: [P, 3] points.
        target: [P, 3] their places.
        with_scale: Whether the scale is free; rigid where false.
    """
    mean_a, mean_b = source.mean(axis=0), target.mean(axis=0)
    a, b = source - mean_a, target - mean_b
    U, values, Vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))])
    rotation = U * signs @ Vt
    spread = float((a * a).sum())
    scale = float((values * signs).sum()) / spread if with_scale and spread > 0 else 1.0
    return Alignment(
        scale=scale,
        rotation=rotation,
        translation=mean_b - scale * rotation @ mean_a,
        degenerate=not (_spans_plane(a) and _spans_plane(b)),
    )


def trajectory(predicted: Doubles, true: Doubles) -> Trajectory:
    """Compare the places of cars.

    Args:
        predicted: [N, 3] in the main car's frame, metres.
        true: [N, 3] likewise.
    """
    rigid = umeyama(predicted, true, with_scale=False)
    free = umeyama(predicted, true, with_scale=True) if len(true) > 2 else None
    return Trajectory(
        plain_m=_rms(predicted - true),
        se3_m=_rms(rigid(predicted) - true),
        sim3_m=None if free is None else _rms(free(predicted) - true),
        degenerate=rigid.degenerate,
    )


def _rms(offsets: Doubles) -> float:
    return float(np.sqrt((offsets * offsets).sum(axis=-1).mean()))


def _spans_plane(centred: Doubles) -> bool:
    values = np.linalg.svd(centred, compute_uv=False)
    return len(values) > 1 and bool(values[1] > _RANK_SHARE * max(values[0], 1e-300))
