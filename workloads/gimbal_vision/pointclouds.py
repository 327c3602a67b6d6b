"""Distances between point clouds, as exact definitions.

With d(x, S) the Euclidean distance from x to its nearest point in S:

* accuracy: mean of d over the reconstruction; completeness: mean of d over the reference;
* Chamfer L1: accuracy + completeness; Chamfer squared: the same with d²; means, never sums, so
  that neither grows with the number of points;
* F-score at τ: harmonic mean of precision (share of the reconstruction with d <= τ) and recall
  (share of the reference with d <= τ).

The Chamfer distances also take torch tensors and are then differentiable in both clouds; who is
whose nearest neighbour is held fixed, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision._arrays import Array, namespace, stack
from gimbal_vision.errors import PointCloudError
from gimbal_vision.nearest import Matched, match, nearest

__all__ = [
    "CloudMetrics",
    "chamfer_batch",
    "chamfer_l1",
    "chamfer_squared",
    "cloud_metrics",
    "match",
    "nearest",
    "normal_consistency",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudMetrics:
    """How well a reconstruction covers a reference; lengths in the unit of the clouds.

    Attributes:
        accuracy: Mean distance from the reconstruction to the reference.
        completeness: Mean distance from the reference to the reconstruction.
        chamfer_l1: Sum of the two.
        chamfer_squared: The same sum with squared distances.
        precision: Share of the reconstruction within τ of the reference.
        recall: Share of the reference within τ of the reconstruction.
        f_score: Harmonic mean of precision and recall.
    """

    accuracy: float
    completeness: float
    chamfer_l1: float
    chamfer_squared: float
    precision: float
    recall: float
    f_score: float

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def cloud_metrics(
    reconstruction: ArrayLike, reference: ArrayLike, *, tau: float = 0.01
) -> CloudMetrics:
    """Compare two clouds in every way above; each tree is built once.

    Args:
        reconstruction: [P, 3] points.
        reference: [Q, 3] points in the same frame and unit.
        tau: Distance of the F-score, in the unit of the clouds.

    Raises:
        PointCloudError: A cloud is empty, not [N, 3] or not finite, or tau is not positive.
    """
    if not (np.isfinite(tau) and tau > 0):
        raise PointCloudError(f"tau = {tau} is no distance", "Give a positive, finite tau.")
    matched = match(reconstruction, reference)
    to_reference = np.linalg.norm(matched.first_offsets.astype(np.float64), axis=-1)
    to_reconstruction = np.linalg.norm(matched.second_offsets.astype(np.float64), axis=-1)
    accuracy, completeness = float(to_reference.mean()), float(to_reconstruction.mean())
    precision = float((to_reference <= tau).mean())
    recall = float((to_reconstruction <= tau).mean())
    return CloudMetrics(
        accuracy=accuracy,
        completeness=completeness,
        chamfer_l1=accuracy + completeness,
        chamfer_squared=float((to_reference**2).mean() + (to_reconstruction**2).mean()),
        precision=precision,
        recall=recall,
        f_score=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
    )


def chamfer_l1(first: Array, second: Array) -> Array:
    """Return mean distance first → second plus mean distance second → first, a scalar.

    Args:
        first: [P, 3] points; tensors may require gradients.
        second: [Q, 3] points in the same frame, unit and kind.

    Raises:
        PointCloudError: A cloud is empty, not [N, 3] or not finite.
    """
    result: Array = _chamfer(first, second, squared=False)
    return result


def chamfer_squared(first: Array, second: Array) -> Array:
    """Return the sum of both mean squared nearest distances, a scalar; see `chamfer_l1`."""
    result: Array = _chamfer(first, second, squared=True)
    return result


def chamfer_batch(
    first: Sequence[Array], second: Sequence[Array], *, squared: bool = False
) -> Array:
    """Return the [B] Chamfer distances of pairs of clouds; sizes may differ from pair to pair.

    Args:
        first: B clouds [P, 3], or one [B, P, 3] array.
        second: B clouds [Q, 3], or one [B, Q, 3] array.
        squared: Squared distances in place of L1.
    """
    if len(first) != len(second) or not len(first):
        raise PointCloudError(
            f"{len(first)} clouds cannot be paired with {len(second)}",
            "Give as many first as second clouds, at least one.",
        )
    pairs = zip(first, second, strict=True)
    result: Array = stack([_chamfer(a, b, squared=squared) for a, b in pairs], axis=0)
    return result


def normal_consistency(
    points: ArrayLike, normals: ArrayLike, other_points: ArrayLike, other_normals: ArrayLike
) -> float:
    """Return the mean |cos| between the unit normals of nearest neighbours, over both directions.

    1 where surfaces are parallel, whichever side the normals point to.

    Args:
        points: [P, 3].
        normals: [P, 3] unit normals of `points`.
        other_points: [Q, 3].
        other_normals: [Q, 3] unit normals of `other_points`.
    """
    matched = match(points, other_points)
    n = _normals(normals, len(matched.first))[matched.first_order]
    m = _normals(other_normals, len(matched.second))[matched.second_order]
    forward = np.abs(np.einsum("pi,pi->p", n, m[matched.nearest_second])).mean()
    backward = np.abs(np.einsum("qi,qi->q", m, n[matched.nearest_first])).mean()
    return float((forward + backward) / 2)


def _normals(normals: ArrayLike, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    array = np.asarray(normals, np.float64)
    if array.shape != (count, 3) or not np.isfinite(array).all():
        raise PointCloudError(
            f"Normals of shape {array.shape} do not fit {count} points, or are not finite",
            "Give one finite unit normal [3] for each point.",
        )
    return array


def _chamfer(first: Any, second: Any, *, squared: bool) -> Any:
    if namespace(first) is not np:
        from gimbal_vision.chamfer_gradient import differentiable_chamfer

        return differentiable_chamfer(first, second, squared)
    matched = match(first, second)
    return chamfer_value(matched, squared).astype(matched.first.dtype)


def chamfer_value(matched: Matched, squared: bool) -> np.float64:
    """Return the Chamfer distance of matched clouds, summed in float64."""
    total = np.float64(0.0)
    for offsets in (matched.first_offsets, matched.second_offsets):
        distance = np.einsum("pi,pi->p", offsets, offsets)
        total += (distance if squared else np.sqrt(distance)).mean(dtype=np.float64)
    return total
