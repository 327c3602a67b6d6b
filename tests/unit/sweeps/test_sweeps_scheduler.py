"""Early stopping: decided by rungs that survive a restart, and told to the trial."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from gimbal.experiment.attempt import AttemptFolder, StopFile
from gimbal.sweeps.scheduler import JUDGE, STEP, EarlyStopping
from gimbal.sweeps.spec import AshaSettings

CONTINUE, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP
NOBODY: Any = None


def asha(**more: Any) -> AshaSettings:
    return AshaSettings(**{"metric": "loss", "grace_steps": 10, "reduction": 2.0, **more})


class Lab:
    """Feeds a scheduler with curves and notes its decisions."""

    def __init__(self, scheduler: EarlyStopping, folder: Path) -> None:
        self.scheduler, self.folder = scheduler, folder

    def feed(self, name: str, curve: dict[int, float]) -> list[str]:
        trial = SimpleNamespace(trial_id=name)
        self.scheduler.on_trial_add(NOBODY, trial)
        decisions: list[str] = []
        for step, value in curve.items():
            result = {STEP: step, JUDGE: value, "attempt": str(self.folder / name)}
            decisions.append(self.scheduler.on_trial_result(NOBODY, trial, result))
            if decisions[-1] == STOP:
                break
        return decisions


def curve(level: float) -> dict[int, float]:
    return {step: level + step / 1000 for step in range(10, 101, 10)}


def test_a_weak_trial_is_stopped_and_told_why(tmp_path: Path) -> None:
    lab = Lab(EarlyStopping(asha(), steps=100), tmp_path)
    assert lab.feed("good", curve(1.0)) == [CONTINUE] * 10
    assert lab.feed("weak", curve(0.0)) == [STOP]
    assert not (tmp_path / "good").exists()
    stop = AttemptFolder(tmp_path / "weak").read("stop", StopFile)
    assert stop is not None
    assert stop.why == "early"
    assert stop.words == (
        "loss = -0.01 at step 10 is not among the best 1/2 of the trials that came as far"
    )


def test_the_words_show_the_number_as_the_training_reports_it(tmp_path: Path) -> None:
    lab = Lab(EarlyStopping(asha(mode="max"), steps=100), tmp_path)
    lab.feed("good", curve(1.0))
    lab.feed("weak", curve(0.5))
    stop = AttemptFolder(tmp_path / "weak").read("stop", StopFile)
    assert stop is not None
    assert stop.words.startswith("loss = 0.51 at step 10")


def test_no_trial_is_stopped_before_the_grace_or_at_its_end(tmp_path: Path) -> None:
    lab = Lab(EarlyStopping(asha(grace_steps=50), steps=100), tmp_path)
    lab.feed("good", curve(1.0))
    early = dict.fromkeys((1, 20, 49), -9.0)
    assert lab.feed("weak at first", {**early, 50: 2.0}) == [CONTINUE] * 4
    assert lab.feed("weak at the end", {50: 3.0, 99: -9.0, 100: -9.0, 101: -9.0}) == [CONTINUE] * 4


def test_a_trial_that_is_done_gets_no_stop_word(tmp_path: Path) -> None:
    scheduler = EarlyStopping(asha(), steps=100)
    Lab(scheduler, tmp_path).feed("good", curve(1.0))
    trial: Any = SimpleNamespace(trial_id="done")
    scheduler.on_trial_add(NOBODY, trial)
    result = {STEP: 10, JUDGE: -5.0, "attempt": str(tmp_path / "done"), "done": True}
    scheduler.on_trial_result(NOBODY, trial, result)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("seed", range(5))
def test_a_resumed_sweep_decides_as_if_it_had_never_stopped(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    curves = [curve(chance.uniform(-1, 1)) for _ in range(12)]
    live = Lab(EarlyStopping(asha(), steps=100), tmp_path / "live")
    reached = []
    for number, points in enumerate(curves[:8]):
        decisions = live.feed(f"t{number}", points)
        reached.append(dict(list(points.items())[: len(decisions)]))
    resumed = Lab(EarlyStopping(asha(), steps=100, earlier=reached), tmp_path / "resumed")
    later = range(8, 12)
    assert [live.feed(f"t{n}", curves[n]) for n in later] == [
        resumed.feed(f"t{n}", curves[n]) for n in later
    ]
