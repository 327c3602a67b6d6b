"""A metric that nothing reports stops the sweep at the first trial that shows it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trial_records import record_of

from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunState, RunStatus, StageState, StageStatus, utc_now
from gimbal.experiment.sweep_record import SweepFolder, TrialStatus
from gimbal.sweeps.metric_watch import MetricWatch
from gimbal.sweeps.opening import create
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.spec import read_sweep
from gimbal.sweeps.trials import Trial, check
from gimbal.sweeps.tuning import Leaving

ASHA = {"kind": "asha", "metric": "regret/policy", "mode": "min", "grace_steps": 10}


class Lab:
    """A sweep whose first trial is what a test makes of it."""

    def __init__(self, path: Path, here: Path) -> None:
        sweep = read_sweep(path)
        workload, base = check(sweep)
        self.folder: SweepFolder = create(sweep, base, here / "runs").folder
        self.plan = SweepPlan.of(self.folder, sweep.spec, workload, list(workload.stages(base)), ())
        self.leaving = Leaving(deadline=None, asked=threading.Event())
        self.watch = MetricWatch(self.plan, self.leaving)
        self.run_dir = here / "runs" / "question" / "20261126-000000-abcd"

    def validate(self, *lines: dict[str, float]) -> None:
        file = self.run_dir / "stages" / "train" / "metrics.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        texts = [json.dumps({"step": n, "values": values}) for n, values in enumerate(lines, 1)]
        file.write_text("\n".join([*texts, ""]))

    def end(self, metrics: dict[str, Any], status: RunStatus = RunStatus.FINISHED) -> None:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        stages = {"score": StageState(status=StageStatus.FINISHED, metrics=metrics)}
        state = RunState(
            id=self.run_dir.name,
            experiment="question",
            workload="sweeptoy",
            status=status,
            started_at=utc_now(),
            stages=stages,
        )
        (self.run_dir / "run.json").write_text(state.model_dump_json())
        assert RunFolder(self.run_dir).state().stages["score"].metrics == metrics

    def moved(self, status: TrialStatus, metric: float | None = None) -> str:
        trial = Trial(number=0, point={"train.lr": 0.1}, seed=0, many_seeds=False)
        record = record_of(trial, status, metric=metric, run_dir=str(self.run_dir))
        self.folder.write_trial(record)
        self.watch.moved(trial.id)
        return str(self.leaving.problem or "")


@pytest.fixture
def lab(sweep_file: Callable[..., Path], toy: Path) -> Lab:
    return Lab(sweep_file(scheduler=ASHA), toy)


def test_early_stopping_by_a_name_nothing_validates(lab: Lab) -> None:
    assert lab.moved(TrialStatus.RUNNING) == ""
    lab.validate({"loss": 1.0})
    assert lab.moved(TrialStatus.RUNNING) == "", "nothing was validated yet"
    lab.validate({"loss": 1.0}, {"val/loss": 2.0, "val/regret/polcy": 0.1})
    words = lab.moved(TrialStatus.RUNNING)
    assert "scheduler.metric" in words
    assert "it validates regret/polcy;" in words
    assert lab.leaving.now


def test_early_stopping_by_a_name_that_is_there(lab: Lab) -> None:
    lab.validate({"loss": 1.0}, {"val/regret/policy": 0.1}, {"val/loss": 0.1})
    assert lab.moved(TrialStatus.RUNNING) == ""
    assert not lab.leaving.now


def test_a_metric_the_first_run_does_not_report(lab: Lab) -> None:
    lab.end({"values": 1.0, "kind": "plain", "deep": {"other": 2}})
    words = lab.moved(TrialStatus.FAILED)
    assert words.startswith(f"metric: the first run that finished, {lab.run_dir}")
    assert "score reports score.values" in words
    assert "plain" not in words


def test_a_metric_that_is_there_may_be_missed_later(lab: Lab) -> None:
    lab.validate({"val/regret/policy": 0.1})
    assert lab.moved(TrialStatus.FINISHED, 0.5) == ""
    lab.end({"other": 1.0})
    assert lab.moved(TrialStatus.FAILED) == "", "an earlier trial had it: it is this trial's fault"


@pytest.mark.parametrize(
    ("metrics", "status"),
    [({}, RunStatus.FAILED), ({"value": None}, RunStatus.FINISHED)],
)
def test_a_run_that_broke_or_has_no_finite_number_stops_nothing(
    lab: Lab, metrics: dict[str, Any], status: RunStatus
) -> None:
    lab.end(metrics, status)
    assert lab.moved(TrialStatus.FAILED) == ""
