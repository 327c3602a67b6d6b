"""`run_training` without Ray: the one worker is this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import nn
from training_toys import Toy

from gimbal.errors import ConfigError, StageFailed, StaleCode
from gimbal.experiment import freshness
from gimbal.experiment.settings import Resources, Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training.running import run_training
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test of the session may have started Ray."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)


class ToySettings(Settings):
    train: TrainSettings


@dataclass(frozen=True, kw_only=True)
class ToyStage(TrainStage):
    settings: ToySettings
    bug: bool = False

    @property
    def train(self) -> TrainSettings:
        return self.settings.train

    def task(self, inputs: StageInputs) -> Toy:
        return Buggy() if self.bug else Toy()


class Buggy(Toy):
    def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
        if step == 2:
            raise KeyError("typo")
        return super().loss(module, batch, step)


def stage(lr: float = 1e-3, **keys: Any) -> ToyStage:
    settings = TrainSettings(steps=6, global_batch=4, best_metric="loss", log_every=1, lr=lr)
    return ToyStage(name="toy", settings=ToySettings(train=settings), **keys)


def test_a_run_reports_progress_and_its_numbers_and_is_not_repeated(tmp_path: Path) -> None:
    said: list[tuple[int, int, str]] = []
    numbers = run_training(
        stage(), {}, tmp_path, Resources(), progress=lambda *words: said.append(words)
    )
    assert said[0] == (0, 6, "starting workers") and said[-1] == (6, 6, "trained")
    assert numbers["steps"] == 6 and numbers["workers"] == 1 and numbers["device"] == "cpu"
    assert numbers["best"]["metric"] == "loss" and numbers["val"]["loss"] > 0
    assert numbers["step_ms"] > 0 and numbers["first_step_s"] > 0
    assert (tmp_path / "packages.json").exists()

    said.clear()
    again = run_training(
        stage(bug=True), {}, tmp_path, Resources(), progress=lambda *words: said.append(words)
    )
    assert again == {**numbers, "resumed_from": 6} and not said


def test_a_bug_of_the_task_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="worker 0 failed at step 2: KeyError: 'typo'") as caught:
        run_training(stage(bug=True), {}, tmp_path, Resources(), progress=lambda *_: None)
    assert "step-00000002-worker-0.txt" in caught.value.remedy
    assert caught.value.__suppress_context__, "the user would see a traceback"
    text = (tmp_path / "errors" / "step-00000002-worker-0.txt").read_text()
    assert 'raise KeyError("typo")' in text


def test_other_code_than_the_drivers_refuses_to_train(tmp_path: Path) -> None:
    with pytest.raises(StaleCode):
        run_training(
            stage(), {}, tmp_path, Resources(), progress=lambda *_: None, expected_digest="0" * 64
        )
    digest = freshness.code_digest(("gimbal",))
    run_training(
        stage(), {}, tmp_path, Resources(), progress=lambda *_: None, expected_digest=digest
    )


def test_a_finished_run_is_not_taken_for_one_with_other_settings(tmp_path: Path) -> None:
    run_training(stage(), {}, tmp_path, Resources(), progress=lambda *_: None)
    with pytest.raises(ConfigError, match="lr was"):
        run_training(stage(lr=1.0), {}, tmp_path, Resources(), progress=lambda *_: None)


def test_the_driver_needs_no_torch() -> None:
    """Neither to plan stages nor to send them to workers."""
    import subprocess
    import sys

    modules = "gimbal.training.running, gimbal.training.launching"
    code = f"import sys, gimbal.training, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
