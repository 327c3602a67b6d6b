"""Real controllers are killed while real Ray runs real jobs: each job ends well, once.

A toy job leaves a line for every piece of work, so that one that ran twice is seen.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_cluster import ChaosCluster

from gimbal.jobs.model import Job, JobState
from gimbal.scheduling.failure_model import FailureClass

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(600)]

WORK = ["square 0", "square 1", "total"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ChaosCluster]:
    cluster = ChaosCluster(tmp_path)
    try:
        cluster.start_head()
        yield cluster
    finally:
        cluster.close()


def kill_controllers(cluster: ChaosCluster, kills: int, seed: int, longest_s: float) -> int:
    """Kill leading controllers at random moments while there is work; return how many."""
    chance = random.Random(seed)
    killed = 0
    cluster.start_controller()
    while killed < kills and not cluster.done():
        cluster.start_controller()  # a second one stands by and takes over
        time.sleep(chance.uniform(0.0, longest_s))
        cluster.kill_controller()
        killed += 1
    return killed


def require_once(cluster: ChaosCluster, jobs: tuple[Job, ...]) -> None:
    """Assert that every job succeeded at its first attempt and did its work once."""
    for job in jobs:
        assert job.state is JobState.SUCCEEDED, f"{job}\n{cluster.log()}"
        assert [attempt.failure for attempt in job.attempts] == [None], job
        done = cluster.notes(job.spec.experiment).read_text().split("\n")
        assert sorted(filter(None, done)) == WORK, job.id


def owners_of_cards(jobs: tuple[Job, ...]) -> None:
    """Assert that no card had two owners at any time."""
    spans = [
        (attempt.granted_at, attempt.ended_at, grant.uuid)
        for job in jobs
        for attempt in job.attempts
        for grant in attempt.grants
    ]
    for number, (begin, end, uuid) in enumerate(spans):
        for other_begin, other_end, other in spans[:number]:
            assert uuid != other or end <= other_begin or other_end <= begin


def test_jobs_succeed_once_though_controllers_are_killed(cluster: ChaosCluster) -> None:
    for number in range(3):
        cluster.submit(f"toy{number}", gpus=number % 2)
    killed = kill_controllers(cluster, kills=2, seed=1, longest_s=3.0)
    assert killed == 2
    jobs = cluster.wait_done(150)
    require_once(cluster, jobs)
    owners_of_cards(jobs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_jobs_succeed_once_though_twenty_controllers_are_killed(cluster: ChaosCluster) -> None:
    chance, killed, number = random.Random(7), 0, 0
    while killed < 20:
        for _ in range(4):
            cluster.submit(f"toy{number}", gpus=chance.choice([0, 1, 1, 2]))
            number += 1
        killed += kill_controllers(cluster, 20 - killed, seed=killed, longest_s=4.0)
    jobs = cluster.wait_done(600)
    assert len(jobs) == number
    require_once(cluster, jobs)
    owners_of_cards(jobs)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pause_s", [0.0, 75.0], ids=["at once", "after a minute"])
def test_a_head_that_loses_its_memory_loses_no_job(cluster: ChaosCluster, pause_s: float) -> None:
    """Ray is killed while jobs run; started again it knows nothing, and nobody pays for it.

    The controller lives on: Ray's client would end its process after a minute without a head.
    """
    for number in range(3):
        cluster.submit(f"toy{number}", gpus=number % 2)
    cluster.start_controller()
    deadline = time.monotonic() + 120
    while not any(cluster.notes(f"toy{number}").exists() for number in range(3)):
        assert time.monotonic() < deadline, cluster.log()
        time.sleep(0.2)
    cluster.kill_head()
    time.sleep(pause_s)
    cluster.start_head()
    jobs = cluster.wait_done(300)
    for job in jobs:
        assert job.state is JobState.SUCCEEDED, f"{job}\n{cluster.log()}"
        assert {attempt.failure for attempt in job.attempts} <= {None, FailureClass.INFRA}
        assert "total" in cluster.notes(job.spec.experiment).read_text()
    assert any(len(job.attempts) > 1 for job in jobs), "the head died while a job ran"
    owners_of_cards(jobs)


def wait_for_line(cluster: ChaosCluster, name: str, line: str) -> None:
    """Wait until a toy has begun a piece of work."""
    deadline = time.monotonic() + 120
    while not cluster.notes(name).exists() or line not in cluster.notes(name).read_text():
        assert time.monotonic() < deadline, cluster.log()
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("victim", "failure"),
    [("driver", FailureClass.OOM_HOST), ("supervisor", FailureClass.INFRA)],
)
def test_a_process_of_an_attempt_that_is_killed_costs_one_attempt(
    cluster: ChaosCluster, victim: str, failure: FailureClass
) -> None:
    """A driver killed by a signal may have filled the host; one that Ray lost is nobody's fault."""
    cluster.start_controller()
    job_id = cluster.submit("toy0", gpus=1, pause_s=8.0)
    wait_for_line(cluster, "toy0", "total")
    if victim == "driver":
        cluster.kill_driver(job_id)
    else:
        cluster.kill_supervisor()
    (job,) = cluster.wait_done(300)
    assert job.state is JobState.SUCCEEDED, f"{job}\n{cluster.log()}"
    assert [attempt.failure for attempt in job.attempts] == [failure, None], job
    assert cluster.notes("toy0").read_text().count("square 0") == 1, "what was done is kept"
    owners_of_cards((job,))
