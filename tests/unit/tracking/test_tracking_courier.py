"""The courier is patient with an outage, sparing with words and ends when told to."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from gimbal.tracking import leftovers
from gimbal.tracking.control import ORPHAN_GRACE_S, Control, Voice, heard
from gimbal.tracking.courier import Courier
from gimbal.tracking.outbox import Outbox, outbox_file, read_entries
from gimbal.tracking.records import Finish, OpenRun, OpenStage
from gimbal.tracking.state import identify
from gimbal.tracking.store import StoreUnavailable


class ManualControl(Control):
    """Sleeping moves the clock; the run closes after a scripted number of sleeps."""

    def __init__(self, sleeps: int) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._sleeps = sleeps
        super().__init__(clock=lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if len(self.slept) >= self._sleeps and not self.closing:
            self.close(30.0)


class ScriptedDelivery:
    """Each step does what the script says: True (busy), False (idle) or an error."""

    def __init__(self, *script: bool | Exception) -> None:
        self.script = list(script)
        self.steps = 0

    def step(self) -> bool:
        self.steps += 1
        result = self.script.pop(0) if self.script else False
        if isinstance(result, Exception):
            raise result
        return result


def courier(own, control, *, others=(), connect=lambda: None) -> tuple[Courier, list[str]]:
    said: list[str] = []

    def iterate(_: object) -> Iterator:
        return iter(others)

    made = Courier(
        connect=connect,
        own=lambda _: own,
        others=iterate,
        control=control,
        say=said.append,
        store_name="sqlite:///x",
    )
    return made, said


def test_it_ends_when_the_run_closed_and_nothing_waits() -> None:
    own = ScriptedDelivery(True, False, False, True)
    made, said = courier(own, ManualControl(sleeps=2))
    made.run()
    assert (own.script, said) == ([], [])


def test_pauses_grow_to_a_minute_and_the_user_hears_of_it_once(outage: StoreUnavailable) -> None:
    own = ScriptedDelivery(*[outage] * 12)
    control = ManualControl(sleeps=13)
    made, said = courier(own, control)
    made.run()
    pauses = control.slept[:12]
    assert pauses[0] <= 1.0
    assert all(
        longer >= 0.9 * shorter for shorter, longer in zip(pauses, pauses[2:6], strict=False)
    )
    assert 30.0 <= max(pauses) <= 60.0
    assert len(said) == 2
    assert "does not answer" in said[0]
    assert "answers again" in said[1]


def test_one_hiccup_is_not_worth_a_word(outage: StoreUnavailable) -> None:
    made, said = courier(ScriptedDelivery(outage, True), ManualControl(sleeps=3))
    made.run()
    assert said == []


def test_a_store_that_stays_down_does_not_hold_up_the_end(outage: StoreUnavailable) -> None:
    control = ManualControl(sleeps=1)
    made, _ = courier(ScriptedDelivery(*[outage] * 100), control)
    made.run()
    assert control.now < 5.0


def test_time_over_means_over() -> None:
    control = ManualControl(sleeps=10**9)
    control.close(0.0)
    own = ScriptedDelivery(*[True] * 5)
    courier(own, control)[0].run()
    assert own.steps == 0


def test_a_store_that_cannot_be_opened_is_tried_again(outage: StoreUnavailable) -> None:
    tries = iter([outage, outage, None])

    def connect() -> None:
        if (failure := next(tries)) is not None:
            raise failure

    own = ScriptedDelivery(True)
    courier(own, ManualControl(sleeps=4), connect=connect)[0].run()
    assert own.script == []


def test_what_earlier_runs_left_is_delivered_when_there_is_nothing_else_to_do() -> None:
    other = ScriptedDelivery(True, True)
    courier(ScriptedDelivery(True), ManualControl(sleeps=1), others=[other])[0].run()
    assert other.script == []


def test_the_runs_words_and_its_death_reach_the_courier() -> None:
    control, died = ManualControl(sleeps=10**9), []
    control.listen(io.StringIO("close 12.5\n"), lambda: died.append(True))
    control.now = 12.4
    assert (control.closing, control.expired, died) == (True, False, [])
    control.now = 12.6
    assert control.expired

    orphan = ManualControl(sleeps=10**9)
    orphan.listen(io.StringIO(""), lambda: died.append(True))
    orphan.now = ORPHAN_GRACE_S - 1
    assert (orphan.closing, orphan.expired, died) == (True, False, [True])


def test_a_sentence_is_repeated_only_after_a_while() -> None:
    now, stream = [0.0], io.StringIO()
    voice = Voice(stream, clock=lambda: now[0])
    for moment in (0.0, 10.0, 400.0):
        now[0] = moment
        voice.say("MLflow is away")
    assert [heard(line) for line in stream.getvalue().splitlines()] == ["MLflow is away"] * 2


@pytest.mark.parametrize("line", ["", "progress: 5%", "[1]", '{"say": 5}', '{"tell": "x"}'])
def test_other_lines_are_no_words_for_the_user(line: str) -> None:
    assert heard(line) is None


def test_a_dead_run_is_marked_killed_once(tmp_path: Path) -> None:
    run_dir = tmp_path / "nbv" / "run"
    identify(run_dir, "http://host", tmp_path)
    box = Outbox(run_dir)
    box.append(OpenRun(at_ms=1, experiment="nbv", name="run"))
    box.append(OpenStage(at_ms=2, run="train"))
    leftovers.mark_killed(run_dir)
    records = [entry.record for entry in read_entries(outbox_file(run_dir), 0)]
    assert isinstance(records[-1], Finish)
    assert (records[-1].run, records[-1].status) == ("", "killed")
    leftovers.mark_killed(run_dir)
    assert len(list(read_entries(outbox_file(run_dir), 0))) == len(records)


def test_only_runs_that_lack_something_are_left_over(tmp_path: Path) -> None:
    run_dir = tmp_path / "nbv" / "run"
    identify(run_dir, "http://host", tmp_path)
    box = Outbox(run_dir)
    assert list(leftovers.runs_with_leftovers(tmp_path)) == []
    box.append(OpenRun(at_ms=1, experiment="nbv", name="run"))
    assert [found for found, _ in leftovers.runs_with_leftovers(tmp_path)] == [run_dir]
