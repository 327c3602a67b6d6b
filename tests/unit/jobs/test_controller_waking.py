"""A controller that rests between two rounds gets up when a job comes in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gimbal.jobs.controller.controller import Controller, TickReport
from gimbal.jobs.settings import ControllerSettings
from gimbal.testing.clock import ManualClock

PATIENCE_S = 10.0


class Rounds:
    """Counts rounds instead of doing them."""

    def __init__(self, unavailable: str = "") -> None:
        self.done = threading.Semaphore(0)
        self.report = TickReport(leading=True, unavailable=unavailable)

    def __call__(self) -> TickReport:
        self.done.release()
        return self.report

    def another(self, patience_s: float = PATIENCE_S) -> bool:
        return self.done.acquire(timeout=patience_s)


class NoLease:
    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@contextmanager
def resting(rounds: Rounds, folder: Path) -> Iterator[Controller]:
    """A controller whose own next round is an hour away."""
    controller = Controller(
        store=NoLease(),  # type: ignore[arg-type]
        launcher=NoLease(),  # type: ignore[arg-type]
        warden=NoLease(),  # type: ignore[arg-type]
        clock=ManualClock(),
        runs_dir=folder,
        settings=ControllerSettings(tick_s=3600, unavailable_tick_max_s=3600),
    )
    controller.tick = rounds  # type: ignore[method-assign]
    stop = threading.Event()
    thread = threading.Thread(target=controller.run, args=(stop,), daemon=True)
    thread.start()
    assert rounds.another()
    try:
        yield controller
    finally:
        stop.set()
        controller.wake()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_a_job_that_comes_in_is_seen_at_once(tmp_path: Path) -> None:
    rounds = Rounds()
    with resting(rounds, tmp_path) as controller:
        for _ in range(3):
            controller.wake()
            assert rounds.another()


def test_many_jobs_at_once_make_few_rounds(tmp_path: Path) -> None:
    rounds = Rounds()
    with resting(rounds, tmp_path) as controller:
        for _ in range(1000):
            controller.wake()
        assert rounds.another()
        extra = 0
        while rounds.another(0.5):
            extra += 1
        assert extra <= 2


def test_jobs_that_come_in_do_not_hurry_a_ray_that_is_down(tmp_path: Path) -> None:
    rounds = Rounds(unavailable="Ray does not answer")
    with resting(rounds, tmp_path) as controller:
        controller.wake()
        assert not rounds.another(0.5)
