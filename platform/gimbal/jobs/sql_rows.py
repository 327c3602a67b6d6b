"""Reading one job under lock and writing what changed of it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from gimbal.jobs.model import Attempt, Job, JobNotFound, Stale
from gimbal.jobs.records import attempt_values, jobs_of, status_values
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
    guarded = update(jobs).where(jobs.c.id == stored.id, jobs.c.version == stored.version)
    if not connection.execute(guarded.values(version=new.version, **status_values(new))).rowcount:
        raise Stale(f"{stored.id} was changed by somebody else", "read it again")
    for number, attempt in enumerate(new.attempts):
        if number >= len(stored.attempts):
            _add_attempt(connection, new.id, attempt)
        elif attempt != stored.attempts[number]:
            _update_attempt(connection, new.id, attempt)
    if stored.current is not None and new.current is None:
        connection.execute(delete(cards).where(cards.c.job_id == new.id))
    return new


def _add_attempt(connection: Connection, job_id: JobId, attempt: Attempt) -> None:
    connection.execute(
        insert(attempts).values(job_id=job_id, number=attempt.number, **attempt_values(attempt))
    )
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
        connection.execute(insert(cards), rows)


def _require_free(connection: Connection, attempt: Attempt) -> None:
    wanted: dict[GpuUuid, float] = {}
    for grant in attempt.grants:
        wanted[grant.uuid] = wanted.get(grant.uuid, 0.0) + grant.share
    query = (
        select(cards.c.uuid, func.sum(cards.c.share).label("share"))
        .where(cards.c.uuid.in_(list(wanted)))
        .group_by(cards.c.uuid)
    )
    taken = {row.uuid: row.share for row in connection.execute(query)}
    for uuid, share in wanted.items():
        if share + taken.get(uuid, 0.0) > 1 + _SHARE_SLACK:
            raise Stale(
                f"{uuid} cannot be given {share:g} more: {taken.get(uuid, 0.0):g} of it is given",
                "read the active jobs again",
            )


def _update_attempt(connection: Connection, job_id: JobId, attempt: Attempt) -> None:
    connection.execute(
        update(attempts)
        .where(attempts.c.job_id == job_id, attempts.c.number == attempt.number)
        .values(**attempt_values(attempt))
    )
