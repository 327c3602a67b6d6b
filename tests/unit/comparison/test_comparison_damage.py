"""What cannot be read or has not finished is named, and decides nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gimbal.comparison.sweeps import compare_sweep
from gimbal.errors import ConfigError
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.sweep_record import SweepStatus, TrialStatus
from gimbal.testing.stored_runs import MadeRun, make_sweep

RUNS = [
    MadeRun(number=i, seed=i, config={"lr": 0.1}, status=RunStatus.FAILED, message="no")
    for i in range(3)
]


def test_a_sweep_none_of_whose_trials_has_finished_says_exactly_that(tmp_path: Path) -> None:
    going = {"status": SweepStatus.INTERRUPTED, "samples": 2}
    folder = make_sweep(tmp_path, RUNS, ["lr"], **going)
    for trial, status in zip(
        folder.trials(), (TrialStatus.RUNNING, TrialStatus.WAITING), strict=False
    ):
        folder.write_trial(trial.model_copy(update={"status": status}))
    (folder.path / "trials" / "00002.json").write_text("{")
    with pytest.raises(ConfigError) as caught:
        compare_sweep(folder)
    assert caught.value.message == (
        f"no trial of made/{folder.path.name} has finished yet: 1 running, 4 waiting, "
        "00002.json is damaged"
    )
    assert caught.value.exit_code == 2


def test_of_a_sweep_that_is_over_nothing_is_expected_any_more(tmp_path: Path) -> None:
    runs = [replace(run, experiment="over") for run in RUNS]
    with pytest.raises(ConfigError, match="has finished: 3 failed") as caught:
        compare_sweep(make_sweep(tmp_path, runs, ["lr"]))
    assert "--retry-failed" in caught.value.remedy
