"""What the controller changes: attempts, their order, their cards, peaks and usage."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from store_support import NOW, ended, grant, later, lease_of, running, submitted

from gimbal.errors import GimbalError
from gimbal.jobs.model import (
    AttemptPhase,
    IllegalTransition,
    Job,
    JobState,
    LeaseLost,
    Stale,
    StopWhy,
)
from gimbal.jobs.ports import Lease
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.scheduling.failure_model import FailureClass


def test_a_whole_life_is_recorded(store: SqlJobStore) -> None:
    lease = lease_of(store)
    job = submitted(store, gpus=2)
    job = store.note_wait(lease, job, reason="COOLING", detail="clean for 1/60 s")
    assert (job.reason, job.detail) == ("COOLING", "clean for 1/60 s")
    cards = [grant("G1", memory_bytes=5), grant("G2")]
    job = store.intend(lease, job, grants=cards, gpus=[{"uuid": "G1", "x": 1.5}], now=later(1))
    assert (job.state, job.reason, job.detail) == (JobState.RUNNING, "", "")
    assert job.current is not None
    assert job.current.phase is AttemptPhase.INTENDED
    job = store.launched(lease, store.launching(lease, job), now=later(2))
    job = store.note_run(lease, job, used=["G1", "G2"], run_dir="/r", peak_bytes=7)  # type: ignore[list-item]
    job = store.ask_to_stop(lease, job, why=StopWhy.PREEMPT, now=later(3), deadline=later(63))
    job = store.end_attempt(
        lease,
        job,
        state=JobState.PENDING,
        now=later(4),
        failure=FailureClass.PREEMPTED,
        reason="made room",
        exit_code=75,
        gpus=[{"uuid": "G1"}],
        not_before=later(10),
        avoid={"G1": later(100)},  # type: ignore[dict-item]
    )
    assert store.get(job.id) == job
    assert (job.state, job.reason, job.detail) == (JobState.PENDING, "PREEMPTED", "made room")
    assert (job.started_at, job.ended_at, job.not_before) == (later(2), None, later(10))
    assert job.avoid == {"G1": later(100)}
    (attempt,) = job.attempts
    assert (attempt.phase, attempt.granted_at) == (AttemptPhase.ENDED, later(1))
    assert (attempt.launched_at, attempt.ended_at) == (later(2), later(4))
    assert (attempt.stop_why, attempt.stop_at) == (StopWhy.PREEMPT, later(3))
    assert (attempt.stop_deadline, attempt.exit_code) == (later(63), 75)
    assert (attempt.failure, attempt.peak_bytes) == (FailureClass.PREEMPTED, 7)
    assert attempt.grants == tuple(cards)
    assert (attempt.gpus_at_launch, attempt.gpus_at_end) == (
        ({"uuid": "G1", "x": 1.5},),
        ({"uuid": "G1"},),
    )


def test_attempts_are_numbered_and_named_apart(store: SqlJobStore) -> None:
    lease = lease_of(store)
    job = running(store, lease, "G")
    job = ended(store, lease, job, JobState.PENDING, later(5))
    job = store.intend(lease, job, grants=[grant("G")], gpus=[], now=later(6))
    assert [attempt.number for attempt in job.attempts] == [1, 2]
    assert len({attempt.submission_id for attempt in job.attempts}) == 2
    job = store.launched(lease, store.launching(lease, job), now=later(7))
    assert job.started_at == NOW
    assert store.get(job.id) == job


Change = Callable[[SqlJobStore, Lease, Job], Job]
CHANGES: dict[str, Change] = {
    "note_wait": lambda s, le, j: s.note_wait(le, j, reason="r", detail="d"),
    "intend": lambda s, le, j: s.intend(le, j, grants=[grant("X")], gpus=[], now=NOW),
    "launching": lambda s, le, j: s.launching(le, j),
    "launched": lambda s, le, j: s.launched(le, j, now=NOW),
    "note_run": lambda s, le, j: s.note_run(le, j, peak_bytes=99),
    "ask_to_stop": lambda s, le, j: s.ask_to_stop(
        le, j, why=StopWhy.CANCEL, now=NOW, deadline=later(9)
    ),
    "requeue": lambda s, le, j: ended(s, le, j, JobState.PENDING),
    "succeed": lambda s, le, j: ended(s, le, j, JobState.SUCCEEDED),
    "stop": lambda s, le, j: ended(s, le, j, JobState.STOPPED),
    "fail": lambda s, le, j: ended(s, le, j, JobState.FAILED),
    "fail_pending": lambda s, le, j: s.fail_pending(le, j, reason="r", detail="d", now=NOW),
}
PENDING_ONLY = {"note_wait", "intend", "fail_pending"}
STANDS: dict[str, tuple[Callable[[SqlJobStore, Lease], Job], set[str]]] = {
    "pending": (lambda s, le: submitted(s), PENDING_ONLY),
    "queued again": (
        lambda s, le: ended(s, le, running(s, le, "G"), JobState.PENDING),
        PENDING_ONLY,
    ),
    "intended": (
        lambda s, le: s.intend(le, submitted(s), grants=[grant("G")], gpus=[], now=NOW),
        set(CHANGES) - PENDING_ONLY - {"launched"},
    ),
    "launching": (
        lambda s, le: s.launching(
            le, s.intend(le, submitted(s), grants=[grant("G")], gpus=[], now=NOW)
        ),
        set(CHANGES) - PENDING_ONLY - {"launching"},
    ),
    "running": (
        lambda s, le: running(s, le, "G"),
        set(CHANGES) - PENDING_ONLY - {"launching", "launched"},
    ),
    "cancelled": (
        lambda s, le: s.request_cancel(running(s, le, "G").id, now=NOW),
        set(CHANGES) - PENDING_ONLY - {"launching", "launched", "requeue"},
    ),
    "succeeded": (lambda s, le: ended(s, le, running(s, le, "G"), JobState.SUCCEEDED), set()),
    "failed": (lambda s, le: ended(s, le, running(s, le, "G"), JobState.FAILED), set()),
    "stopped": (lambda s, le: s.request_cancel(submitted(s).id, now=NOW), set()),
}


@pytest.mark.parametrize("stand", STANDS)
def test_only_listed_changes_are_possible(store: SqlJobStore, stand: str) -> None:
    make, allowed = STANDS[stand]
    lease = lease_of(store)
    for name, change in CHANGES.items():
        job = make(store, lease)
        if name in allowed:
            changed = change(store, lease, job)
            assert changed.version == job.version + 1, name
            assert store.get(job.id) == changed, name
        else:
            with pytest.raises(IllegalTransition):
                change(store, lease, job)
            assert store.get(job.id) == job, name
        _clear(store, lease)


def _clear(store: SqlJobStore, lease: Lease) -> None:
    """End what holds cards, for the next round."""
    for job in store.active():
        if job.current is not None:
            ended(store, lease, job, JobState.STOPPED)


def test_a_job_read_before_somebody_changed_it_is_stale(store: SqlJobStore) -> None:
    lease = lease_of(store)
    pending, going = submitted(store), running(store, lease, "G")
    now_pending = store.note_wait(lease, pending, reason="else", detail="else")
    now_going = store.note_run(lease, going, run_dir="/else")
    for name, change in CHANGES.items():
        with pytest.raises(Stale):
            change(store, lease, pending if name in PENDING_ONLY else going)
    assert store.active() == (now_pending, now_going)


def test_without_the_current_lease_nothing_is_written(store: SqlJobStore) -> None:
    lost = lease_of(store)
    pending, going = submitted(store), running(store, lost, "G")
    lease_of(store, "two", later(31))
    for name, change in CHANGES.items():
        with pytest.raises(LeaseLost):
            change(store, lost, pending if name in PENDING_ONLY else going)
    assert store.active() == (pending, going)
    assert store.peak("k") == 0


def test_saying_the_same_again_writes_nothing(store: SqlJobStore) -> None:
    lease = lease_of(store)
    waits = store.note_wait(lease, submitted(store), reason="r", detail="d")
    assert store.note_wait(lease, waits, reason="r", detail="d") == waits
    job = store.note_run(lease, running(store, lease, "G"), used=["G"], peak_bytes=5)  # type: ignore[list-item]
    assert store.note_run(lease, job, used=["G"], peak_bytes=5) == job  # type: ignore[list-item]
    assert store.note_run(lease, job, peak_bytes=4) == job
    asked = store.ask_to_stop(lease, job, why=StopWhy.PREEMPT, now=NOW, deadline=later(5))
    again = store.ask_to_stop(lease, asked, why=StopWhy.CANCEL, now=later(1), deadline=later(9))
    assert again == asked


@pytest.mark.parametrize(
    ("given", "asked", "fits"),
    [
        ([1.0], [1.0], False),
        ([1.0], [0.1], False),
        ([0.5], [1.0], False),
        ([0.5], [0.6], False),
        ([0.5], [0.5], True),
        ([0.1] * 9, [0.1], True),
        ([0.1] * 10, [0.1], False),
        ([], [1.0, 1.0], False),
        ([], [0.5, 0.5], True),
    ],
)
def test_a_card_is_never_given_away_twice(
    store: SqlJobStore, given: list[float], asked: list[float], fits: bool
) -> None:
    lease = lease_of(store)
    for share in given:
        store.intend(lease, submitted(store), grants=[grant("G", share)], gpus=[], now=NOW)
    job = submitted(store)
    cards = [grant("H"), *(grant("G", share) for share in asked)]
    if fits:
        store.intend(lease, job, grants=cards, gpus=[], now=NOW)
        return
    with pytest.raises(Stale, match="G"):
        store.intend(lease, job, grants=cards, gpus=[], now=NOW)
    assert store.get(job.id) == job
    store.intend(lease, job, grants=[grant("H")], gpus=[], now=NOW)  # nothing of it remained


def test_cards_of_an_ended_attempt_can_be_given_again(store: SqlJobStore) -> None:
    lease = lease_of(store)
    for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.STOPPED, JobState.PENDING):
        ended(store, lease, running(store, lease, "G", "H"), state)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_shares_that_are_none_are_refused(store: SqlJobStore, share: float) -> None:
    lease = lease_of(store)
    with pytest.raises(GimbalError, match="share"):
        store.intend(lease, submitted(store), grants=[grant("G", share)], gpus=[], now=NOW)


def test_jobs_without_cards_never_collide(store: SqlJobStore) -> None:
    lease = lease_of(store)
    assert [len(running(store, lease).attempts) for _ in range(3)] == [1, 1, 1]


def test_avoided_cards_add_up_until_their_time_is_over(store: SqlJobStore) -> None:
    lease = lease_of(store)
    job = running(store, lease, "G")
    first = {"A": later(50), "B": later(500)}
    job = store.end_attempt(lease, job, state=JobState.PENDING, now=NOW, avoid=first)  # type: ignore[arg-type]
    job = store.intend(lease, job, grants=[grant("H")], gpus=[], now=later(1))
    second = {"C": later(900)}
    job = store.end_attempt(lease, job, state=JobState.PENDING, now=later(60), avoid=second)  # type: ignore[arg-type]
    assert store.get(job.id).avoid == {"B": later(500), "C": later(900)}


def test_the_largest_peak_of_jobs_alike_is_kept(store: SqlJobStore) -> None:
    lease = lease_of(store)
    assert store.peak("k") == 0
    for peak_bytes in (5, 2**40, 7):
        job = store.note_run(lease, running(store, lease), peak_bytes=peak_bytes)
        assert job.attempts[0].peak_bytes == peak_bytes
    assert store.peak("k") == 2**40
    assert store.peak("other") == 0
    store.note_run(lease, running(store, lease, peak_key=""), peak_bytes=9)
    assert store.peak("") == 0


def test_text_from_processes_is_made_storable(store: SqlJobStore) -> None:
    lease = lease_of(store)
    job = running(store, lease, "G")
    said = "bad \x00 byte \ud800 end"
    store.end_attempt(lease, job, state=JobState.FAILED, now=NOW, reason=said)
    read = store.get(job.id)
    assert read.detail == read.attempts[0].reason == "bad \ufffd byte ? end"
