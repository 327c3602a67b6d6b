"""A small lab around the real controller and policy, and what must always be true of it.

Ray, the GPUs and the clock are scripted; jobs play what their config says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gimbal.jobs import attempt_files
from gimbal.jobs.controller import Controller, TickReport
from gimbal.jobs.model import Attempt, Job, JobSpec, JobState
from gimbal.scheduling.model import JobId
from gimbal.scheduling.settings import PolicySettings
from gimbal.testing.clock import ManualClock
from gimbal.testing.crashing import CrashPoints
from gimbal.testing.launcher import ScriptedLauncher
from gimbal.testing.scripts import Script
from gimbal.testing.warden import GIB, ScriptedWarden

STORE_EFFECTS = frozenset(
    {
        "take_lease",
        "renew_lease",
        "drop_lease",
        "note_wait",
        "intend",
        "launching",
        "launched",
        "note_run",
        "ask_to_stop",
        "end_attempt",
        "fail_pending",
        "quarantine",
    }
)
WARDEN_EFFECTS = frozenset({"reserve", "free", "set_quarantines", "set_holds"})
LAUNCHER_EFFECTS = frozenset({"launch", "stop", "forget"})
_FILES = (
    "gimbal.jobs.controller.starting.write_config",
    "gimbal.jobs.controller.starting.write_grant",
    "gimbal.jobs.controller.stopping.write_stop",
)
EPSILON = 1e-9
LEASE_S = 15.0


@contextmanager
def quick_files() -> Iterator[None]:
    """Write files without flushing them to a disk: these tests kill no machine."""

    def write(path: Path, text: str) -> Path:
        Path(path).write_text(text)
        return Path(path)

    with (
        patch("gimbal.experiment.attempt.atomic_write_text", write),
        patch("gimbal.jobs.attempt_files.atomic_write_text", write),
    ):
        yield


def spec(
    gpus: int = 1,
    *,
    user: str = "ann",
    priority: int = 0,
    memory: int | None = None,
    share: float = 1.0,
    key: str = "",
    **script: Any,
) -> JobSpec:
    """Return a job whose config holds its script."""
    return JobSpec(
        workload="toy",
        experiment="lab",
        config={"workload": "toy", "experiment": "lab", "script": script},
        user=user,
        gpus=gpus,
        share=share,
        memory_bytes=memory,
        priority=priority,
        peak_key=key,
    )


def scripted(job: Job, attempt: Attempt) -> Script:
    """Play what the job's config says."""
    return Script(**job.spec.config["script"])


class Lab:
    """One lab.

    Args:
        store: A job store.
        runs_dir: An empty folder.
        cards: Number of cards of each node.
    """

    def __init__(self, store: Any, runs_dir: Path, cards: tuple[int, ...] = (4,)) -> None:
        self.store = store
        self.runs_dir = runs_dir
        self.clock = ManualClock()
        self.warden = ScriptedWarden(self.clock, cards)
        self.launcher = ScriptedLauncher(self.clock, self.warden, runs_dir, scripted)
        self.points = CrashPoints()
        self.controller = self.new_controller()
        self.ended: dict[JobId, Job] = {}
        self.ids: list[JobId] = []

    def new_controller(self) -> Controller:
        return Controller(
            store=self.points.wrap(self.store, STORE_EFFECTS),
            launcher=self.points.wrap(self.launcher, LAUNCHER_EFFECTS),
            warden=self.points.wrap(self.warden, WARDEN_EFFECTS),
            clock=self.clock,
            runs_dir=self.runs_dir,
            policy=PolicySettings(preemption_min_runtime_s=5.0, starvation_s=300.0),
        )

    @contextmanager
    def crashing_files(self) -> Iterator[None]:
        """Let the controller die around its writes of files too."""
        written: list[Callable[..., Any]] = [
            attempt_files.write_config,
            attempt_files.write_grant,
            attempt_files.write_stop,
        ]
        with (
            patch(_FILES[0], lambda *args: self.points.around(written[0])(*args)),
            patch(_FILES[1], lambda *args: self.points.around(written[1])(*args)),
            patch(_FILES[2], lambda *args: self.points.around(written[2])(*args)),
        ):
            yield

    def restart(self) -> None:
        """Start a new controller; the dead one's lease has to run out first."""
        self.controller = self.new_controller()
        self.pass_time(LEASE_S + 1)

    def submit(self, job: JobSpec) -> JobId:
        accepted, _ = self.store.submit(job, now=self.clock.now())
        self.ids.append(accepted.id)
        return accepted.id

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.launcher.play()

    def tick(self, seconds: float = 1.0) -> TickReport:
        report = self.controller.tick()
        self.check()
        self.pass_time(seconds)
        return report

    def run(self, ticks: int, seconds: float = 1.0, *, until_done: bool = True) -> None:
        for _ in range(ticks):
            if until_done and not self.store.active():
                return
            self.tick(seconds)

    def job(self, job_id: JobId) -> Job:
        return self.store.get(job_id)

    def check(self) -> None:
        """Assert what must be true at any moment."""
        assert not self.launcher.violations, self.launcher.violations
        shares: dict[str, float] = {}
        promised: dict[str, list[int]] = {}
        for job in map(self.store.get, self.ids):
            self._check_final(job)
            self._check_reasons(job)
            for grant in job.current.grants if job.current else ():
                shares[grant.uuid] = shares.get(grant.uuid, 0.0) + grant.share
                total = self.warden.cards[grant.uuid].total_bytes
                promised.setdefault(grant.uuid, []).append(grant.memory_bytes or total)
        assert all(share <= 1 + EPSILON for share in shares.values()), shares
        for uuid, needs in promised.items():
            assert sum(needs) <= self.warden.cards[uuid].total_bytes, (uuid, needs)

    def check_done(self) -> None:
        """Assert that every accepted job ended once and for all, with what it did."""
        for job in map(self.store.get, self.ids):
            assert job.state.is_terminal, f"{job.id} never ended: {job.reason} {job.detail}"
            finished = self.launcher.finished.get(job.id, 0)
            assert finished <= 1, f"{job.id} ran to its end {finished} times"
            if job.state is JobState.SUCCEEDED:
                assert finished == 1, f"{job.id} is called SUCCEEDED and never finished"
            elif finished:
                assert job.cancel_requested, f"{job.id} finished and is called {job.state}"
        assert not self.warden.held, "cards are still reserved"
        assert not self.launcher.running(), "a driver still runs"

    def _check_final(self, job: Job) -> None:
        if job.id in self.ended:
            assert job == self.ended[job.id], f"{job.id} changed after it had ended"
        elif job.state.is_terminal:
            self.ended[job.id] = job

    def _check_reasons(self, job: Job) -> None:
        for attempt in job.attempts[: None if job.current is None else -1]:
            succeeded = attempt is job.attempts[-1] and job.state is JobState.SUCCEEDED
            stopped = attempt is job.attempts[-1] and job.state is JobState.STOPPED
            assert succeeded or attempt.reason, f"{job.id}/{attempt.number} ended without a reason"
            assert succeeded or stopped or attempt.failure, f"{job.id}: no class of failure"


def calm(lab: Lab) -> None:
    """End every disturbance, so that whatever is left must come to an end."""
    lab.clock.set_right()
    lab.launcher.unavailable = lab.warden.unavailable = False
    lab.launcher.answers_lost = 0
    lab.store.held = ()
    for uuid in lab.warden.cards:
        lab.warden.leave(uuid)


__all__ = ["GIB", "Lab", "calm", "quick_files", "scripted", "spec"]
