"""The lengths of the splits are said before the first step, and a wrong one stops the run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from training_toys import Job, Toy, train_alone

from gimbal.errors import StageFailed
from gimbal.experiment.settings import Resources, Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training import checkpoints
from gimbal.training.rates import rate_trace
from gimbal.training.running import run_training
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage

PLAN = TrainSettings(steps=6, global_batch=10)


class LengthSettings(Settings):
    train: TrainSettings


@dataclass(frozen=True, kw_only=True)
class LengthStage(TrainStage):
    settings: LengthSettings

    @property
    def train(self) -> TrainSettings:
        return self.settings.train

    def task(self, inputs: StageInputs) -> Toy:
        return Toy()


@dataclass(frozen=True, kw_only=True)
class LimitedStage(LengthStage):
    limit: int | None = None

    @property
    def largest_batch(self) -> int | None:
        return self.limit

    def task(self, inputs: StageInputs) -> Toy:
        task = Toy()
        task.plan_note = "pairs of points"
        return task


def run(out_dir: Path, train: TrainSettings, said: list[str]) -> dict[str, object]:
    stage = LengthStage(name="toy", settings=LengthSettings(train=train))
    return run_training(
        stage, {}, out_dir, Resources(), progress=lambda *_: None, notice=said.append
    )


def test_the_lengths_are_said_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    said: list[str] = []
    numbers = run(tmp_path, PLAN.model_copy(update={"expected_samples": 37}), said)
    assert said == [
        "toy: 37 training and 11 validation samples; 6 steps of 10 see 60 samples: "
        "1.622 epochs of 3.7 steps"
    ]
    kept = json.loads((tmp_path / "training.json").read_text())["data"]
    assert kept == numbers["data"] == {
        "train_samples": 37, "val_samples": 11, "global_batch": 10, "steps": 6,
        "samples_seen": 60, "steps_per_epoch": 3.7, "epochs": 60 / 37,
        "forward_passes": 1, "note": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("of_stage", "of_worker", "passes"),
    [(None, 5, 2), (4, 3, 4), (2, 9, 5)],
)
def test_the_stricter_limit_of_a_forward_pass_holds_and_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of_stage: int | None,
    of_worker: int | None,
    passes: int,
) -> None:
    """A stage whose samples are large may limit them itself; the trajectory stays the same."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    stage = LimitedStage(name="toy", settings=LengthSettings(train=PLAN), limit=of_stage)
    resources, said = Resources(max_batch_per_worker=of_worker), list[str]()
    numbers = run_training(
        stage, {}, tmp_path, resources, progress=lambda *_: None, notice=said.append
    )
    assert numbers["data"]["forward_passes"] == passes and said[0].endswith("; pairs of points")
    assert ("forward passes" in said[0]) == (passes > 1)
    weights = checkpoints.load(checkpoints.best(tmp_path))["model"]["0.weight"]
    torch.testing.assert_close(weights, _whole_batch_weights(tmp_path / "whole"), rtol=0, atol=1e-9)


def _whole_batch_weights(folder: Path) -> torch.Tensor:
    train_alone(Job(Toy(), PLAN, folder, seed=0))
    weights: torch.Tensor = checkpoints.load(checkpoints.best(folder))["model"]["0.weight"]
    return weights


def test_another_length_than_expected_stops_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    wanted = PLAN.model_copy(update={"expected_samples": 5000})
    with pytest.raises(StageFailed, match=r"has 37 samples, .*expected_samples is 5000") as caught:
        run(tmp_path, wanted, [])
    assert "manifest.json" in caught.value.remedy
    assert not (tmp_path / "metrics.jsonl").exists() and not (tmp_path / "checkpoints").exists()


def test_expecting_a_length_does_not_change_the_trajectory() -> None:
    wanted = PLAN.model_copy(update={"expected_samples": 37})
    assert wanted.trajectory() == PLAN.trajectory()


def test_the_rates_are_shown_with_the_end_of_the_warm_up_and_the_schedule(tmp_path: Path) -> None:
    settings = TrainSettings(steps=40, global_batch=4, warmup_steps=7, log_every=1)
    job = Job(Toy(), settings, tmp_path / "run")
    train_alone(job)
    trace = rate_trace(job.out_dir)
    assert trace is not None and trace.peaks == {"first": 3e-3, "last": 1e-3}
    assert [rate.step for rate in trace.rates if rate.group == "last"] == [
        1, 4, 7, 8, 12, 16, 20, 24, 28, 32, 36, 40
    ]  # fmt: skip
    assert all(rate.as_scheduled for rate in trace.rates) and trace.logged == 80
    peak = next(rate for rate in trace.rates if rate.step == 7 and rate.group == "first")
    assert peak.rate == pytest.approx(3e-3)

    metrics = job.out_dir / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    next(line for line in lines if line["step"] == 20)["values"]["lr/last"] *= 1.5
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    bent = rate_trace(job.out_dir)
    assert bent is not None
    assert [(r.step, r.group) for r in bent.rates if not r.as_scheduled] == [(20, "last")]


def test_a_folder_without_training_has_no_rates(tmp_path: Path) -> None:
    assert rate_trace(tmp_path) is None
