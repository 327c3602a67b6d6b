"""Jobs in the database: accepting, reading, listing, cancelling."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, select, tuple_

from gimbal.jobs import changes
from gimbal.jobs.cursor import filters_mark, read_cursor, write_cursor
from gimbal.jobs.job_cache import JobCache
from gimbal.jobs.model import Job, JobSpec, JobState
from gimbal.jobs.ports import JobPage
from gimbal.jobs.records import Values, spec_values, status_values
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_rows import load, resolve, save
from gimbal.jobs.sql_schema import idempotency, jobs
from gimbal.jobs.sql_types import require_integer, require_name
from gimbal.jobs.store_errors import BadQuery, KeyReused
from gimbal.scheduling.model import JobId

MAX_PAGE = 1_000
"""Jobs of the largest page."""
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ACTIVE = tuple(state.value for state in JobState if not state.is_terminal)
_INSERT = insert(jobs)
_VERSIONS = select(jobs.c.id, jobs.c.version)
_VERSION_OF = _VERSIONS.where(jobs.c.id == bindparam("job_id"))
_SELECT_ACTIVE = _VERSIONS.where(jobs.c.state.in_(_ACTIVE)).order_by(
    jobs.c.submitted_at, jobs.c.seq
)


def new_job_id() -> JobId:
    """Return `job-` and 40 random bits in base 32."""
    return JobId("job-" + "".join(secrets.choice(_ALPHABET) for _ in range(8)))


class SqlJobs:
    """The part of `JobStore` that needs no lease; see there for every method."""

    _db: Database
    _cache: JobCache

    def submit(
        self, spec: JobSpec, *, now: datetime, key: str | None = None, retry_of: JobId | None = None
    ) -> tuple[Job, bool]:
        """Accept a job, once for each key of a user."""
        digest = "" if key is None else _digest(spec, retry_of)
        require_name("idempotency key", key or "")
        _require_storable(spec)

        def work(connection: Connection) -> tuple[Job, bool]:
            if key is not None and (found := _accepted(connection, spec.user, key, digest)):
                return found, False
            if retry_of is not None:
                load(connection, retry_of)
            job = _insert(connection, spec, now, retry_of)
            if key is not None:
                connection.execute(
                    insert(idempotency).values(
                        user_name=spec.user, key=key, digest=digest, job_id=job.id
                    )
                )
            return job, True

        return self._db.write(work)

    def get(self, job_id: JobId) -> Job:
        """Return a job."""

        def work(connection: Connection) -> Job:
            rows = connection.execute(_VERSION_OF, {"job_id": job_id}).all()
            return (resolve(connection, rows, self._cache) or (load(connection, job_id),))[0]

        return self._db.read(work)

    def page(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        states: Sequence[JobState] = (),
        user: str | None = None,
        since: datetime | None = None,
    ) -> JobPage:
        """Return jobs, newest first."""
        if not 1 <= limit <= MAX_PAGE:
            raise BadQuery(f"a page cannot have {limit:,} jobs", f"ask for 1 to {MAX_PAGE:,}")
        since = _utc(since)
        mark = filters_mark(sorted(set(states)), user, since)
        query = _filtered(states, user, since)
        if cursor is not None:
            query = query.where(
                tuple_(jobs.c.submitted_at, jobs.c.seq) < tuple_(*read_cursor(cursor, mark))
            )
        return self._db.read(lambda connection: _page(connection, query, limit, mark, self._cache))

    def active(self) -> tuple[Job, ...]:
        """Return every job that is not terminal, oldest first."""
        found = self._db.read(
            lambda connection: resolve(
                connection, connection.execute(_SELECT_ACTIVE).all(), self._cache
            )
        )
        self._cache.set_active(found)
        return found

    def counts(self) -> Mapping[JobState, int]:
        """Return how many jobs are in each state."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        found = self._db.read(lambda connection: connection.execute(query).all())
        counted = {JobState(state): number for state, number in found}
        return {state: counted.get(state, 0) for state in JobState}

    def active_count(self, user: str) -> int:
        """Return how many jobs of a user are not terminal."""
        query = select(func.count()).where(jobs.c.user_name == user, jobs.c.state.in_(_ACTIVE))
        return self._db.read(lambda connection: connection.execute(query).scalar_one())

    def request_cancel(self, job_id: JobId, *, now: datetime) -> Job:
        """Note that a user wants its end."""

        def work(connection: Connection) -> Job:
            job = load(connection, job_id, lock=True)
            return save(connection, job, changes.cancelled(job, now))

        return self._db.write(work)


def _require_storable(spec: JobSpec) -> None:
    require_name("user name", spec.user)
    require_integer("a number of GPUs", spec.gpus, bits=32)
    require_integer("a priority", spec.priority, bits=64)
    require_integer("a memory", spec.memory_bytes or 0, bits=64)


def _digest(spec: JobSpec, retry_of: JobId | None) -> str:
    asked = {field.name: getattr(spec, field.name) for field in fields(spec)}
    del asked["peak_key"]  # worked out from the config, in a way that may change
    asked["retry_of"] = retry_of
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _accepted(connection: Connection, user: str, key: str, digest: str) -> Job | None:
    query = select(idempotency.c.digest, idempotency.c.job_id).where(
        idempotency.c.user_name == user, idempotency.c.key == key
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.digest != digest:
        raise KeyReused(
            f"the idempotency key {key!r} was used for {row.job_id}, which asks for something else",
            "send a new key with every new job",
        )
    return load(connection, JobId(row.job_id))


def _insert(connection: Connection, spec: JobSpec, now: datetime, retry_of: JobId | None) -> Job:
    job = Job(
        id=new_job_id(),
        spec=spec,
        state=JobState.PENDING,
        submitted_at=now.astimezone(UTC),
        retry_of=retry_of,
    )
    values: Values = {
        "id": job.id,
        "version": job.version,
        "submitted_at": job.submitted_at,
        "retry_of": retry_of,
    }
    connection.execute(_INSERT, {**values, **spec_values(spec), **status_values(job)})
    return replace(job, spec=replace(spec, config=json.loads(json.dumps(spec.config))))


def _utc(since: datetime | None) -> datetime | None:
    if since is None:
        return None
    try:
        if since.tzinfo is not None:
            return since.astimezone(UTC)
    except OverflowError:
        pass
    raise BadQuery(
        f"{since.isoformat()} is no time to list jobs from", "write a time with its zone"
    )


def _filtered(states: Sequence[JobState], user: str | None, since: datetime | None) -> Select[Any]:
    query = select(jobs.c.id, jobs.c.version, jobs.c.submitted_at, jobs.c.seq)
    if states:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    if user is not None:
        query = query.where(jobs.c.user_name == user)
    if since is not None:
        query = query.where(jobs.c.submitted_at >= since)
    return query.order_by(jobs.c.submitted_at.desc(), jobs.c.seq.desc())


def _page(
    connection: Connection, query: Select[Any], limit: int, mark: str, cache: JobCache
) -> JobPage:
    rows = connection.execute(query.limit(limit + 1)).all()
    shown = rows[:limit]
    found = resolve(connection, shown, cache)
    last = shown[-1] if len(rows) > limit else None
    position = None if last is None else write_cursor((last.submitted_at, last.seq), mark)
    return JobPage(jobs=found, next_cursor=position)
