"""Samples whose every number is known: random cars, and predictions that are off by design."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gimbal_multicar.judging.contract import FrameId
from gimbal_multicar.judging.samples import JudgedSample, SamplePrediction, SampleTruth
from gimbal_vision.cameras import Equirectangular
from gimbal_vision.lie import so3_exp
from gimbal_vision.poses import make_pose

HEIGHT, WIDTH = 14, 42


def pose(translation: Any, rotation_vector: Any = (0.0, 0.0, 0.0)) -> Any:
    rotation = np.asarray(so3_exp(np.asarray(rotation_vector, np.float64)))
    return np.asarray(make_pose(rotation, np.asarray(translation, np.float64)))


def car_poses(rng: np.random.Generator, cars: int) -> Any:
    """Return the identity and random poses nearby."""
    others = [pose(rng.uniform(-40, 40, 3) * [1, 0.02, 1], rng.normal(size=3)) for _ in range(cars)]
    return np.stack([np.eye(4), *others[1:]])


def frame_id(poses: Any, scenario: str = "street", frame: str = "000060") -> FrameId:
    distances = np.linalg.norm(poses[1:, :3, 3], axis=1)
    return FrameId(
        split="test",
        scenario=scenario,
        frame=frame,
        main="1",
        partners=tuple(str(k + 2) for k in range(len(poses) - 1)),
        distances_m=tuple(distances.tolist()),
    )


def perfect(rng: np.random.Generator, poses: Any, **named: str) -> JudgedSample:
    """Return a sample whose prediction is the truth."""
    camera = Equirectangular.from_vfov(HEIGHT, WIDTH, 60.0)
    shape = (len(poses), HEIGHT, WIDTH)
    range_m = rng.uniform(2.0, 20.0, shape)
    non_ambiguous = rng.random(shape) < 0.8
    valid = non_ambiguous & (rng.random(shape) < 0.9)
    rays = camera.rays()
    truth = SampleTruth(
        main_from_car=poses,
        main_from_view=poses,
        points_view=rays * range_m[..., None],
        range_m=range_m,
        valid=valid,
        non_ambiguous=non_ambiguous,
        rays=rays,
        solid_angle=camera.solid_angle(),
    )
    prediction = SamplePrediction(
        main_from_car=poses,
        main_from_view=poses,
        points_view=truth.points_view,
        range_m=range_m,
        rays=np.broadcast_to(rays, (*shape, 3)),
        mask_logits=np.where(valid, 30.0, -30.0),
        scale=1.0,
    )
    return JudgedSample(frame=frame_id(poses, **named), truth=truth, prediction=prediction)


def moved(sample: JudgedSample, poses: Any) -> JudgedSample:
    """Return a sample whose predicted poses are others."""
    said = dataclasses.replace(sample.prediction, main_from_car=poses, main_from_view=poses)
    return dataclasses.replace(sample, prediction=said)
