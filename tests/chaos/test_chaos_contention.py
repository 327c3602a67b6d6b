"""Neighbours on made-up cards, real Ray, real nbv jobs: every job ends well, none is blamed.

A colleague's process is there before a job is admitted, arrives between the decision and the
start, while the job loads, on all cards at once, leaves, and flaps. Whatever happens, jobs end
SUCCEEDED, only neighbours are blamed, and no attempt was ever granted a card that was not free.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Served, served, until

from gimbal.testing.fake_gpus import FakeLab

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(900)]

GIB = 1024**3
LAB = "gpus: [{name: NVIDIA GeForce RTX 3090, memory: 24GiB, count: 2}]\n"
SMOKE = Path(__file__).parents[2] / "configs" / "nbv" / "smoke.yaml"
SHORT = ("train.steps=30", "evaluate.first_views=1", "evaluate.bootstrap=100")
LONG = ("train.steps=4000", "train.checkpoint_every=50", "train.validate_every=4000", *SHORT[1:])
WITHIN_S = 400.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with two cards, whose data stages were made once by a first job."""
    with served(tmp_path_factory.mktemp("contention"), LAB) as service:
        first = submit(service, *SHORT)
        require_clean(service.ended(first, WITHIN_S), failures=())
        yield service


@pytest.fixture
def lab(service: Served) -> Iterator[FakeLab]:
    """The hand on the cards; whoever was put there leaves at the end."""
    hand = _Tidy(service.lab)
    yield hand
    hand.everybody_leaves()
    until(lambda: conditions(service) == ["free", "free"], 60, "free cards")


class _Tidy(FakeLab):
    """Remembers who it put where."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.there: set[int] = set()

    def arrive(self, gpu: int, memory_bytes: int, **options: Any) -> int:
        pid = super().arrive(gpu, memory_bytes, **options)
        self.there.add(pid)
        return pid

    def everybody_leaves(self) -> None:
        for pid in sorted(self.there):
            self.leave(pid)
        self.there.clear()


_rates = iter(range(1, 1000))


def submit(service: Served, *overrides: str) -> str:
    """Submit a job nobody has trained before; return its id."""
    job = service.cli(
        "submit",
        str(SMOKE),
        *overrides,
        f"train.lr={next(_rates) * 1e-5:g}",
        "--gpus",
        "1",
        "--gpu-memory",
        "10GiB",
    )
    return str(job["id"])


def conditions(service: Served) -> list[str]:
    """Return the condition of every card."""
    return [card["condition"] for card in service.cli("gpus")]


def require_clean(job: Any, failures: tuple[str, ...] | None = None) -> None:
    """Hold a job against everything that must be true of it, however it went."""
    story = [(a["number"], a["failure"], a["reason"]) for a in job["attempts"]]
    assert job["state"] == "SUCCEEDED", story
    seen = tuple(a["failure"] for a in job["attempts"] if a["failure"])
    assert set(seen) <= {"OOM_CONTENTION"}, story
    if failures is not None:
        assert seen == failures, story
    for attempt in job["attempts"]:
        for card in attempt["gpus_at_launch"]:
            assert card["condition"] == "free", story
            assert card["foreign_bytes"] < GIB // 2, story
        granted = {gpu["uuid"] for gpu in attempt["gpus"]}
        assert granted
        assert set(attempt["used"]) <= granted, story
    assert set(job["attempts"][-1]["used"]) == {g["uuid"] for g in job["attempts"][-1]["gpus"]}


def card_of(job: Any) -> int:
    """Return the index of the card a job's newest attempt was granted."""
    return int(job["attempts"][-1]["gpus"][0]["index"])


def granted(service: Served, job_id: str, number: int = 1) -> Any:
    """Wait until an attempt was granted its card."""
    return until(
        lambda: job if len((job := service.job(job_id))["attempts"]) >= number else None,
        120,
        f"attempt {number} of {job_id}",
    )


def worker_file(service: Served, job_id: str, number: int = 1) -> Path:
    """Return where the first worker of an attempt reports what it reserved."""
    return service.runs_dir / ".jobs" / job_id / str(number) / "worker-0.json"


def test_waits_for_a_neighbour_that_was_there_before_and_says_who(
    service: Served, lab: FakeLab
) -> None:
    pids = [lab.arrive(gpu, 14 * GIB, user="alice") for gpu in (0, 1)]
    until(lambda: conditions(service) == ["foreign", "foreign"], 30, "foreign cards")
    job_id = submit(service, *SHORT)
    why = service.cli("jobs", "why", job_id)
    assert [item["gpu"].rpartition(":")[2] for item in why["gpus"]] == ["0", "1"]
    for item in why["gpus"]:
        assert "alice" in item["sentence"]
        assert "14.0 GiB" in item["sentence"]
    time.sleep(3)
    assert service.job(job_id)["attempts"] == []
    lab.leave(pids[1])
    job = service.ended(job_id, WITHIN_S)
    require_clean(job, failures=())
    assert card_of(job) == 1


def test_moves_when_a_neighbour_comes_between_the_decision_and_the_start(
    service: Served, lab: FakeLab
) -> None:
    job_id = submit(service, *SHORT)
    first = card_of(granted(service, job_id))
    assert not worker_file(service, job_id).exists(), "too late to come before the start"
    lab.arrive(first, 20 * GIB)
    job = service.ended(job_id, WITHIN_S)
    require_clean(job)
    assert len(job["attempts"]) > 1
    assert card_of(job) != first


def test_resumes_elsewhere_when_a_neighbour_takes_the_rest_of_the_card(
    service: Served, lab: FakeLab
) -> None:
    job_id = submit(service, *LONG)
    first = card_of(granted(service, job_id))
    until(worker_file(service, job_id).exists, 90, "the worker's reservation")
    time.sleep(4)
    lab.arrive(first, 24 * GIB)
    job = service.ended(job_id, WITHIN_S)
    require_clean(job)
    assert len(job["attempts"]) > 1
    assert card_of(job) != first
    numbers = resumed_from(service, job)
    assert numbers > 0, "it began anew instead of continuing from its checkpoint"


def resumed_from(service: Served, job: Any) -> int:
    """Return the step the last attempt of a job continued from."""
    import json

    run = service.runs_dir / str(job["attempts"][-1]["run"])
    return int(json.loads((run / "stages" / "train" / "training.json").read_text())["resumed_from"])


def test_waits_out_neighbours_on_all_cards(service: Served, lab: FakeLab) -> None:
    job_id = submit(service, *LONG)
    first = card_of(granted(service, job_id))
    until(worker_file(service, job_id).exists, 90, "the worker's reservation")
    pids = [lab.arrive(gpu, 24 * GIB) for gpu in (0, 1)]
    until(lambda: service.job(job_id)["state"] == "PENDING", 60, "the job in the queue again")
    time.sleep(5)
    assert len(service.job(job_id)["attempts"]) == 1, "it was started on a foreign card"
    lab.leave(pids[first])
    require_clean(service.ended(job_id, WITHIN_S))


def test_keeps_off_a_card_whose_neighbour_comes_and_goes(service: Served, lab: FakeLab) -> None:
    other = lab.arrive(1, 14 * GIB)
    pid = lab.arrive(0, 14 * GIB)
    until(lambda: conditions(service) == ["foreign", "foreign"], 30, "foreign cards")
    job_id = submit(service, *SHORT)
    for _ in range(6):  # gone for less than the cool-down, again and again
        lab.leave(pid)
        time.sleep(1.5)
        lab.arrive(0, 14 * GIB, pid=pid)
        time.sleep(1.0)
    assert service.job(job_id)["attempts"] == []
    lab.leave(pid)
    require_clean(service.ended(job_id, WITHIN_S), failures=())
    assert other in lab.there  # type: ignore[attr-defined]


def test_makes_room_for_a_more_important_job_and_continues_on_what_is_left(
    service: Served, lab: FakeLab
) -> None:
    blocked = lab.arrive(1, 14 * GIB)
    until(lambda: conditions(service) == ["free", "foreign"], 30, "one free card")
    modest = submit(service, *LONG)
    until(worker_file(service, modest).exists, 120, "the worker's reservation")
    time.sleep(6)
    urgent = service.cli(
        "submit", str(SMOKE), *SHORT, "train.lr=0.002", "--gpus", "1", "--priority", "5"
    )
    job = service.ended(str(urgent["id"]), WITHIN_S)
    assert job["state"] == "SUCCEEDED"
    assert card_of(job) == 0
    lab.leave(blocked)
    job = service.ended(modest, WITHIN_S)
    assert job["state"] == "SUCCEEDED"
    first = job["attempts"][0]
    assert (first["failure"], first["exit_code"], first["stop_why"]) == ("PREEMPTED", 75, "preempt")
    assert resumed_from(service, job) > 0
