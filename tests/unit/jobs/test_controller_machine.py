"""Anything may happen in any order: Hypothesis drives the real policy, store and controller.

After every step the invariants of `Lab.check` hold; when the disturbances end, every job ends.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from controller_lab import GIB, LEASE_S, Lab, calm, quick_files, spec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gimbal.errors import GimbalError
from gimbal.jobs.controller import Controller
from gimbal.jobs.model import Hold, JobState
from gimbal.testing.crashing import Crash
from gimbal.testing.job_store import InMemoryJobStore

CARDS = (3, 2)
"""Two nodes, so that gangs may have to span them."""
DONE_WITHIN_S = 3000.0
"""What a dozen jobs need one after the other, with every backoff."""

card_numbers = st.integers(0, sum(CARDS) - 1)
gangs = st.builds(
    spec,
    st.integers(0, 4),
    user=st.sampled_from(["ann", "bob", "eve"]),
    priority=st.sampled_from([0, 0, 0, 5]),
    memory=st.sampled_from([None, 4 * GIB, 20 * GIB]),
    key=st.sampled_from(["", "small", "large"]),
    work_s=st.sampled_from([1.0, 8.0, 40.0]),
    leaves_after_s=st.sampled_from([1.0, None]),
)
shares = st.builds(
    spec,
    st.just(1),
    share=st.sampled_from([0.25, 0.5]),
    memory=st.sampled_from([4 * GIB, 9 * GIB]),
    work_s=st.sampled_from([4.0, 20.0]),
)
failing = st.sampled_from(
    [
        spec(1, work_s=3, exit_code=3, error_type="builtins.ValueError", text="no such thing"),
        spec(
            2,
            work_s=3,
            exit_code=3,
            error_type="torch.OutOfMemoryError",
            text="CUDA out of memory. Tried to allocate 2.00 GiB.",
        ),
        spec(1, work_s=3, exit_code=2, error_type="gimbal.errors.ConfigError", text="bad key"),
    ]
)


class ControllerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gimbal-machine-"))
        self.files = quick_files()
        self.files.__enter__()
        self.store = InMemoryJobStore()
        self.lab = Lab(self.store, self.folder, CARDS)
        self.controllers: list[Controller] = [self.lab.controller]

    def teardown(self) -> None:
        try:
            self._everything_ends()
        finally:
            self.store.close()
            self.files.__exit__(None, None, None)
            shutil.rmtree(self.folder, ignore_errors=True)

    @initialize(jobs=st.lists(gangs, min_size=1, max_size=3))
    def some_jobs(self, jobs: list) -> None:
        for job in jobs:
            self.lab.submit(job)

    @rule(job=st.one_of(gangs, shares, failing))
    @precondition(lambda self: len(self.lab.ids) < 12)
    def submit(self, job: object) -> None:
        self.lab.submit(job)

    @rule(number=st.integers(0, 11))
    def cancel(self, number: int) -> None:
        job = self.lab.job(self.lab.ids[number % len(self.lab.ids)])
        if not job.state.is_terminal:
            self.store.request_cancel(job.id, now=self.lab.clock.now())

    @rule(which=st.integers(0, 1), seconds=st.sampled_from([0.0, 1.0, 1.0, 3.0]))
    def tick(self, which: int, seconds: float) -> None:
        self.controllers[which % len(self.controllers)].tick()
        self.lab.check()
        self.lab.pass_time(seconds)

    @rule(ticks=st.integers(3, 15))
    def work(self, ticks: int) -> None:
        for _ in range(ticks):
            self.tick(0, 2.0)

    @rule(seconds=st.sampled_from([5.0, 30.0, 200.0]))
    def nobody_looks(self, seconds: float) -> None:
        self.lab.pass_time(seconds)

    @rule(seconds=st.sampled_from([-7200.0, -20.0, 20.0, 7200.0]))
    def clock_jumps(self, seconds: float) -> None:
        self.lab.clock.jump(seconds)

    @rule(number=card_numbers, size=st.sampled_from([1 * GIB, 14 * GIB]))
    def neighbour_arrives(self, number: int, size: int) -> None:
        self.lab.warden.arrive(list(self.lab.warden.cards)[number], size)
        self.lab.launcher.play()

    @rule(number=card_numbers)
    def neighbour_leaves(self, number: int) -> None:
        self.lab.warden.leave(list(self.lab.warden.cards)[number])

    @rule(number=card_numbers, seconds=st.sampled_from([10, 100]))
    def hold(self, number: int, seconds: int) -> None:
        card = list(self.lab.warden.cards.values())[number]
        now = self.lab.clock.now()
        until = now + timedelta(seconds=seconds)
        hold = Hold(
            id=0,
            node=card.node,
            index=card.index,
            uuid=card.uuid,
            user="ann",
            reason="x",
            since=now,
            until=until,
        )
        try:
            self.store.hold(hold)
        except GimbalError:
            self.store.release(card.node, card.index, now=now)

    @rule(number=st.integers(0, 5), exit_code=st.sampled_from([-9, -11, 1]))
    def driver_dies(self, number: int, exit_code: int) -> None:
        running = self.lab.launcher.running()
        if running:
            self.lab.launcher.kill(running[number % len(running)].submission_id, exit_code)

    @rule(number=st.integers(0, 5))
    def supervisor_dies(self, number: int) -> None:
        running = self.lab.launcher.running()
        if running:
            self.lab.launcher.lose_supervisor(running[number % len(running)].submission_id)

    @rule(zombies_s=st.sampled_from([0.0, 2.0]))
    def head_restarts(self, zombies_s: float) -> None:
        self.lab.launcher.lose_memory(zombies_s)
        self.lab.launcher.play()

    @rule(away=st.booleans())
    def ray_answers_or_not(self, away: bool) -> None:
        self.lab.launcher.unavailable = self.lab.warden.unavailable = away

    @rule(lost=st.integers(1, 2))
    def answers_get_lost(self, lost: int) -> None:
        self.lab.launcher.answers_lost = lost

    @rule(after=st.integers(0, 30))
    def controller_dies(self, after: int) -> None:
        """Die at one of the next points; what follows starts with nothing but the store."""
        self.lab.points.at = self.lab.points.passed + after
        with contextlib.suppress(Crash):
            self.controllers[0].tick()
        self.lab.points.at = None
        self.controllers[0] = self.lab.new_controller()
        self.lab.pass_time(1.0)

    @rule()
    @precondition(lambda self: len(self.controllers) == 1)
    def second_controller(self) -> None:
        self.controllers.append(self.lab.new_controller())

    @invariant()
    def holds_always(self) -> None:
        self.lab.check()

    def _everything_ends(self) -> None:
        """Starvation is bounded: without disturbances every job ends, each once."""
        calm(self.lab)
        for hold in self.store.holds(now=self.lab.clock.now()):
            self.store.release(hold.node, hold.index, now=self.lab.clock.now())
        self.controllers = self.controllers[:1]
        self.lab.clock.advance(2 * LEASE_S)
        passed = 0.0
        while self.store.active() and passed < DONE_WITHIN_S:
            step = 2.0 if passed < 300 else 30.0
            self.controllers[0].tick()
            self.lab.check()
            self._waiting_jobs_say_why()
            self.lab.pass_time(step)
            passed += step
        for _ in range(2):
            self.controllers[0].tick()
        self.lab.check_done()

    def _waiting_jobs_say_why(self) -> None:
        for job in self.store.active():
            assert job.state is not JobState.PENDING or job.reason, f"{job.id} waits for nothing"


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        ControllerMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_nothing_is_lost_or_doubled_whatever_happens() -> None:
    run(examples=20, steps=25)


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_whatever_happens_for_long() -> None:
    run(examples=500, steps=60)
