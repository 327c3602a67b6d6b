"""The person behind the camera stands where the camera was, upright, and every ray knows him."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nero_ball import BallFields, ball_capture

from gimbal_nero.learning.photographer import photographer_frame
from gimbal_nero.learning.rays import RaySource, ViewSource
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.learning.task import ShapePlan, ShapeTask
from gimbal_nero.learning.validating import picture
from gimbal_nero.volume.model import Moment
from gimbal_vision.poses import look_at

CAMERA = np.array([2.0, -1.0, 1.5])
UP = (0.0, 0.0, 1.0)


def pose():
    return look_at(CAMERA, (0.0, 0.0, 0.0), UP)


def seen_by(frame, point):
    return frame[:, :3] @ point + frame[:, 3]


@pytest.mark.parametrize("kind", ["standing", "fixed"])
def test_he_looks_at_the_object_upright(kind):
    frame = photographer_frame(pose(), kind)
    turned = frame[:, :3].astype(np.float64)
    np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(turned) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(turned @ UP, [0.0, -1.0, 0.0], atol=1e-6)
    ahead = seen_by(frame, np.array([0.0, 0.0, CAMERA[2]]))
    assert ahead[0] == pytest.approx(0.0, abs=1e-6)
    assert ahead[2] == pytest.approx(np.hypot(2.0, 1.0), abs=1e-6)


def test_who_walks_is_centred_at_the_objects_height_and_who_stays_is_the_camera():
    below = seen_by(photographer_frame(pose(), "standing"), CAMERA * [1.0, 1.0, 0.0])
    np.testing.assert_allclose(below, 0.0, atol=1e-6)
    np.testing.assert_allclose(seen_by(photographer_frame(pose(), "fixed"), CAMERA), 0.0, atol=1e-6)


def test_a_mirror_that_faces_the_camera_shows_him_where_he_stands():
    """From the centre, the ray back at the camera crosses his plane above its middle."""
    frame = photographer_frame(pose(), "standing").astype(np.float64)
    start = frame[:, 3]
    towards = frame[:, :3] @ (CAMERA / np.linalg.norm(CAMERA))
    distance = -start[2] / towards[2]
    assert distance > 0
    np.testing.assert_allclose(start + distance * towards, [0.0, -CAMERA[2], 0.0], atol=1e-6)


@pytest.mark.parametrize("height", [3.0, -3.0])
def test_a_camera_straight_above_or_below_is_the_limit_of_a_tilted_one(height):
    tilted = look_at((1e-3, 0.0, height), (0.0, 0.0, 0.0), UP)
    straight = tilted.copy()
    straight[:3, 2] = [0.0, 0.0, -np.sign(height)]
    np.testing.assert_allclose(
        photographer_frame(straight, "fixed"), photographer_frame(tilted, "fixed"), atol=1e-2
    )


def test_rays_carry_the_frame_of_their_own_view_and_only_when_asked():
    views = ball_capture().of("train")
    ids = np.arange(0, 3000, 7)
    found = RaySource(views, photographer="standing").fetch(ids)
    for view, frame in zip(found["view"], found["photographer"], strict=True):
        expected = photographer_frame(views[view].cam2world, "standing")
        np.testing.assert_array_equal(frame, expected)
    assert len(np.unique(found["photographer"], axis=0)) > 1, "the check could fail"
    assert "photographer" not in RaySource(views).fetch(ids)
    held_out = ViewSource(views[:1], 1.0, "fixed").fetch(np.array([0]))
    assert held_out["photographer"].shape == (len(held_out["origins"]), 3, 4)


class Overheard(BallFields):
    """Remembers the frames that it is given."""

    def __init__(self):
        self.frames = []

    def render(self, module, rays, jitter, moment):
        self.frames.append(rays.photographer)
        return super().render(module, rays, jitter, moment)


@pytest.mark.parametrize("kind", ["none", "standing"])
def test_training_and_validation_tell_the_renderer(kind):
    plan = ShapePlan(
        loss=LossSettings(),
        schedule=ScheduleSettings(),
        rays=RaySettings(validation_scale=0.5),
        seed=0,
        photographer=kind,
    )
    fields = Overheard()
    task = ShapeTask(plan, fields, ball_capture())
    module, _ = task.build()
    batch = {k: torch.as_tensor(v) for k, v in task.source("train").fetch(np.arange(5)).items()}
    task.loss(module, batch | {"sample_ids": torch.arange(5)}, 0)
    picture(fields, module, task.source("val").fetch(np.array([0])), 32, Moment())
    if kind == "none":
        assert fields.frames and all(frame is None for frame in fields.frames)
    else:
        assert len(fields.frames) > 2
        assert all(frame.shape[1:] == (3, 4) for frame in fields.frames)
