"""A head that dies, comes back, or is slow, as seen by the process that is connected to it."""

from __future__ import annotations

import pytest

from gimbal.jobs.ray_link import RayLink
from gimbal.testing.clock import ManualClock


class Head:
    """A head, and what was done about it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.up = True
        self.session: str | None = "first"
        self.refuses = False
        self.done: list[str] = []
        self.link = RayLink(
            listens=lambda: self.up,
            session=lambda: self.session if self.up else None,
            connect=self.connect,
            disconnect=lambda: self.done.append("disconnect"),
            clock=self.clock.monotonic,
        )

    def connect(self) -> None:
        if self.refuses:
            raise RuntimeError("not yet")
        self.done.append("connect")

    def ask(self, seconds: float, every_s: float = 1.0) -> list[bool]:
        """Let questions stay unanswered for a while."""
        answers = []
        for _ in range(int(seconds / every_s)):
            answers.append(self.link.mend())
            self.clock.advance(every_s)
        return answers


@pytest.fixture
def head() -> Head:
    return Head()


def test_a_slow_head_is_left_alone(head: Head) -> None:
    assert not any(head.ask(60))
    head.session = None
    assert not any(head.ask(60))
    assert head.done == []


def test_a_short_silence_is_no_death(head: Head) -> None:
    head.up = False
    head.ask(4)
    head.up = True
    head.ask(10)
    assert head.done == []


def test_a_dead_head_is_let_go_within_seconds_and_once(head: Head) -> None:
    """Ray's client ends the process after a minute of it."""
    head.up = False
    assert head.ask(10).count(True) == 1, "what was had of it is of no use"
    assert head.done == ["disconnect"]
    assert not any(head.ask(300))
    assert head.done == ["disconnect"]


def test_a_head_that_came_back_is_connected_to_once(head: Head) -> None:
    head.up = False
    head.ask(30)
    head.up, head.session = True, "second"
    assert head.ask(30).count(True) == 1
    assert head.done == ["disconnect", "connect"]


def test_a_head_that_was_replaced_between_two_looks_is_noticed(head: Head) -> None:
    head.session = "second"
    assert head.ask(30).count(True) == 1
    assert head.done == ["disconnect", "connect"]


def test_a_head_that_refuses_is_tried_again(head: Head) -> None:
    head.session, head.refuses = "second", True
    assert any(head.ask(20))
    assert head.done == ["disconnect"]
    head.refuses = False
    assert head.ask(20).count(True) == 1
    assert head.done == ["disconnect", "connect"]


def test_the_same_head_after_a_cut_network_is_connected_to_again(head: Head) -> None:
    head.up = False
    head.ask(30)
    head.up = True
    assert head.ask(30).count(True) == 1
    assert head.done == ["disconnect", "connect"]


def test_a_session_unknown_at_first_is_learnt_not_mended() -> None:
    head = Head()
    head.link._known = None
    assert not any(head.ask(30))
    assert head.done == []
