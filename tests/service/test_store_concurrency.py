"""Many threads, many processes, sudden death: nothing is lost, doubled or given away twice."""

from __future__ import annotations

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, text
from store_processes import Processes
from store_support import NOW, grant, later, lease_of, running, spec, submitted

from gimbal.jobs.model import Hold, IllegalTransition, Job, JobState, LeaseLost, Stale
from gimbal.jobs.ports import Lease
from gimbal.jobs.sql_schema import cards
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.jobs.store_errors import CardHeld

THREADS = 16


def assert_consistent(store: SqlJobStore) -> None:
    """Check what must hold after any history."""
    rows = store._db.read(lambda connection: connection.execute(select(cards)).all())
    given = Counter(f"{row.job_id} {row.uuid}" for row in rows)
    jobs = every_job(store)
    should = Counter(
        f"{job.id} {grant.uuid}" for job in jobs if job.current for grant in job.current.grants
    )
    assert given == should
    shares: Counter[str] = Counter()
    for row in rows:
        shares[row.uuid] += row.share
    assert all(share <= 1 + 1e-9 for share in shares.values())
    for job in jobs:
        assert (job.current is not None) == (job.state is JobState.RUNNING), job
        assert (job.ended_at is not None) == job.state.is_terminal, job
        assert [attempt.number for attempt in job.attempts] == [
            number + 1 for number in range(len(job.attempts))
        ]


def every_job(store: SqlJobStore) -> list[Job]:
    found: list[Job] = []
    page = store.page(limit=500)
    found += page.jobs
    while page.next_cursor:
        page = store.page(limit=500, cursor=page.next_cursor)
        found += page.jobs
    return found


def test_a_hundred_parallel_submits_and_cancels_from_threads(store: SqlJobStore) -> None:
    def work(number: int) -> tuple[str, bool]:
        job, new = store.submit(spec(), now=NOW, key=f"k{number // 2}")
        with contextlib.suppress(IllegalTransition):
            store.request_cancel(job.id, now=NOW)
        return job.id, new

    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(work, range(100)))
    assert sum(new for _, new in made) == len({job_id for job_id, _ in made}) == 50
    assert store.counts()[JobState.STOPPED] == 50
    assert sum(store.counts().values()) == 50
    assert_consistent(store)


def test_submits_and_cancels_from_four_processes(
    store: SqlJobStore, store_url: str, processes: Processes
) -> None:
    made = processes.run(store_url, "submits_and_cancels", 4)
    assert len(made) == 100
    assert sum(new for _, new, _ in made) == len({shared for shared, _, _ in made}) == 25
    assert len({own for _, _, own in made}) == 100
    assert store.counts() == {**dict.fromkeys(JobState, 0), JobState.STOPPED: 125}
    assert_consistent(store)


def test_one_card_wanted_by_many_at_once_goes_to_one(store: SqlJobStore) -> None:
    lease = lease_of(store)
    waiting = [submitted(store) for _ in range(THREADS)]

    def take(job: Job) -> bool:
        try:
            store.intend(lease, job, grants=[grant("G")], gpus=[], now=NOW)
        except Stale:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(take, waiting)) == 1
    assert_consistent(store)


def test_one_job_changed_by_many_at_once_changes_once(store: SqlJobStore) -> None:
    lease = lease_of(store)
    job = running(store, lease, "G")

    def end(number: int) -> bool:
        try:
            store.end_attempt(lease, job, state=JobState.FAILED, now=later(number))
        except Stale:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(end, range(THREADS))) == 1
    assert store.get(job.id).version == job.version + 1


def test_of_many_who_want_the_lease_one_gets_it(store: SqlJobStore) -> None:
    def take(number: int) -> Lease | None:
        return store.take_lease(f"owner {number}", now=NOW, seconds=30)

    with ThreadPoolExecutor(THREADS) as pool:
        taken = [lease for lease in pool.map(take, range(THREADS)) if lease is not None]
    assert len(taken) == 1
    store.renew_lease(taken[0], now=NOW, seconds=30)


def test_of_many_who_claim_a_card_one_gets_it(store: SqlJobStore) -> None:
    wanted = Hold(id=0, node="n", index=1, uuid=None, user="", reason="", since=NOW, until=later(9))

    def claim(number: int) -> bool:
        try:
            store.hold(replace(wanted, user=f"user {number}"))
        except CardHeld:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(claim, range(THREADS))) == 1


def test_a_lease_taken_over_between_read_and_write_stops_the_write(store: SqlJobStore) -> None:
    first = lease_of(store, "one")
    job = submitted(store)
    second = lease_of(store, "two", later(31))
    mine = store.intend(second, job, grants=[grant("G")], gpus=[], now=later(31))
    with pytest.raises(LeaseLost):
        store.intend(first, job, grants=[grant("H")], gpus=[], now=later(31))
    with pytest.raises(LeaseLost):
        store.end_attempt(first, mine, state=JobState.FAILED, now=later(31))
    assert store.get(job.id) == mine


def test_controllers_that_fight_for_the_lease_end_every_job_once(
    store: SqlJobStore, store_url: str, processes: Processes
) -> None:
    made = {submitted(store).id for _ in range(12)}
    said = processes.run(store_url, "controls", 3)
    for what in ("intended", "ended"):
        assert Counter(job for verb, job, _ in said if verb == what) == dict.fromkeys(made, 1)
    assert store.counts()[JobState.SUCCEEDED] == 12
    assert_consistent(store)


def test_a_killed_writer_loses_nothing_it_was_told_is_stored(
    store: SqlJobStore, store_url: str, processes: Processes
) -> None:
    accepted: list[str] = []
    for lines in (3, 8, 13, 14):
        accepted += processes.run_and_kill(store_url, "writes_for_ever", lines)
        assert_consistent(store)
    stored = {job.id for job in every_job(store)}
    assert stored >= set(accepted)
    assert len(stored) <= len(accepted) + 4  # one a kill may be stored and not yet told
    if store_url.startswith("sqlite"):
        for check in ("integrity_check", "foreign_key_check"):
            rows = store._db.read(lambda c, check=check: c.execute(text(f"PRAGMA {check}")).all())
            assert rows in ([("ok",)], [])
