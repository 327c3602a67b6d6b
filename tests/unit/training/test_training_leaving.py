"""A run that is asked to leave checkpoints at that step on all workers, and loses nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_toys import Job, Toy, plan_of, train_alone, train_together

from gimbal.experiment.attempt import Preempted
from gimbal.training import checkpoints
from gimbal.training.exact import CARRIED, MAX_TERMS
from gimbal.training.metrics import read_metrics
from gimbal.training.settings import TrainSettings

SETTINGS = TrainSettings(
    steps=24, global_batch=10, lr=1e-2, checkpoint_every=20, validate_every=8, log_every=1
)
LEAVES_AT = 12


def weights(folder: Path) -> torch.Tensor:
    model: dict[str, Any] = checkpoints.load(checkpoints.best(folder))["model"]
    return torch.cat([value.flatten() for value in model.values()])


def curve(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Everything but times that was logged, step by step."""
    lines = read_metrics(folder / "metrics.jsonl")
    return [
        (line["step"], {k: v for k, v in line["values"].items() if k != "samples_per_s"})
        for line in lines
    ]


def newest_step(folder: Path) -> int:
    newest, complaints = checkpoints.newest_whole(folder)
    assert newest is not None and not complaints
    return newest.step


def test_one_worker_checkpoints_where_it_was_asked_and_goes_on_bit_by_bit(tmp_path: Path) -> None:
    undisturbed = Job(Toy(), SETTINGS, tmp_path / "undisturbed")
    train_alone(undisturbed)
    job = Job(Toy(), SETTINGS, tmp_path / "run", leave_at=LEAVES_AT)
    with pytest.raises(Preempted, match="after step 13 of 24") as caught:
        train_alone(job)
    assert caught.value.exit_code == 75
    assert newest_step(job.out_dir) == LEAVES_AT + 1, "13 is no multiple of checkpoint_every"
    assert job.task.seen[-1] == LEAVES_AT, "it trained on after it was asked"
    numbers = train_alone(replace(job, leave_at=-1))
    assert numbers["resumed_from"] == LEAVES_AT + 1
    assert torch.equal(weights(job.out_dir), weights(undisturbed.out_dir))
    assert curve(job.out_dir) == curve(undisturbed.out_dir)


def test_a_validation_that_is_due_at_that_step_is_not_lost(tmp_path: Path) -> None:
    job = Job(Toy(), SETTINGS, tmp_path / "run", leave_at=7)
    with pytest.raises(Preempted):
        train_alone(job)
    train_alone(replace(job, leave_at=-1))
    validated = [step for step, values in curve(job.out_dir) if "val/loss" in values]
    assert validated == [8, 16, 24]


def test_a_run_at_its_last_step_finishes_instead(tmp_path: Path) -> None:
    job = Job(Toy(), SETTINGS, tmp_path / "run", leave_at=SETTINGS.steps - 1)
    assert train_alone(job)["steps"] == SETTINGS.steps


def test_all_workers_leave_at_the_step_the_first_one_was_asked(tmp_path: Path) -> None:
    """By both ways of reducing, with accumulation, with empty shares; then one worker goes on."""
    few = SETTINGS.model_copy(update={"global_batch": 3})
    jobs = [
        Job(Toy(), SETTINGS, tmp_path / "flat"),
        Job(Toy(), SETTINGS, tmp_path / "buckets", flat=False),
        Job(Toy(), SETTINGS, tmp_path / "accumulated", largest=2),
        Job(Toy(), few, tmp_path / "empty", flat=False),
    ]
    train_together(4, [replace(job, leave_at=LEAVES_AT) for job in jobs], tmp_path / "meeting")
    for job in jobs:
        assert newest_step(job.out_dir) == LEAVES_AT + 1, job.out_dir.name
        assert train_alone(job)["resumed_from"] == LEAVES_AT + 1
        plan = plan_of(job)
        alone = Job(job.task, job.settings, tmp_path / "alone" / job.out_dir.name, flat=job.flat)
        train_alone(alone)
        torch.testing.assert_close(weights(plan.out_dir), weights(alone.out_dir), rtol=0, atol=1e-9)


def test_the_word_has_a_place_that_no_term_can_reach() -> None:
    assert 2 * MAX_TERMS < CARRIED
