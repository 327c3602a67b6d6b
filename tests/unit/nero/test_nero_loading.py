"""A trained shape comes back as it was; what is missing, of another model or damaged is named."""

from __future__ import annotations

import shutil

import pytest
import torch
from nero_ball import ball_capture

from gimbal.errors import ConfigError, StorageError
from gimbal.training import checkpoints
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.worker import train
from gimbal.training.world import World
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.learning.loading import load_shape
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.learning.task import ShapePlan, ShapeTask
from gimbal_nero.volume.model import Moment, Rays
from gimbal_nero.volume.shape import ShapeFields

MODEL = ModelSettings(
    size="tiny",
    photographer="fixed",
    sdf={"layers": 2, "width": 8},
    heads={"layers": 1, "width": 8},
    background={"layers": 2, "width": 8},
    sampling={"uniform": 8, "rounds": 1, "per_round": 4, "background": 2},
)
TRAIN = TrainSettings(
    steps=6,
    global_batch=4,
    validate_every=2,
    checkpoint_every=2,
    keep_checkpoints=5,
    best_metric="psnr",
    best_mode="max",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "shape"
    plan = ShapePlan(
        loss=LossSettings(),
        schedule=ScheduleSettings(),
        rays=RaySettings(validation_scale=0.5),
        seed=0,
        photographer=MODEL.photographer,
    )
    task = ShapeTask(plan, ShapeFields(MODEL), ball_capture())
    train(task, Plan(settings=TRAIN, seed=0, out_dir=folder), World())
    return folder


@pytest.fixture
def stage_dir(trained, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(trained, tmp_path / "shape")


def steps_of(folder):
    return [one.step for one in checkpoints.listed(folder)]


def test_every_kept_step_comes_back_ready_to_be_asked(stage_dir):
    assert steps_of(stage_dir) == [2, 4, 6], "a timeline needs several"
    rays = Rays(
        origins=torch.tensor([[0.0, 0.0, 3.0]]),
        directions=torch.tensor([[0.0, 0.0, -1.0]]),
        photographer=torch.eye(3, 4)[None],
    )
    for step in (2, 4, 6):
        shape = load_shape(stage_dir, MODEL, step)
        assert (shape.step, shape.photographer) == (step, "fixed")
        assert not shape.module.training
        assert not any(value.requires_grad for value in shape.module.parameters())
        kept = checkpoints.load(stage_dir / "checkpoints" / f"step-{step:08d}")["model"]
        for name, value in shape.module.state_dict().items():
            torch.testing.assert_close(value, kept[name], rtol=0, atol=0)
        seen = shape.fields.render(shape.module, rays, None, Moment())
        assert seen.colour.shape == (1, 3) and seen.colour.isfinite().all()
    assert load_shape(stage_dir, MODEL, "last").step == 6
    best = checkpoints.best(stage_dir).name
    assert load_shape(stage_dir, MODEL).step == int(best.rpartition("-")[2])


def test_a_step_that_was_not_kept_is_named_with_those_that_were(stage_dir):
    with pytest.raises(ConfigError, match="step 5") as caught:
        load_shape(stage_dir, MODEL, 5)
    assert "2, 4, 6" in str(caught.value)


def test_before_the_first_checkpoint_it_says_so(tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint yet"):
        load_shape(tmp_path, MODEL)


@pytest.mark.parametrize("other", [{"sdf": {"layers": 2, "width": 16}}, {"photographer": "none"}])
def test_weights_of_another_model_are_named(stage_dir, other):
    model = ModelSettings.model_validate(MODEL.model_dump() | other)
    with pytest.raises(ConfigError, match="do not fit the model"):
        load_shape(stage_dir, model)


def test_weights_that_are_not_finite_are_named(stage_dir):
    state = checkpoints.load(checkpoints.listed(stage_dir)[-1].path)
    broken = {name: torch.full_like(value, torch.nan) for name, value in state["model"].items()}
    checkpoints.save(stage_dir, state | {"model": broken, "step": 8}, card={}, metrics={})
    with pytest.raises(StorageError, match="not finite"):
        load_shape(stage_dir, MODEL, "last")
    assert load_shape(stage_dir, MODEL, 4).step == 4, "an earlier one still opens"


@pytest.mark.parametrize("how", ["cut", "emptied"])
def test_a_damaged_file_is_named(stage_dir, how):
    file = checkpoints.listed(stage_dir)[-1].path / checkpoints.STATE_FILE
    file.write_bytes(file.read_bytes()[:100] if how == "cut" else b"")
    with pytest.raises(StorageError, match=r"state\.pt"):
        load_shape(stage_dir, MODEL, "last")
