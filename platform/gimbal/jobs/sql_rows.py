"""Reading jobs, one of them under lock, and writing what changed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from gimbal.jobs.job_cache import JobCache
from gimbal.jobs.model import Attempt, Job, JobNotFound, Stale
from gimbal.jobs.records import Values, attempt_values, jobs_of, status_values
from gimbal.jobs.sql_schema import attempts, cards, jobs
from gimbal.scheduling.model import GpuUuid, JobId

_SHARE_SLACK = 1e-9
"""Ten shares of .1 are one card, whatever their binary sum."""
_SELECT = select(jobs).where(jobs.c.id == bindparam("job_id"))
_SELECT_LOCKED = _SELECT.with_for_update()
_SELECT_ATTEMPTS = (
    select(attempts)
    .where(attempts.c.job_id == bindparam("job_id"))
    .order_by(attempts.c.job_id, attempts.c.number)
)
_SELECT_MANY = select(jobs).where(jobs.c.id.in_(bindparam("ids", expanding=True)))
_SELECT_MANY_ATTEMPTS = (
    select(attempts)
    .where(attempts.c.job_id.in_(bindparam("ids", expanding=True)))
    .order_by(attempts.c.job_id, attempts.c.number)
)
_INSERT_ATTEMPT = insert(attempts)
_INSERT_CARDS = insert(cards)
_UPDATE = update(jobs).where(
    jobs.c.id == bindparam("of_job"), jobs.c.version == bindparam("of_version")
)
_UPDATE_ATTEMPT = update(attempts).where(
    attempts.c.job_id == bindparam("of_job"), attempts.c.number == bindparam("of_number")
)
_SELECT_GIVEN = (
    select(cards.c.uuid, func.sum(cards.c.share).label("share"))
    .where(cards.c.uuid.in_(bindparam("uuids", expanding=True)))
    .group_by(cards.c.uuid)
)
_DELETE_CARDS = delete(cards).where(cards.c.job_id == bindparam("of_job"))
_SELECT_LAST_ENDED = select(func.max(attempts.c.ended_seq))
_CHUNK = 500
"""Jobs of one statement: SQLite allows 32,766 parameters."""


def load(connection: Connection, job_id: JobId, *, lock: bool = False) -> Job:
    """Return a job; with `lock`, nobody else can change it before this transaction ends.

    Raises:
        JobNotFound: There is none of that id.
    """
    asked = {"job_id": job_id}
    row = connection.execute(_SELECT_LOCKED if lock else _SELECT, asked).one_or_none()
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}", "`gimbal jobs list` shows them")
    return jobs_of([row], connection.execute(_SELECT_ATTEMPTS, asked))[0]


def resolve(
    connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]], cache: JobCache
) -> tuple[Job, ...]:
    """Return the jobs of rows with `id` and `version`, in their order.

    Args:
        connection: The transaction that found the rows.
        rows: What was found.
        cache: Holds jobs that need not be read again; those that are read are added.
    """
    found = {row.id: cache.find(row.id, row.version) for row in rows}
    missing = [job_id for job_id, job in found.items() if job is None]
    for start in range(0, len(missing), _CHUNK):
        asked = {"ids": missing[start : start + _CHUNK]}
        read = jobs_of(
            connection.execute(_SELECT_MANY, asked),
            connection.execute(_SELECT_MANY_ATTEMPTS, asked),
        )
        cache.add(read)
        found.update((job.id, job) for job in read)
    return tuple(job for job in found.values() if job is not None)


def save(connection: Connection, stored: Job, changed: Job) -> Job:
    """Write what differs between a stored job and what it becomes; count its version up.

    Args:
        connection: A writing transaction.
        stored: The job as it was loaded.
        changed: The same object if nothing changed: then nothing is written.

    Raises:
        Stale: Somebody changed it meanwhile, or a card it is to get is taken.
    """
    if changed is stored:
        return stored
    new = replace(changed, version=stored.version + 1)
    guard = {"of_job": stored.id, "of_version": stored.version}
    values = {"version": new.version, **status_values(new)}
    if not connection.execute(_UPDATE, {**guard, **values}).rowcount:
        raise Stale(f"{stored.id} was changed by somebody else", "read it again")
    for number, attempt in enumerate(new.attempts):
        if number >= len(stored.attempts):
            _add_attempt(connection, new.id, attempt)
        elif attempt != stored.attempts[number]:
            _update_attempt(connection, new.id, attempt.number, attempt_values(attempt))
    if stored.current is not None and new.current is None:
        _let_go(connection, new.id, len(new.attempts))
    return new


def _add_attempt(connection: Connection, job_id: JobId, attempt: Attempt) -> None:
    key = {"job_id": job_id, "number": attempt.number}
    connection.execute(_INSERT_ATTEMPT, {**key, **attempt_values(attempt)})
    rows = [
        {
            "job_id": job_id,
            "position": position,
            "number": attempt.number,
            "uuid": grant.uuid,
            "share": grant.share,
        }
        for position, grant in enumerate(attempt.grants)
    ]
    if rows:
        _require_free(connection, attempt)
        connection.execute(_INSERT_CARDS, rows)


def _require_free(connection: Connection, attempt: Attempt) -> None:
    wanted: dict[GpuUuid, float] = {}
    for grant in attempt.grants:
        wanted[grant.uuid] = wanted.get(grant.uuid, 0.0) + grant.share
    given = connection.execute(_SELECT_GIVEN, {"uuids": list(wanted)})
    taken = {row.uuid: row.share for row in given}
    for uuid, share in wanted.items():
        if share + taken.get(uuid, 0.0) > 1 + _SHARE_SLACK:
            raise Stale(
                f"{uuid} cannot be given {share:g} more: {taken.get(uuid, 0.0):g} of it is given",
                "read the active jobs again",
            )


def _update_attempt(connection: Connection, job_id: JobId, number: int, values: Values) -> None:
    connection.execute(_UPDATE_ATTEMPT, {"of_job": job_id, "of_number": number, **values})


def _let_go(connection: Connection, job_id: JobId, number: int) -> None:
    connection.execute(_DELETE_CARDS, {"of_job": job_id})
    # Attempts only end under the lease, so this maximum cannot be seen twice.
    last = connection.execute(_SELECT_LAST_ENDED).scalar_one()
    _update_attempt(connection, job_id, number, {"ended_seq": (last or 0) + 1})
