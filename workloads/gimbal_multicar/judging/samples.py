"""What is judged: one sample's truth and prediction as arrays.

Cars and views are told apart: with panoramas a car is one view, with its own pictures four, and
poses are always judged by car.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.judging.contract import FrameId
from gimbal_vision.poses import transform_points

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleTruth:
    """What a sample really is.

    Attributes:
        main_from_car: [N, 4, 4] poses of the cars in the main car's frame, metres; the first is
            the identity.
        main_from_view: [V, 4, 4] poses of the views likewise.
        points_view: [V, H, W, 3] points in each view's axes, metres.
        range_m: [V, H, W] along the ray, 0 where unknown.
        valid: [V, H, W] bool, where the range is known.
        non_ambiguous: [V, H, W] bool, covered, and not sky.
        rays: [V, H, W, 3] or [H, W, 3] unit directions in the view's axes.
        solid_angle: [V, H, W] or [H, W] steradians.
        boxes_car: Corners [8, 3] by vehicle as each car reports them in its own frame; empty: not
            known.
    """

    main_from_car: Doubles
    main_from_view: Doubles
    points_view: Floats
    range_m: Floats
    valid: Bools
    non_ambiguous: Bools
    rays: Floats
    solid_angle: Floats
    boxes_car: tuple[Mapping[str, Floats], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplePrediction:
    """What the model says, in metres.

    Attributes:
        main_from_car: [N, 4, 4] poses of the cars in the main car's frame. The main car's own is
            taken as it is said, even where it is not the identity.
        main_from_view: [V, 4, 4] poses of the views likewise.
        points_view: [V, H, W, 3] points in each view's axes.
        range_m: [V, H, W] along the ray.
        rays: [V, H, W, 3] unit directions.
        mask_logits: [V, H, W].
        scale: The metric scaling factor.
    """

    main_from_car: Doubles
    main_from_view: Doubles
    points_view: Floats
    range_m: Floats
    rays: Floats
    mask_logits: Floats
    scale: float


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedSample:
    """One sample of the held-out split.

    Attributes:
        frame: Which one.
        truth: What it is.
        prediction: What the model says.
        blind: [N, 4, 4] poses the blind control says; none: it was not asked.
    """

    frame: FrameId
    truth: SampleTruth
    prediction: SamplePrediction
    blind: Doubles | None = None


def placed(points_view: Floats, main_from_view: Doubles) -> Floats:
    """Return [V, H, W, 3] points in the main car's frame; double, as any float32 may be said."""
    flat = points_view.reshape(len(points_view), -1, 3).astype(np.float64)
    with np.errstate(invalid="ignore"):  # what is not finite stays so, and is counted elsewhere
        moved = transform_points(main_from_view.astype(np.float64), flat)
    return np.asarray(moved).reshape(points_view.shape)


def finite_poses(prediction: SamplePrediction) -> bool:
    """Return whether every pose is finite."""
    poses = prediction.main_from_car, prediction.main_from_view
    return all(bool(np.isfinite(pose).all()) for pose in poses)


def finite_share(prediction: SamplePrediction) -> float:
    """Return the share of a prediction's numbers that are finite."""
    arrays = (
        prediction.main_from_car,
        prediction.points_view,
        prediction.range_m,
        prediction.rays,
        prediction.mask_logits,
        np.array([prediction.scale]),
    )
    finite = sum(int(np.isfinite(array).sum()) for array in arrays)
    return finite / sum(array.size for array in arrays)
