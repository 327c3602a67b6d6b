"""Settings that contradict each other are refused, by name; schedules do what they say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gimbal.training.schedule import rate_factor
from gimbal.training.settings import HOUSEKEEPING, TrainSettings


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"warmup_steps": 100}, "warmup_steps .* smaller than steps"),
        ({"schedule": "constant", "final_share": 0.1}, "final_share has no effect"),
        ({"momentum": 0.5}, "momentum has no effect with optimizer: adamw"),
        ({"optimizer": "sgd", "betas": (0.9, 0.9)}, "betas have no effect with optimizer: sgd"),
        ({"best_mode": "max"}, "best_mode needs best_metric"),
        ({"workers": 4}, "workers"),
        ({"global_batch": 0}, "global_batch"),
        ({"lr": -1.0}, "lr"),
    ],
)
def test_contradictions_name_the_key(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TrainSettings.model_validate({"steps": 100, "global_batch": 8, **wrong})


def test_every_default_is_justified() -> None:
    for name, field in TrainSettings.model_fields.items():
        assert field.description, name


def test_housekeeping_leaves_the_trajectory_alone() -> None:
    base = TrainSettings(steps=10, global_batch=4)
    other = base.model_copy(update={"log_every": 3, "keep_checkpoints": 5, "compile": True})
    assert base.trajectory() == other.trajectory()
    assert set(TrainSettings.model_fields) >= HOUSEKEEPING
    assert base.trajectory() != base.model_copy(update={"global_batch": 5}).trajectory()
    assert base.trajectory() != base.model_copy(update={"steps": 11}).trajectory()


def test_a_constant_rate_may_be_trained_longer() -> None:
    base = TrainSettings(steps=10, global_batch=4, schedule="constant")
    assert base.trajectory() == base.model_copy(update={"steps": 20}).trajectory()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_the_rate_rises_to_its_peak_and_never_above(schedule: Any) -> None:
    settings = TrainSettings(steps=50, global_batch=1, warmup_steps=10, schedule=schedule)
    factors = [rate_factor(settings, step) for step in range(50)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(factors) == 1.0 and min(factors) > 0
    fall = factors[10:]
    assert fall == sorted(fall, reverse=True)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_fall_ends_at_its_final_share(schedule: Any) -> None:
    settings = TrainSettings(steps=40, global_batch=1, schedule=schedule, final_share=0.25)
    assert rate_factor(settings, 20) == pytest.approx(0.625)
    assert rate_factor(settings, 40) == rate_factor(settings, 400) == pytest.approx(0.25)
