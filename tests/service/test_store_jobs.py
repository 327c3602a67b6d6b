"""Accepting, reading, listing and cancelling jobs, on SQLite and Postgres alike."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import pytest
from store_support import NOW, ended, later, lease_of, running, spec, submitted

from gimbal.jobs.model import IllegalTransition, JobNotFound, JobState
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.jobs.store_errors import BadQuery, KeyReused


def test_a_submitted_job_is_pending_and_read_back_whole(store: SqlJobStore) -> None:
    config = {"z": 1, "a": [1.5, None, True, "ü\x00"], "limit": math.inf}
    asked = spec(config=config, share=0.5, memory_bytes=24 * 2**30, priority=-3)
    job, new = store.submit(asked, now=NOW)
    assert new
    assert job.state is JobState.PENDING
    assert job.spec == asked
    assert job.submitted_at == NOW
    assert store.get(job.id) == job
    assert list(store.get(job.id).spec.config) == ["z", "a", "limit"]


def test_ids_are_short_and_in_base_32(store: SqlJobStore) -> None:
    ids = {submitted(store).id for _ in range(20)}
    assert len(ids) == 20
    assert all(len(i) == 12 and i.startswith("job-") and i[4:].islower() for i in ids)


def test_times_of_any_zone_are_stored_as_the_same_instant(store: SqlJobStore) -> None:
    at = datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=2)))
    read = store.get(submitted(store, at).id).submitted_at
    assert read == at
    assert read.utcoffset() == timedelta(0)


def test_an_unknown_job_is_not_found_whatever_its_id_holds(store: SqlJobStore) -> None:
    for job_id in ("job-aaaaaaaa", "", "\x00", "\ud800", "' OR 1=1 --", "x" * 10_000):
        with pytest.raises(JobNotFound):
            store.get(job_id)  # type: ignore[arg-type]


def test_an_idempotency_key_makes_one_job_per_user(store: SqlJobStore) -> None:
    first, new = store.submit(spec(), now=NOW, key="k")
    again, new_again = store.submit(spec(), now=later(5), key="k")
    other, new_other = store.submit(spec(user="bob"), now=NOW, key="k")
    assert (new, new_again, new_other) == (True, False, True)
    assert again == first
    assert other.id != first.id


def test_an_idempotency_key_gives_the_job_as_it_stands_now(store: SqlJobStore) -> None:
    first, _ = store.submit(spec(), now=NOW, key="k")
    store.request_cancel(first.id, now=NOW)
    assert store.submit(spec(), now=NOW, key="k")[0].state is JobState.STOPPED


def test_a_key_for_another_job_is_refused(store: SqlJobStore) -> None:
    first, _ = store.submit(spec(), now=NOW, key="k")
    for change in ({"priority": 1}, {"config": {"seed": 2}}, {"gpus": 2}):
        with pytest.raises(KeyReused, match=first.id):
            store.submit(spec(**change), now=NOW, key="k")
    assert sum(store.counts().values()) == 1


def test_a_key_that_no_index_could_hold_is_refused(store: SqlJobStore) -> None:
    with pytest.raises(BadQuery):
        store.submit(spec(), now=NOW, key="k" * 5_000)


@pytest.mark.parametrize(
    "change",
    [{"gpus": 2**31}, {"priority": -(2**70)}, {"memory_bytes": 2**64}, {"user": "u" * 9_000}],
)
def test_what_no_column_could_hold_is_refused(
    store: SqlJobStore, change: dict[str, object]
) -> None:
    with pytest.raises(BadQuery):
        store.submit(spec(**change), now=NOW)
    assert store.active() == ()


def test_a_retry_names_the_job_it_repeats(store: SqlJobStore) -> None:
    first = submitted(store)
    again, _ = store.submit(spec(), now=NOW, retry_of=first.id)
    assert store.get(again.id).retry_of == first.id
    with pytest.raises(JobNotFound):
        store.submit(spec(), now=NOW, retry_of="job-aaaaaaaa")  # type: ignore[arg-type]


def test_pages_show_every_job_once_newest_first(store: SqlJobStore) -> None:
    made = [submitted(store, later(i // 3)) for i in range(11)]  # three of the same instant
    shown, cursor = [], None
    while True:
        page = store.page(limit=4, cursor=cursor)
        shown += page.jobs
        cursor = page.next_cursor
        if cursor is None:
            break
    assert shown == made[::-1]


def test_the_last_page_has_no_cursor_even_when_full(store: SqlJobStore) -> None:
    for _ in range(4):
        submitted(store)
    assert store.page(limit=4).next_cursor is None


def test_jobs_that_arrive_between_pages_shift_nothing(store: SqlJobStore) -> None:
    made = [submitted(store, later(i)) for i in range(6)]
    first = store.page(limit=3)
    submitted(store, later(100))
    submitted(store, later(-100))  # a clock that was set back
    second = store.page(limit=3, cursor=first.next_cursor)
    assert [*first.jobs, *second.jobs] == made[::-1]


def test_pages_are_filtered(store: SqlJobStore) -> None:
    lease = lease_of(store)
    pending = submitted(store, later(1))
    done = ended(store, lease, running(store, lease, "G", at=later(2)), JobState.SUCCEEDED)
    bobs = submitted(store, later(3), user="bob")
    assert store.page(states=[JobState.SUCCEEDED]).jobs == (done,)
    assert store.page(states=[JobState.SUCCEEDED, JobState.PENDING]).jobs == (bobs, done, pending)
    assert store.page(user="bob").jobs == (bobs,)
    assert store.page(since=later(2)).jobs == (bobs, done)
    assert store.page(user="ada", since=later(2), states=[JobState.PENDING]).jobs == ()
    assert store.page(user="nobody").jobs == ()


def test_pages_carry_attempts(store: SqlJobStore) -> None:
    lease = lease_of(store)
    job = running(store, lease, "G1", "G2")
    assert store.page().jobs == (job,)
    assert store.page().jobs[0].attempts[0].grants[1].uuid == "G2"


def test_a_cursor_of_other_filters_is_refused(store: SqlJobStore) -> None:
    for _ in range(3):
        submitted(store)
    cursor = store.page(limit=1).next_cursor
    with pytest.raises(BadQuery, match="other filters"):
        store.page(limit=1, cursor=cursor, user="ada")


def test_limits_and_times_that_mean_nothing_are_refused(store: SqlJobStore) -> None:
    for limit in (0, 1_001, 2**70):
        with pytest.raises(BadQuery, match="page"):
            store.page(limit=limit)
    with pytest.raises(BadQuery, match="zone"):
        store.page(since=datetime(2026, 1, 1))
    with pytest.raises(BadQuery):
        store.page(since=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))


def test_active_jobs_are_those_not_terminal_oldest_first(store: SqlJobStore) -> None:
    lease = lease_of(store)
    second = submitted(store, later(1))
    first = submitted(store, NOW)
    going = running(store, lease, "G", at=later(2))
    ended(store, lease, running(store, lease, "H"), JobState.FAILED)
    store.request_cancel(submitted(store).id, now=NOW)
    assert store.active() == (first, second, going)


def test_counts_name_every_state(store: SqlJobStore) -> None:
    assert store.counts() == dict.fromkeys(JobState, 0)
    submitted(store)
    store.request_cancel(submitted(store).id, now=NOW)
    expected = {JobState.PENDING: 1, JobState.STOPPED: 1}
    assert store.counts() == {**dict.fromkeys(JobState, 0), **expected}


def test_cancelling_a_waiting_job_ends_it_at_once(store: SqlJobStore) -> None:
    job = store.request_cancel(submitted(store).id, now=later(9))
    assert (job.state, job.ended_at) == (JobState.STOPPED, later(9))
    assert job.cancel_requested
    assert store.get(job.id) == job


def test_cancelling_a_running_job_is_noted_once(store: SqlJobStore) -> None:
    lease = lease_of(store)
    going = running(store, lease, "G")
    job = store.request_cancel(going.id, now=NOW)
    assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)
    assert job.version == going.version + 1
    assert store.request_cancel(going.id, now=later(1)) == job


def test_an_ended_job_cannot_be_cancelled(store: SqlJobStore) -> None:
    lease = lease_of(store)
    done = ended(store, lease, running(store, lease, "G"), JobState.SUCCEEDED)
    with pytest.raises(IllegalTransition):
        store.request_cancel(done.id, now=NOW)
    assert store.get(done.id) == done
    with pytest.raises(JobNotFound):
        store.request_cancel("job-aaaaaaaa", now=NOW)  # type: ignore[arg-type]
