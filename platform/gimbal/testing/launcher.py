"""Ray Jobs in memory: launched attempts play a script and leave the files a real one would.

The launcher watches what no test could see from the store alone: whether a job ever runs twice at
once, runs again after it had succeeded, or runs on a card it has not reserved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gimbal.experiment.attempt import (
    EXIT_CONTENDED,
    EXIT_PREEMPTED,
    AttemptFolder,
    FailureFile,
    OutcomeFile,
    RunFile,
    WorkerFile,
)
from gimbal.jobs.attempt_files import attempt_folder, config_path
from gimbal.jobs.model import Attempt, Job
from gimbal.jobs.ports import LaunchReport, LaunchStatus, LaunchUnavailable
from gimbal.scheduling.model import GpuUuid, Grant, JobId
from gimbal.testing.clock import ManualClock
from gimbal.testing.scripts import Script
from gimbal.testing.warden import ScriptedWarden

_EPSILON = 1e-9


@dataclass(kw_only=True, slots=True)
class Execution:
    """A driver."""

    submission_id: str
    job_id: JobId
    grants: tuple[Grant, ...]
    folder: AttemptFolder
    script: Script
    began: float
    status: LaunchStatus = LaunchStatus.RUNNING
    exit_code: int | None = None
    asked_at: float | None = None
    killed_at: float | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not self.status.is_terminal


@dataclass(kw_only=True, slots=True)
class _Memory:
    known: dict[str, Execution] = field(default_factory=dict)
    zombies: list[Execution] = field(default_factory=list)


class ScriptedLauncher:
    """A `Launcher` whose jobs are scripts and whose faults are chosen.

    Args:
        clock: The time.
        warden: Where the cards are.
        runs_dir: The service's runs folder.
        plan: What an attempt of a job does.

    Attributes:
        unavailable: Whether Ray answers nothing.
        answers_lost: So many of the next launches happen without an answer.
        violations: What must never have happened and did.
        runs: How often each job began to run.
        finished: Jobs that reached their end.
    """

    def __init__(
        self,
        clock: ManualClock,
        warden: ScriptedWarden,
        runs_dir: Path,
        plan: Callable[[Job, Attempt], Script],
    ) -> None:
        self._clock, self._warden, self._runs_dir, self._plan = clock, warden, runs_dir, plan
        self._memory = _Memory()
        self._done_s: dict[JobId, float] = {}
        self.unavailable = False
        self.answers_lost = 0
        self.violations: list[str] = []
        self.runs: dict[JobId, int] = {}
        self.finished: dict[JobId, int] = {}

    def launch(self, job: Job, attempt: Attempt) -> None:
        """Start an attempt; one that was started already is left alone."""
        self._answer()
        if attempt.submission_id not in self._memory.known:
            self._begin(job, attempt)
        if self.answers_lost:
            self.answers_lost -= 1
            raise LaunchUnavailable("the answer was lost")

    def reports(self) -> Mapping[str, LaunchReport]:
        """Return how every attempt stands that is remembered."""
        self._answer()
        return {
            name: LaunchReport(status=run.status, exit_code=run.exit_code)
            for name, run in self._memory.known.items()
        }

    def stop(self, submission_id: str) -> None:
        """End an attempt in a second."""
        self._answer()
        run = self._memory.known.get(submission_id)
        if run is not None and run.alive and run.killed_at is None:
            run.killed_at = self._clock.monotonic() + 1

    def forget(self, submission_id: str) -> None:
        """Drop an ended attempt."""
        self._answer()
        self._memory.known.pop(submission_id, None)

    def running(self) -> tuple[Execution, ...]:
        """Return every driver that runs, also those Ray forgot."""
        known = (run for run in self._memory.known.values() if run.alive)
        return (*known, *(run for run in self._memory.zombies if run.alive))

    def play(self) -> None:
        """Let every driver do what it does up to now."""
        for run in self.running():
            self._play(run)
        self._count_memory()

    def kill(self, submission_id: str, exit_code: int = -9) -> None:
        """Let a driver die of a signal."""
        run = self._memory.known.get(submission_id)
        if run is not None and run.alive:
            self._keep_progress(run)
            self._end(run, LaunchStatus.FAILED, exit_code)

    def lose_supervisor(self, submission_id: str, zombies_s: float = 2.0) -> None:
        """Let Ray call a driver FAILED that runs on for a while, as when its supervisor dies."""
        run = self._memory.known.get(submission_id)
        if run is not None and run.alive:
            zombie = replace(run, killed_at=self._clock.monotonic() + zombies_s)
            self._memory.zombies.append(zombie)
            run.status = LaunchStatus.FAILED

    def lose_memory(self, zombies_s: float = 2.0) -> None:
        """Restart Ray's head: it forgets every job, and their drivers die soon after."""
        for run in self._memory.known.values():
            if run.alive:
                run.killed_at = self._clock.monotonic() + zombies_s
                self._memory.zombies.append(run)
        self._memory.known.clear()
        self._warden.lose_memory()

    def _answer(self) -> None:
        if self.unavailable:
            raise LaunchUnavailable("the scripted Ray is away")

    def _begin(self, job: Job, attempt: Attempt) -> None:
        self._check(job, attempt)
        run = Execution(
            submission_id=attempt.submission_id,
            job_id=job.id,
            grants=attempt.grants,
            folder=attempt_folder(self._runs_dir, job.id, attempt.number),
            script=self._plan(job, attempt),
            began=self._clock.monotonic(),
        )
        self._memory.known[attempt.submission_id] = run
        self.runs[job.id] = self.runs.get(job.id, 0) + 1
        run.folder.write("run", RunFile(run_dir=str(self._runs_dir / "scripted" / job.id)))
        for rank, grant in enumerate(run.grants):
            run.folder.write(f"worker-{rank}", self._worker(run, rank, grant))
        self._count_memory()

    def _check(self, job: Job, attempt: Attempt) -> None:
        name = attempt.submission_id
        if any(run.job_id == job.id for run in self.running()):
            self.violations.append(f"{name}: the job runs already")
        if job.id in self.finished:
            self.violations.append(f"{name}: the job had finished")
        if not config_path(self._runs_dir, job.id).exists():
            self.violations.append(f"{name}: there is no config")
        granted = attempt_folder(self._runs_dir, job.id, attempt.number).grant()
        if granted is None or [gpu.uuid for gpu in granted.gpus] != _uuids(attempt.grants):
            self.violations.append(f"{name}: grant.json does not name its cards")
        if attempt.grants and self._warden.held.get(name) != attempt.grants:
            self.violations.append(f"{name}: its cards are not reserved")
        for grant in attempt.grants:
            self._check_card(name, grant)

    def _check_card(self, name: str, grant: Grant) -> None:
        card = self._warden.cards[grant.uuid]
        others = [
            other for run in self.running() for other in run.grants if other.uuid == grant.uuid
        ]
        if sum(other.share for other in others) + grant.share > 1 + _EPSILON:
            self.violations.append(f"{name}: {grant.uuid} has another owner")
        if others:
            stated = sum(other.memory_bytes or card.total_bytes for other in (*others, grant))
            if stated > card.total_bytes:
                self.violations.append(f"{name}: {grant.uuid} is promised more than it has")

    def _play(self, run: Execution) -> None:
        now = self._clock.monotonic()
        script = run.script
        if run.killed_at is not None and now >= run.killed_at:
            self._keep_progress(run, run.killed_at)
            self._end(run, LaunchStatus.STOPPED, None)
        elif any(self._warden.cards[grant.uuid].foreign_bytes for grant in run.grants):
            self._keep_progress(run)
            self._fail(run, "gimbal.experiment.attempt.GpuContended", "taken", EXIT_CONTENDED)
        elif script.fails_after_s is not None and now >= run.began + script.fails_after_s:
            self._fail(run, script.error_type, script.text, script.exit_code or 1)
        elif now >= run.began + script.work_s - self._done_s.get(run.job_id, 0.0):
            self._complete(run)
        elif self._leaves(run, now):
            self._keep_progress(run)
            self._outcome(run, EXIT_PREEMPTED, "Preempted", "asked to leave")
            self._end(run, LaunchStatus.FAILED, EXIT_PREEMPTED)

    def _leaves(self, run: Execution, now: float) -> bool:
        if run.asked_at is None and run.folder.stop_path.exists():
            run.asked_at = now
        patience = run.script.leaves_after_s
        return run.asked_at is not None and patience is not None and now >= run.asked_at + patience

    def _complete(self, run: Execution) -> None:
        if run.script.exit_code:
            self._fail(run, run.script.error_type, run.script.text, run.script.exit_code)
            return
        self.finished[run.job_id] = self.finished.get(run.job_id, 0) + 1
        self._outcome(run, 0, "", "")
        self._end(run, LaunchStatus.SUCCEEDED, 0)

    def _fail(self, run: Execution, error_type: str, text: str, exit_code: int) -> None:
        at = self._clock.now().timestamp()
        failure = FailureFile(
            rank=0,
            error_type=error_type,
            text=text,
            peak_bytes=run.script.peak_bytes,
            gpus=tuple(self._card_then(run, grant.uuid) for grant in run.grants),
            at=at,
        )
        run.folder.write("failure-0", failure)
        self._outcome(run, exit_code, error_type, text)
        self._end(run, LaunchStatus.FAILED, exit_code)

    def _card_then(self, run: Execution, uuid: GpuUuid) -> dict[str, object]:
        card = self._warden.cards[uuid]
        own = run.script.peak_bytes
        used = min(card.total_bytes, card.foreign_bytes + own)
        return {"uuid": uuid, "total_bytes": card.total_bytes, "used_bytes": used, "own_bytes": own}

    def _outcome(self, run: Execution, exit_code: int, error_type: str, text: str) -> None:
        at = self._clock.now().timestamp()
        record = OutcomeFile(exit_code=exit_code, error_type=error_type, message=text, at=at)
        run.folder.write("outcome", record)

    def _end(self, run: Execution, status: LaunchStatus, exit_code: int | None) -> None:
        run.status, run.exit_code = status, exit_code
        self._count_memory()

    def _keep_progress(self, run: Execution, until: float | None = None) -> None:
        passed = (self._clock.monotonic() if until is None else until) - run.began
        self._done_s[run.job_id] = self._done_s.get(run.job_id, 0.0) + max(0.0, passed)

    def _worker(self, run: Execution, rank: int, grant: Grant) -> WorkerFile:
        return WorkerFile(
            rank=rank,
            uuids=(grant.uuid,),
            reserved_bytes=grant.memory_bytes or 0,
            peak_bytes=run.script.peak_bytes,
            at=self._clock.now().timestamp(),
        )

    def _count_memory(self) -> None:
        for card in self._warden.cards.values():
            card.own_bytes = sum(
                run.script.peak_bytes
                for run in self.running()
                for grant in run.grants
                if grant.uuid == card.uuid
            )


def _uuids(grants: tuple[Grant, ...]) -> list[str]:
    return [grant.uuid for grant in grants]
