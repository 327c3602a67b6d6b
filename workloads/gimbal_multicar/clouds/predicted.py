"""Puts a model's answer about a moment into the moment.

Poses and ranges are chosen apart: predicted ranges at true poses show what the ranges are worth,
true ranges at predicted poses show what the poses are worth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gimbal_multicar.clouds.moment import Car, Gathered, Origin, Prediction, Said
from gimbal_multicar.cooperation.views import View
from gimbal_multicar.errors import AnswerError
from gimbal_multicar.judging.samples import SamplePrediction, finite_share
from gimbal_vision.panoramas.model import MAX_RANGE_M
from gimbal_vision.poses import transform_points


def with_prediction(
    gathered: Gathered, prediction: Prediction, *, pose: Origin, geometry: Origin
) -> Gathered:
    """Return the moment with a model's answer.

    Args:
        gathered: The moment, at true poses.
        prediction: The answer; views in the order of cars.
        pose: Whose poses the cars stand at.
        geometry: Whose ranges and masks the points are made of.

    Raises:
        AnswerError: Some of the answer is not finite: there is nothing to draw, or to measure.
    """
    share = finite_share(prediction.sample.prediction)
    if share < 1.0:
        raise AnswerError(
            f"{1.0 - share:.1%} of the model's numbers about {gathered.title} are not finite, at "
            f"step {prediction.checkpoint['step']}",
            "ask an earlier step (--checkpoint), or train with a lower train.lr",
        )
    said = said_of(prediction.sample.prediction)
    cars = tuple(
        _shown(car, one, pose, geometry) for car, one in zip(gathered.cars, said, strict=True)
    )
    return replace(gathered, cars=cars, pose_source=pose, geometry=geometry, prediction=prediction)


def said_of(prediction: SamplePrediction) -> list[Said]:
    """Return what a model says, car by car; each car is one view."""
    return [
        Said(
            main_from_car=np.asarray(prediction.main_from_view[number], np.float64),
            range_m=np.asarray(prediction.range_m[number], np.float32),
            points_car=np.asarray(prediction.points_view[number], np.float32),
            mask_logits=np.asarray(prediction.mask_logits[number], np.float32),
        )
        for number in range(len(prediction.range_m))
    ]


def boxes_of(car: Car) -> dict[str, Any]:
    """Return corners [8, 3] by vehicle, as a car reports them in its own frame."""
    names = car.row["box_ids"].split(",") if car.row["box_ids"] else []
    return dict(zip(names, np.asarray(car.row["boxes_car"]), strict=True))


def _shown(car: Car, said: Said, pose: Origin, geometry: Origin) -> Car:
    main_from_car = said.main_from_car if pose == "pred" else car.true_main_from_car
    view = car.view if geometry == "gt" else _predicted_view(car.view, said)
    flat = view["pts3d_cam"].reshape(-1, 3)
    placed = np.asarray(transform_points(main_from_car.astype(np.float32), flat))
    return replace(
        car,
        main_from_car=main_from_car,
        view={**view, "pts3d": placed.reshape(view["pts3d_cam"].shape)},
        said=said,
    )


def _predicted_view(view: View, said: Said) -> View:
    """Return a view whose known points are those of the predicted mask.

    A surface said to be beyond `MAX_RANGE_M` is taken for sky, as measured ones are.
    """
    near = np.isfinite(said.points_car).all(axis=-1) & (said.range_m <= MAX_RANGE_M)
    shown = said.mask & near
    return {
        **view,
        "depth_along_ray": np.where(shown, said.range_m, np.float32(0))[..., None],
        "pts3d_cam": said.points_car,
        "valid_mask": shown,
        "non_ambiguous_mask": said.mask,
    }
