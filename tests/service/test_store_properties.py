"""Whatever is put in: records survive, pages partition, cards are given once, usage adds up."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from store_support import NOW, ended, grant, later, lease_of, running, spec, submitted

from gimbal.jobs.job_cache import JobCache
from gimbal.jobs.model import JobSpec, JobState, Stale
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.jobs.sql_usage import decayed_s
from gimbal.testing.job_store import InMemoryJobStore

fewer = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
specs = st.builds(
    JobSpec,
    workload=storable,
    experiment=storable,
    config=st.dictionaries(st.text(), plain, max_size=4),
    user=storable,
    gpus=st.integers(0, 1000),
    share=st.floats(0.001, 1.0),
    memory_bytes=st.none() | st.integers(1, 2**62),
    priority=st.integers(-(2**31), 2**31 - 1),
    peak_key=storable,
)
times = st.datetimes(datetime(1900, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC))


@fewer
@given(asked=specs, at=times)
def test_any_job_is_read_back_as_it_was_accepted(
    store: SqlJobStore, asked: JobSpec, at: datetime
) -> None:
    job, _ = store.submit(asked, now=at)
    assert store.get(job.id) == job
    assert job.spec == asked
    assert job.submitted_at == at


@fewer
@given(said=st.text(), cards=st.lists(st.dictionaries(st.text(), plain, max_size=3), max_size=2))
def test_any_text_and_snapshot_can_be_recorded(
    store: SqlJobStore, said: str, cards: list[dict[str, Any]]
) -> None:
    lease = lease_of(store)
    job = store.intend(lease, submitted(store, gpus=0), grants=[], gpus=cards, now=NOW)
    store.end_attempt(lease, job, state=JobState.FAILED, now=NOW, reason=said, gpus=cards)
    (attempt,) = store.get(job.id).attempts
    assert attempt.gpus_at_launch == attempt.gpus_at_end == tuple(cards)
    assert len(attempt.reason) == len(said)
    store.audit(user=said, action=said, target=said, now=NOW)


@fewer
@given(
    minutes=st.lists(st.integers(0, 5), max_size=25),
    limit=st.integers(1, 7),
    users=st.lists(st.sampled_from("abc"), min_size=25, max_size=25),
)
def test_pages_of_any_size_partition_the_jobs_and_filters_only_leave_out(
    minutes: list[int], limit: int, users: list[str]
) -> None:
    store = InMemoryJobStore()
    made = [
        submitted(store, later(60 * minute), user=user)
        for minute, user in zip(minutes, users, strict=False)
    ]
    order = sorted(enumerate(made), key=lambda item: (item[1].submitted_at, item[0]))
    newest = [job for _, job in reversed(order)]
    for user in (None, "a"):
        shown, cursor = [], None
        while True:
            page = store.page(limit=limit, cursor=cursor, user=user)
            shown += page.jobs
            cursor = page.next_cursor
            if cursor is None:
                break
            assert len(page.jobs) == limit
        assert shown == [job for job in newest if user in (None, job.spec.user)]
    store.close()


@fewer
@given(
    wants=st.lists(
        st.lists(
            st.tuples(st.sampled_from("GHI"), st.sampled_from([1.0, 0.5, 0.3, 0.1])), max_size=4
        ),
        max_size=12,
    ),
    ends=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_cards_are_given_exactly_while_they_fit(
    wants: list[list[tuple[str, float]]], ends: list[bool]
) -> None:
    store = InMemoryJobStore()
    lease = lease_of(store)
    given_now: dict[str, float] = {}
    for want, end in zip(wants, ends, strict=False):
        after = dict(given_now)
        for uuid, share in want:
            after[uuid] = after.get(uuid, 0.0) + share
        job, cards = submitted(store), [grant(uuid, share) for uuid, share in want]
        if any(share > 1 + 1e-9 for share in after.values()):
            with pytest.raises(Stale):
                store.intend(lease, job, grants=cards, gpus=[], now=NOW)
            assert store.get(job.id) == job
            continue
        job = store.intend(lease, job, grants=cards, gpus=[], now=NOW)
        if end:
            ended(store, lease, job, JobState.PENDING)
        else:
            given_now = after
    store.close()


lives = st.tuples(
    st.sampled_from(["ada", "bob"]),
    st.integers(0, 3),  # cards
    st.floats(0, 5000),  # granted
    st.none() | st.floats(0, 5000),  # for so long
)


@fewer
@given(
    made=st.lists(lives, max_size=8),
    looks=st.lists(st.floats(5_000, 20_000), min_size=1, max_size=3),
    half_life_s=st.sampled_from([100.0, 3_000.0, 1e6]),
)
def test_usage_is_the_decayed_sum_over_attempts_whenever_it_is_looked_at(
    made: list[tuple[str, int, float, float | None]], looks: list[float], half_life_s: float
) -> None:
    """Also when it is looked at in between, and when the clock goes back."""
    store = InMemoryJobStore()
    lease = lease_of(store)
    held: list[tuple[str, int, float, float | None]] = []
    for number, (user, cards, start, lasted) in enumerate(made):
        uuids = [f"{number} {card}" for card in range(cards)]
        job = running(store, lease, *uuids, at=later(start), user=user)
        if lasted is not None:
            ended(store, lease, job, JobState.PENDING, later(start + lasted))
        held.append((user, cards, start, None if lasted is None else start + lasted))
        store.usage_gpu_s(now=later(10_000 + number), half_life_s=half_life_s)
    for look in [*looks, looks[0]]:
        usage = store.usage_gpu_s(now=later(max(look, 10_000)), half_life_s=half_life_s)
        expected: dict[str, float] = {}
        for user, cards, start, end in held:
            age = max(look, 10_000)
            had = decayed_s(age - start, 0.0 if end is None else age - end, half_life_s)
            expected[user] = expected.get(user, 0.0) + cards * had
        for user in ("ada", "bob"):
            assert usage.get(user, 0.0) == pytest.approx(
                expected.get(user, 0.0), rel=1e-3, abs=half_life_s * 1e-3
            )
    store.close()


def test_usage_halves_with_every_half_life(store: SqlJobStore) -> None:
    lease = lease_of(store)
    ended(store, lease, running(store, lease, "G", "H"), JobState.SUCCEEDED, later(10))
    fresh = store.usage_gpu_s(now=later(10), half_life_s=1e9)["ada"]
    assert fresh == pytest.approx(20)
    for half_lives in (1, 2, 3):
        at = later(10 + half_lives * 1000)
        usage = store.usage_gpu_s(now=at, half_life_s=1000)["ada"]
        assert usage == pytest.approx(20 * 2.0**-half_lives, rel=0.01)
    assert store.usage_gpu_s(now=later(10), half_life_s=1000)["ada"] == pytest.approx(20, rel=0.01)


def test_running_attempts_count_until_now(store: SqlJobStore) -> None:
    lease = lease_of(store)
    running(store, lease, "G")
    submitted(store, user="bob")
    usage = store.usage_gpu_s(now=later(50), half_life_s=1e9)
    assert usage == {"ada": pytest.approx(50, rel=1e-6)}
    assert store.usage_gpu_s(now=later(-50), half_life_s=1e9) == {}


@given(age=st.floats(0, 1e7), lasted=st.floats(0, 1e7), half_life_s=st.floats(1, 1e7))
def test_decay_is_bounded_by_the_time_itself(age: float, lasted: float, half_life_s: float) -> None:
    had = decayed_s(age + lasted, age, half_life_s)
    assert 0 <= had <= lasted * (1 + 1e-9) + 1e-6
    assert had <= half_life_s / math.log(2) + 1e-6


def test_another_process_sees_every_change_in_spite_of_what_it_read(
    store: SqlJobStore, store_url: str
) -> None:
    other = SqlJobStore(store_url)
    lease = lease_of(store)
    job = submitted(store)
    for change in (
        lambda job: store.note_wait(lease, job, reason="r", detail="d"),
        lambda job: store.intend(lease, job, grants=[grant("G")], gpus=[], now=NOW),
        lambda job: store.launching(lease, job),
        lambda job: store.request_cancel(job.id, now=NOW),
        lambda job: store.end_attempt(lease, job, state=JobState.STOPPED, now=NOW),
    ):
        assert other.get(job.id) == other.page().jobs[0] == job
        assert other.active() == (job,)
        job = change(job)
    assert other.get(job.id) == job
    assert other.active() == ()
    other.close()


def test_the_cache_keeps_the_active_and_the_latest() -> None:
    store = InMemoryJobStore()
    jobs = [submitted(store) for _ in range(6)]
    cache = JobCache(room=2)
    cache.add(jobs)
    cache.set_active(jobs[:3])
    found = [job for job in jobs if cache.find(job.id, 0)]
    assert found == [jobs[0], jobs[1], jobs[2], jobs[4], jobs[5]]
    assert cache.find(jobs[0].id, 1) is None
    store.close()


def test_no_statement_reads_all_jobs_to_find_some(sqlite_file_url: str) -> None:
    store = SqlJobStore(sqlite_file_url)
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(store._db._engine, "before_cursor_execute", note)
    lease = lease_of(store)
    first = ended(store, lease, running(store, lease, "G"), JobState.SUCCEEDED)
    job, _ = store.submit(spec(), now=NOW, key="k", retry_of=first.id)
    store.note_run(lease, running(store, lease, "G", at=later(1)), peak_bytes=1)
    store.request_cancel(job.id, now=NOW)
    cursor = store.page(limit=1).next_cursor
    store.page(limit=1, cursor=cursor)
    store.page(states=[JobState.RUNNING, JobState.PENDING], user="ada", since=NOW)
    store.page(user="ada")
    store.page(states=[JobState.FAILED])
    store.active()
    store.usage_gpu_s(now=NOW, half_life_s=100)
    store.usage_gpu_s(now=later(1), half_life_s=100)
    store.identity_of("a", now=NOW)
    event.remove(store._db._engine, "before_cursor_execute", note)
    plans = [
        row.detail
        for statement, parameters in asked
        if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        for row in store._db.read(
            lambda c, s=statement, p=parameters: c.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {s}", p
            ).all()
        )
    ]
    scans = [plan for plan in plans if plan.startswith("SCAN") and "USING" not in plan]
    assert [plan for plan in plans if "gimbal_jobs" in plan]
    assert [plan for plan in scans if "CONSTANT" not in plan] == []
    store.close()
