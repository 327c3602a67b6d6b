"""One trial's process: how it ends, is delayed, is asked to leave, and outlives its former self."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import GateFailed, GimbalError
from gimbal.experiment.attempt import GpuContended, Preempted, StopFile
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.pipeline.runner import RunResult
from gimbal.sweeps import trial_run
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.trial_run import TrialRun
from gimbal.sweeps.trials import Trial

TRIAL = Trial(number=3, point={"train.lr": 0.1}, seed=0, many_seeds=False)
RUN = "runs/s/20261126-000001-abcd"


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()


class Bench:
    """A trial whose runs end as a script says."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock, self.script, self.bounds = clock, list[Any](), list[tuple[float, float]]()
        self.seen: list[TrialRecord] = []
        path = folder / "runs" / "s" / "sweep-20261126-000000-abcd"
        path.mkdir(parents=True)
        self.folder = SweepFolder(path)
        workload: Any = object()
        self.plan = SweepPlan(
            folder=path,
            workload=workload,
            name="s",
            metric="score.value",
            train_stage=None,
            judged=None,
            started_in=folder,
        )

    def experiment(self, workload: Any, settings: Any, options: Any, log: Any) -> RunResult:
        log.run_started(RUN, ("score",), False)
        self.seen.append(self.record)
        self.clock.now += 7
        end = self.script.pop(0)
        if isinstance(end, BaseException):
            raise end
        return RunResult(run_dir=RUN, stages={}, metrics={"score": end})

    def go(self, *script: Any, number: int = 1) -> TrialRecord:
        self.script = list(script)
        run = TrialRun(self.plan, TRIAL, number, self.clock.sleep, self._chance)
        record = run.go()
        assert record == self.record, "what is returned is on disk"
        assert not self.script
        return record

    def _chance(self, low: float, high: float) -> float:
        self.bounds.append((low, high))
        return high

    @property
    def record(self) -> TrialRecord:
        record = self.folder.trial(TRIAL.id)
        assert record is not None
        return record

    def ask(self, why: Any, words: str = "words") -> None:
        self.plan.attempt(TRIAL, 1).write("stop", StopFile(why=why, at=0.0, words=words))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    clock = Clock()
    made = Bench(tmp_path, clock)
    monkeypatch.setattr(trial_run.time, "monotonic", clock.monotonic)
    monkeypatch.setattr(trial_run, "run_experiment", made.experiment)
    monkeypatch.setattr(SweepPlan, "load", lambda self, trial: None)
    for name in (trial_run.ATTEMPT_VARIABLE, trial_run.ORIGIN_VARIABLE):
        monkeypatch.setenv(name, "")
    return made


def contended() -> GpuContended:
    return GpuContended("alice holds lab:0", "wait")


def test_a_run_that_finishes_gives_the_trial_its_metric(bench: Bench) -> None:
    record = bench.go({"value": 0.5})
    assert (record.status, record.metric, record.seconds) == (TrialStatus.FINISHED, 0.5, 7)
    assert (record.run_dir, record.attempts, record.message) == (RUN, 1, "")
    assert bench.seen[0].status is TrialStatus.RUNNING
    assert record.started_at is not None
    assert record.ended_at is not None


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"other": 1}, "the run reported no number score.value"),
        ({"value": "0.5"}, "the run reported no number score.value"),
        ({"value": math.nan}, "score.value is nan"),
        ({"value": math.inf}, "score.value is inf"),
    ],
)
def test_a_run_without_a_usable_metric_fails_its_trial(
    bench: Bench, metrics: dict[str, Any], words: str
) -> None:
    record = bench.go(metrics)
    assert (record.status, record.metric, record.message) == (TrialStatus.FAILED, None, words)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (GimbalError("it broke", "mend it"), "it broke"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
    ],
)
def test_an_error_fails_the_trial_and_says_why(bench: Bench, error: Exception, words: str) -> None:
    record = bench.go(error)
    assert (record.status, record.metric, record.message) == (TrialStatus.FAILED, None, words)
    assert record.seconds == 7
    assert words.split(": ")[-1] in bench.plan.attempt(TRIAL, 1).log.read_text() or "Errno" in words


def test_a_missed_gate_fails_the_trial_and_keeps_its_metric(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = type("S", (), {"metrics": {"value": 0.25}})
    state = type("T", (), {"stages": {"score": stage}, "status": RunStatus.FAILED})
    monkeypatch.setattr(trial_run.RunFolder, "state", lambda self: state)
    record = bench.go(GateFailed("value = 0.25, wanted >= 1", "train longer"))
    assert (record.status, record.metric) == (TrialStatus.FAILED, 0.25)
    assert "wanted >= 1" in record.message


def test_a_gpu_that_is_taken_delays_the_trial_and_never_fails_it(bench: Bench) -> None:
    during: set[tuple[TrialStatus, str]] = set()
    bench.clock.on_sleep = lambda: during.add((bench.record.status, bench.record.message))
    record = bench.go(contended(), contended(), {"value": 1.0})
    assert (record.status, record.message) == (TrialStatus.FINISHED, "")
    assert during == {(TrialStatus.DELAYED, "alice holds lab:0")}
    assert record.seconds == 21, "three tries of 7 s; what it waited is nobody's work"
    assert bench.bounds == [(5, 10), (10, 20)]
    assert bench.clock.now == 21 + 30
    assert record.attempts == 1


def test_the_wait_for_a_gpu_grows_no_longer_than_five_minutes(bench: Bench) -> None:
    bench.go(*[contended() for _ in range(9)], {"value": 1.0})
    assert [high for _, high in bench.bounds] == [10, 20, 40, 80, 160, 300, 300, 300, 300]


def test_a_delayed_trial_leaves_at_once_when_it_is_asked_to(bench: Bench) -> None:
    bench.clock.on_sleep = lambda: bench.ask("budget", "time is up")
    record = bench.go(contended())
    assert (record.status, record.message) == (TrialStatus.WAITING, "time is up")
    assert record.ended_at is None
    assert bench.clock.now <= 8


@pytest.mark.parametrize(
    ("why", "status"),
    [
        ("early", TrialStatus.STOPPED),
        ("cancel", TrialStatus.WAITING),
        ("budget", TrialStatus.WAITING),
        ("preempt", TrialStatus.WAITING),
    ],
)
def test_a_trial_that_left_ended_only_if_it_was_weak(
    bench: Bench, why: str, status: TrialStatus
) -> None:
    bench.ask(why)
    record = bench.go(Preempted("asked to leave"))
    assert (record.status, record.message, record.seconds) == (status, "words", 7)
    assert (record.ended_at is not None) == status.is_terminal


def test_a_second_start_adds_to_the_first(bench: Bench) -> None:
    bench.ask("cancel")
    first = bench.go(Preempted("asked to leave"))
    second = bench.go({"value": 2.0}, number=2)
    assert (second.seconds, second.attempts) == (14, 2)
    assert second.started_at == first.started_at


def test_the_process_of_an_earlier_start_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ask("cancel")
    bench.go(Preempted("asked to leave"))
    before = bench.clock.now

    def state(_folder: Any) -> Any:
        alive = bench.clock.now < before + 20
        return type("T", (), {"status": RunStatus.RUNNING if alive else RunStatus.INTERRUPTED})

    monkeypatch.setattr(trial_run.RunFolder, "state", state)
    bench.go({"value": 2.0}, number=2)
    assert bench.clock.now == before + 20 + 7
