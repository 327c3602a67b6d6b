"""A model's answer that is made up: the truth, with errors that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gimbal_multicar.clouds.moment import Car, Gathered, Prediction
from gimbal_multicar.clouds.predicted import boxes_of
from gimbal_multicar.judging.contract import FrameId
from gimbal_multicar.judging.samples import JudgedSample, SamplePrediction, SampleTruth
from gimbal_vision.lie import so3_exp
from gimbal_vision.poses import make_pose

CHECKPOINT = {"path": "checkpoints/step-00000007", "step": 7, "sha256": "ab" * 32}


def made_answer(
    gathered: Gathered,
    *,
    off_m: Sequence[float] = (3.0, 4.0, 0.0),
    turned_deg: float = 6.0,
    ranges: float = 1.0,
    mask_bias: float = 0.0,
) -> Prediction:
    """Return an answer in which every partner is moved and turned, and ranges are scaled."""
    cars = gathered.cars
    truth = truth_of_cars(cars)
    poses = np.stack([_moved(car, off_m, turned_deg, number) for number, car in enumerate(cars)])
    range_m = np.where(truth.valid, truth.range_m * ranges, 400.0).astype(np.float32)
    rays = np.broadcast_to(truth.rays, truth.points_view.shape).astype(np.float32)
    return Prediction(
        sample=JudgedSample(
            frame=FrameId.of(gathered.moment),
            truth=truth,
            prediction=SamplePrediction(
                main_from_car=poses,
                main_from_view=poses,
                points_view=range_m[..., None] * rays,
                range_m=range_m,
                rays=rays,
                mask_logits=np.where(truth.non_ambiguous, 5.0, -5.0) + mask_bias,
                scale=1.0,
            ),
        ),
        checkpoint=CHECKPOINT,
        mean_pose=np.stack([np.eye(4)] * len(cars)),
        expected_coverage=1.0,
    )


def truth_of_cars(cars: Sequence[Car]) -> SampleTruth:
    """Return the truth of cars at their true poses, as an evaluation compares with it."""
    poses = np.stack([car.true_main_from_car for car in cars])
    return SampleTruth(
        main_from_car=poses,
        main_from_view=poses,
        points_view=np.stack([car.view["pts3d_cam"] for car in cars]),
        range_m=np.stack([car.true_range_m for car in cars]),
        valid=np.stack([car.view["valid_mask"] for car in cars]),
        non_ambiguous=np.stack([car.view["non_ambiguous_mask"] for car in cars]),
        rays=cars[0].view["ray_directions_cam"],
        solid_angle=cars[0].camera.solid_angle().astype(np.float32),
        boxes_car=tuple(boxes_of(car) for car in cars),
    )


def _moved(car: Car, off_m: Sequence[float], turned_deg: float, number: int) -> np.ndarray:
    if number == 0:
        return np.eye(4)
    turn = so3_exp(np.radians([0.0, turned_deg, 0.0]))
    pose = car.true_main_from_car
    return make_pose(pose[:3, :3] @ turn, pose[:3, 3] + np.asarray(off_m))
