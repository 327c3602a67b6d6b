"""The clock of tests moves only when told to, and time passed is not time set."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from gimbal.jobs.clock import SystemClock
from gimbal.jobs.ports import Clock
from gimbal.testing.clock import ManualClock


def test_time_passes_by_advance_and_sleep_and_is_set_by_jump() -> None:
    clock = ManualClock()
    start = clock.now()
    clock.advance(5)
    clock.sleep(2.5)
    clock.sleep(-1)
    clock.jump(-3600)
    assert clock.monotonic() == 7.5
    assert clock.now() - start == timedelta(seconds=7.5 - 3600)
    assert clock.timestamp() == clock.now().timestamp()
    with pytest.raises(ValueError, match="jump"):
        clock.advance(-1)


def test_both_clocks_fit_the_port_and_speak_utc() -> None:
    clocks: list[Clock] = [SystemClock(), ManualClock()]
    for clock in clocks:
        assert clock.now().tzinfo is UTC
        before = clock.monotonic()
        clock.sleep(0)
        assert clock.monotonic() >= before
