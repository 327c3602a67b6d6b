"""A run that the job service started: asked to leave, continued, logged, and its end written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gimbal.cli.border import BUG_EXIT, INTERRUPTED_EXIT, Interrupted, error_border, exit_code
from gimbal.data.building import run_here
from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import DataStage, Item
from gimbal.errors import ConfigError, StageFailed
from gimbal.experiment.attempt import (
    AttemptFolder,
    GpuContended,
    GrantFile,
    OutcomeFile,
    Preempted,
    RunFile,
    StopFile,
)
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus, StageStatus
from gimbal.experiment.settings import ExperimentSettings, Resources, Settings
from gimbal.experiment.stage import Progress, Stage, StageInputs, TaskStage
from gimbal.experiment.workload import Workload
from gimbal.pipeline.attempts import resources_of
from gimbal.pipeline.code import CodeIdentity
from gimbal.pipeline.execution import Execution
from gimbal.pipeline.runner import run_experiment


@dataclass(frozen=True, kw_only=True)
class Step(TaskStage):
    """A stage that runs in this process, without Ray."""

    settings: Settings = field(default_factory=Settings)
    always: bool = True
    act: Callable[[], None] = field(default=lambda: None, compare=False)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        self.act()
        return {"done": 1}


class Steps(Workload[ExperimentSettings]):
    name, config = "steps", ExperimentSettings

    def __init__(self, *acts: Callable[[], None]) -> None:
        self.acts = acts

    def stages(self, config: ExperimentSettings) -> Sequence[Stage]:
        return [Step(name=f"s{number}", act=act) for number, act in enumerate(self.acts)]


@pytest.fixture
def settings(tmp_path: Path) -> ExperimentSettings:
    platform = {"runs_dir": tmp_path / "runs", "tracking": {"enabled": False}}
    return ExperimentSettings(workload="steps", experiment="e", platform=platform)


@pytest.fixture
def attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int], AttemptFolder]:
    """Become an attempt of a job, by its number."""

    def begin(job: str, number: int) -> AttemptFolder:
        folder = AttemptFolder(tmp_path / job / str(number))
        monkeypatch.setenv("GIMBAL_ATTEMPT_DIR", str(folder.path))
        return folder

    return begin


def run_of(attempt: AttemptFolder) -> RunFolder:
    record = attempt.read("run", RunFile)
    assert record is not None
    return RunFolder(Path(record.run_dir))


def test_a_run_leaves_between_stages_and_the_next_attempt_continues_it(
    settings: ExperimentSettings, attempts: Callable[[str, int], AttemptFolder]
) -> None:
    first, done = attempts("job", 1), []
    stop = StopFile(why="preempt", at=0.0, words="for job 7")
    workload = Steps(lambda: first.write("stop", stop), lambda: done.append(1))
    with pytest.raises(Preempted, match="asked to make room for another job: for job 7"):
        run_experiment(workload, settings)
    state = run_of(first).state()
    assert state.status is RunStatus.INTERRUPTED and done == []
    assert state.stages["s0"].status is StageStatus.FINISHED

    second = attempts("job", 2)
    run_experiment(Steps(lambda: None, lambda: done.append(1)), settings)
    assert run_of(second).path == run_of(first).path and done == [1]
    assert run_of(second).state().status is RunStatus.FINISHED


@dataclass(frozen=True, kw_only=True)
class Numbers(DataStage):
    """One block a number; making the second one, the service asks to leave."""

    settings: Settings = field(default_factory=Settings)
    items_per_block: int = 1
    ask: Callable[[], None] = field(default=lambda: None, compare=False)

    @property
    def schema(self) -> BlockSchema:
        return BlockSchema.of(Column("n", "int64"))

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        return [{"id": str(n)} for n in range(4)]

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        if item["id"] == "1":
            self.ask()
        yield {"n": int(item["id"])}


def test_a_data_stage_leaves_after_a_block_and_keeps_it(
    settings: ExperimentSettings,
    attempts: Callable[[str, int], AttemptFolder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gimbal.pipeline.ray_session.connect", lambda *_: None)
    monkeypatch.setattr("gimbal.data.writing._on_ray", lambda place: run_here)
    first = attempts("job", 1)
    stage = Numbers(name="n", ask=lambda: first.write("stop", StopFile(why="cancel", at=0.0)))
    execution = Execution(
        settings=settings,
        code=CodeIdentity(digest="", packages=("gimbal",), driver_path=""),
        fingerprint="",
        progress=lambda *_: None,
    )
    with pytest.raises(Preempted, match="cancelled"):
        execution.run(stage, {}, tmp_path / "out")
    attempts("job", 2)
    numbers = execution.run(stage, {}, tmp_path / "out")
    assert (numbers["blocks"], numbers["built_blocks"]) == (4, 2)


def test_a_job_keeps_its_run_also_when_an_attempt_failed(
    settings: ExperimentSettings, attempts: Callable[[str, int], AttemptFolder]
) -> None:
    """A neighbour killed it: the run failed, the job did not."""

    def die() -> None:
        raise StageFailed("CUDA out of memory", "")

    first = attempts("job", 1)
    with pytest.raises(StageFailed):
        run_experiment(Steps(die), settings)
    assert run_of(first).state().status is RunStatus.FAILED
    attempts("job", 2)  # ended before it had a run
    third = attempts("job", 3)
    run_experiment(Steps(lambda: None), settings)
    assert run_of(third).path == run_of(first).path
    another = attempts("another", 1)
    run_experiment(Steps(lambda: None), settings)
    assert run_of(another).path != run_of(first).path


def test_contention_interrupts_a_run_and_does_not_fail_it(
    settings: ExperimentSettings, attempts: Callable[[str, int], AttemptFolder]
) -> None:
    def lose() -> None:
        raise GpuContended("GPU lab:3: taken", "")

    first = attempts("job", 1)
    with pytest.raises(GpuContended):
        run_experiment(Steps(lose), settings)
    assert run_of(first).state().status is RunStatus.INTERRUPTED


def test_the_service_and_not_the_run_decides_what_a_lost_worker_means(tmp_path: Path) -> None:
    assert resources_of(Resources(), None).max_worker_failures == 3
    attempt = AttemptFolder(tmp_path)
    assert resources_of(Resources(), attempt).max_worker_failures == 3, "a trial has no service"
    attempt.write("grant", GrantFile(job="job-a", attempt=1))
    assert resources_of(Resources(), attempt).max_worker_failures == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (Preempted("x"), 75),
        (GpuContended("x"), 76),
        (Interrupted("x"), INTERRUPTED_EXIT),
        (KeyboardInterrupt(), INTERRUPTED_EXIT),
        (BrokenPipeError(), 1),
        (OSError(28, "No space left on device", "f"), 6),
        (OSError(5, "Input/output error", "f"), BUG_EXIT),
        (ZeroDivisionError("x"), BUG_EXIT),
    ],
)
def test_the_status_that_is_written_is_the_one_the_process_ends_with(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gimbal.cli.border.os.dup2", lambda *_: None)
    with pytest.raises(SystemExit) as ended, error_border():
        raise error
    assert ended.value.code == exit_code(error) == code


PROGRAM = """
import os, subprocess, sys
from gimbal.cli.border import error_border, exit_code
from gimbal.pipeline.attempt_session import attempt_session
with error_border(), attempt_session(exit_code):
    print("from python")
    os.write(2, b"from C\\n")
    subprocess.run(["echo", "from a child"], check=True)
    if sys.argv[1:]:
        raise eval(sys.argv[1])
"""


def session(attempt: Path, *arguments: str) -> tuple[int, str, OutcomeFile]:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "GIMBAL_ATTEMPT_DIR": str(attempt)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == ended.stderr == ""
    outcome = AttemptFolder(attempt).read("outcome", OutcomeFile)
    assert outcome is not None
    return ended.returncode, (attempt / "log.txt").read_text(), outcome


def test_everything_that_is_printed_is_in_the_log_in_its_order(tmp_path: Path) -> None:
    code, log, outcome = session(tmp_path / "1")
    assert log == "from python\nfrom C\nfrom a child\n"
    assert (code, outcome.exit_code, outcome.error_type) == (0, 0, "")


def test_an_error_is_in_the_log_and_in_the_outcome(tmp_path: Path) -> None:
    code, log, outcome = session(tmp_path / "1", "ZeroDivisionError('by nought')")
    assert code == outcome.exit_code == BUG_EXIT
    assert (outcome.error_type, outcome.message) == ("ZeroDivisionError", "by nought")
    assert "by nought" in log.splitlines()[-2] and "\x1b" not in log


def test_a_config_that_is_wrong_is_an_outcome_too(tmp_path: Path) -> None:
    """Through the real command: nothing may end an attempt without a word."""
    (tmp_path / "bad.yaml").write_text("workload: nowhere\nexperiment: e\n")
    ended = subprocess.run(
        [sys.executable, "-m", "gimbal.cli.main", "run", str(tmp_path / "bad.yaml")],
        env={**os.environ, "GIMBAL_ATTEMPT_DIR": str(tmp_path / "1")},
        check=False,
    )
    outcome = AttemptFolder(tmp_path / "1").read("outcome", OutcomeFile)
    assert outcome is not None and ended.returncode == outcome.exit_code == 2
    assert outcome.error_type == "ConfigError" and "nowhere" in outcome.message
