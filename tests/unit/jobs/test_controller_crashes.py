"""The controller dies before or after any effect; the next one loses nothing and doubles nothing.

Each scenario is played once to count its effects, then once for every point at which a controller
can die. What died is followed by another controller, which may die as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from controller_lab import GIB, Lab, calm, quick_files, spec
from dict_store import DictJobStore

from gimbal.jobs.model import JobState
from gimbal.testing.crashing import Crash
from gimbal.testing.job_store import InMemoryJobStore

Event = tuple[int, Callable[[Lab], None]]
STEP_S = 2.0
LAST_STEP = 150


@dataclass
class Scenario:
    name: str
    events: list[Event] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """States the jobs may end in, by job; several with `|`."""


def submit(*args: Any, **kwargs: Any) -> Callable[[Lab], None]:
    return lambda lab: lab.submit(spec(*args, **kwargs)) and None


def cancel(number: int) -> Callable[[Lab], None]:
    def event(lab: Lab) -> None:
        if not lab.job(lab.ids[number]).state.is_terminal:
            lab.store.request_cancel(lab.ids[number], now=lab.clock.now())

    return event


def neighbour(card: int) -> Callable[[Lab], None]:
    return lambda lab: lab.warden.arrive(list(lab.warden.cards)[card], 14 * GIB)


def everybody_leaves(lab: Lab) -> None:
    calm(lab)


def head_restart(lab: Lab) -> None:
    lab.launcher.lose_memory()


def worker_death(lab: Lab) -> None:
    for run in lab.launcher.running():
        lab.launcher.kill(run.submission_id, -9)


SCENARIOS = [
    Scenario("one job", [(0, submit(1, work_s=4))], ("SUCCEEDED",)),
    Scenario(
        "a gang, a share and none",
        [
            (0, submit(3, work_s=6, key="gang")),
            (0, submit(1, work_s=6, share=0.5, memory=6 * GIB, peak_bytes=5 * GIB)),
            (1, submit(0, work_s=4)),
        ],
        ("SUCCEEDED",) * 3,
    ),
    Scenario(
        "cancelled early, late and too late",
        [
            (0, submit(1, work_s=3000)),
            (0, submit(1, work_s=3000, leaves_after_s=None)),
            (0, submit(1, work_s=4)),
            (1, cancel(0)),
            (2, cancel(1)),
            (4, cancel(2)),
        ],
        ("STOPPED", "STOPPED", "SUCCEEDED|STOPPED"),
    ),
    Scenario(
        "a neighbour on every card, who leaves",
        [
            (0, submit(2, work_s=10)),
            *((2, neighbour(card)) for card in range(4)),
            (6, everybody_leaves),
        ],
        ("SUCCEEDED",),
    ),
    Scenario(
        "room is made for a more important job",
        [
            (0, submit(4, work_s=20)),
            (5, submit(2, work_s=4, priority=3, user="eve")),
        ],
        ("SUCCEEDED",) * 2,
    ),
    Scenario(
        "the head loses its memory",
        [(0, submit(2, work_s=12)), (0, submit(1, work_s=3)), (3, head_restart)],
        ("SUCCEEDED",) * 2,
    ),
    Scenario(
        "a driver is killed and a user's bug",
        [
            (0, submit(1, work_s=12)),
            (2, worker_death),
            (3, submit(1, work_s=2, exit_code=3, error_type="builtins.KeyError", text="'x'")),
        ],
        ("SUCCEEDED", "FAILED"),
    ),
]


def play(lab: Lab, scenario: Scenario, rng: random.Random, more_deaths: int) -> tuple[int, int]:
    """Play a scenario to its end; return how often a controller died, and the points passed."""
    deaths = 0
    events = sorted(scenario.events, key=lambda event: event[0])
    with lab.crashing_files():
        for step in range(LAST_STEP):
            while events and events[0][0] <= step:
                events.pop(0)[1](lab)
            try:
                lab.tick(STEP_S)
            except Crash:
                deaths += 1
                lab.points.at = None
                if deaths <= more_deaths:
                    lab.points.at = lab.points.passed + rng.randrange(1, 40)
                lab.check()
                lab.restart()
            if not events and not lab.store.active() and step > 2:
                break
    lab.points.at, passed = None, lab.points.passed
    lab.run(3, until_done=False)
    lab.check_done()
    for job_id, expected in zip(lab.ids, scenario.expected, strict=True):
        assert lab.job(job_id).state.value in expected.split("|"), lab.job(job_id)
    return deaths, passed


def count_points(scenario: Scenario, folder: Path, store: Any) -> int:
    lab = Lab(store, folder)
    deaths, points = play(lab, scenario, random.Random(0), 0)
    assert deaths == 0
    return points


def die_at(point: int, scenario: Scenario, folder: Path, store: Any) -> int:
    lab = Lab(store, folder)
    lab.points.at = point
    return play(lab, scenario, random.Random(point), point % 3)[0]


def test_a_thousand_deaths_lose_and_double_nothing(tmp_path: Path) -> None:
    """One death at every point of every scenario, followed by up to two more at random ones."""
    total = 0
    with quick_files():
        for number, scenario in enumerate(SCENARIOS):
            points = count_points(scenario, tmp_path / f"{number}-count", DictJobStore())
            assert points >= 20, f"{scenario.name}: there are effects to die around"
            for point in range(points):
                folder = tmp_path / f"{number}-{point}"
                deaths = die_at(point, scenario, folder, DictJobStore())
                assert deaths >= 1, f"{scenario.name}: nobody died at point {point}"
                total += deaths
    assert total >= 1000


@pytest.mark.parametrize("scenario", SCENARIOS[:1] + SCENARIOS[4:5], ids=lambda s: s.name)
def test_the_real_store_stands_it_as_well(scenario: Scenario, tmp_path: Path) -> None:
    """Some of the same deaths on SQLite; the dictionary is not what makes it work."""
    with quick_files():
        points = count_points(scenario, tmp_path / "count", InMemoryJobStore())
        for point in range(0, points, max(1, points // 5)):
            store = InMemoryJobStore()
            assert die_at(point, scenario, tmp_path / str(point), store) >= 1
            store.close()


def test_deaths_leave_states_that_only_the_table_allows() -> None:
    """Every transition is allowed or refused by the table, and terminal states by nothing."""
    from gimbal.jobs.model import TRANSITIONS, IllegalTransition, require_transition

    allowed = 0
    for before in JobState:
        for after in JobState:
            if after in TRANSITIONS[before]:
                require_transition(before, after)
                allowed += 1
                assert not before.is_terminal
            else:
                with pytest.raises(IllegalTransition):
                    require_transition(before, after)
    assert allowed == 7
