"""What the job store costs with 10,000 stored jobs, on SQLite and on Postgres.

    python benchmarks/job_store.py [--jobs 10000] [--active 200] [--json]

The peer of a write is the driver's own floor: a transaction that changes one row and is made
durable; of a read, one that fetches one row by its key. Store and floor are called in turns. SQLite
works on a file with `synchronous=FULL`; Postgres is a server of this machine, found on PATH or in
/usr/lib/postgresql, with its durable defaults.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import insert, text

from gimbal.jobs.job_cache import JobCache
from gimbal.jobs.model import Attempt, AttemptPhase, Job, JobSpec, JobState
from gimbal.jobs.records import attempt_values, spec_values, status_values
from gimbal.jobs.schema import upgrade
from gimbal.jobs.sql_schema import attempts, jobs
from gimbal.jobs.sql_store import SqlJobStore, sqlite_url
from gimbal.scheduling.model import GpuUuid, Grant, JobId, NodeName
from gimbal.testing.postgres_server import NoPostgres, postgres_server

Times = tuple[list[float], list[float]]
"""Milliseconds of wall time and of this process's CPU time."""
NOW = datetime.now(UTC)
CONFIG = {f"section{i}": {f"key{k}": k * 1.5 for k in range(12)} for i in range(8)}
"""Some 2 kB of JSON, as large as a resolved nbv config."""
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.STOPPED)


def spec(user: str) -> JobSpec:
    return JobSpec(workload="nbv", experiment="e", config=CONFIG, user=user, gpus=1, peak_key="k")


def made(number: int, total: int, active: int) -> Job:
    """Return a job as it might be stored: most ended, a quarter of the active ones running."""
    at = NOW - timedelta(minutes=total - number)
    state = random.Random(number).choice(ENDED)
    if number >= total - active:
        state = JobState.PENDING if number % 4 else JobState.RUNNING
    attempt = Attempt(
        number=1,
        phase=AttemptPhase.ENDED if state.is_terminal else AttemptPhase.RUNNING,
        submission_id=f"{number}-1",
        grants=(Grant(uuid=GpuUuid(f"GPU-{number}"), node=NodeName("n")),),
        granted_at=at,
        ended_at=at + timedelta(minutes=9) if state.is_terminal else None,
        gpus_at_launch=({"uuid": f"GPU-{number}", "total_bytes": 24 << 30, "note": ""},),
    )
    return Job(
        id=JobId(f"job-{number:08}"),
        spec=spec(f"user{number % 12}"),
        state=state,
        submitted_at=at,
        attempts=() if state is JobState.PENDING else (attempt,),
    )


def fill(store: SqlJobStore, total: int, active: int) -> None:
    """Store jobs in bulk: through the store it would take minutes."""
    all_jobs = [made(number, total, active) for number in range(total)]
    rows = [
        {"id": job.id, "version": 0, "submitted_at": job.submitted_at, "retry_of": None}
        | spec_values(job.spec)
        | status_values(job)
        for job in all_jobs
    ]
    tried = [
        {"job_id": job.id, "number": 1, "ended_seq": number if job.state.is_terminal else None}
        | attempt_values(job.attempts[0])
        for number, job in enumerate(all_jobs, start=1)
        if job.attempts
    ]
    store._db.write(lambda c: (c.execute(insert(jobs), rows), c.execute(insert(attempts), tried)))


def uses(store: SqlJobStore, fresh: SqlJobStore) -> dict[str, Callable[[], object]]:
    """Return what is measured; the first two are the floors, `fresh` has read nothing yet."""
    lease = store.take_lease("benchmark", now=NOW, seconds=1e6)
    assert lease is not None
    ticks = count(1)
    waiting = [store.submit(spec("u"), now=NOW)[0]]
    second = store.page().next_cursor
    touch = text("UPDATE gimbal_leases SET owner = :owner")
    one = text("SELECT * FROM gimbal_leases")

    def note() -> None:
        waiting[0] = store.note_wait(lease, waiting[0], reason="r", detail=str(next(ticks)))

    return {
        "write floor": lambda: store._db.write(
            lambda c: c.execute(touch, {"owner": str(next(ticks))})
        ),
        "read floor": lambda: store._db.read(lambda c: c.execute(one).all()),
        "submit": lambda: store.submit(spec("u"), now=NOW, key=str(next(ticks))),
        "note_wait": note,
        "get": lambda: store.get(waiting[0].id),
        "page of 50": store.page,
        "next page": lambda: store.page(cursor=second),
        "page of one user": lambda: store.page(user="user3"),
        "page, unread": lambda: forgetful(fresh).page(),
        "active": store.active,
        "active, unread": lambda: forgetful(fresh).active(),
        "counts": store.counts,
        "usage": lambda: store.usage_gpu_s(
            now=NOW + timedelta(seconds=next(ticks)), half_life_s=7 * 86400
        ),
    }


def forgetful(store: SqlJobStore) -> SqlJobStore:
    """Return the store as it is after a start."""
    store._cache = JobCache()
    return store


def measure(url: str, total: int, active: int, rounds: int) -> dict[str, Times]:
    """Return what each use took."""
    upgrade(url)
    store = SqlJobStore(url)
    fill(store, total, active)
    fresh = SqlJobStore(url)
    work = uses(store, fresh)
    for use in work.values():
        use()
    times: dict[str, Times] = {name: ([], []) for name in work}
    for _ in range(rounds):
        for name, use in work.items():
            began, cpu = time.perf_counter(), time.process_time()
            use()
            times[name][0].append((time.perf_counter() - began) * 1e3)
            times[name][1].append((time.process_time() - cpu) * 1e3)
    store.close()
    fresh.close()
    return times


def report(database: str, times: dict[str, Times], as_json: bool) -> None:
    figures = {
        name: {
            "p50_ms": round(median(wall), 3),
            "p99_ms": round(quantiles(wall, n=100)[98], 3),
            "cpu_ms": round(median(cpu), 3),
        }
        for name, (wall, cpu) in times.items()
    }
    if as_json:
        print(json.dumps({"benchmark": "job_store", "database": database, "figures": figures}))
        return
    print(f"\n{database:20} {'p50 ms':>8} {'p99 ms':>8} {'cpu ms':>8} {'× floor':>8}")
    for name, figure in figures.items():
        floor = "write floor" if name in ("submit", "note_wait", "write floor") else "read floor"
        ratio = figure["p50_ms"] / figures[floor]["p50_ms"]
        print(
            f"{name:20} {figure['p50_ms']:8.2f} {figure['p99_ms']:8.2f}"
            f" {figure['cpu_ms']:8.2f} {ratio:8.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--active", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = sqlite_url(Path(folder) / "jobs.sqlite3")
        report("SQLite", measure(url, asked.jobs, asked.active, asked.rounds), asked.json)
    try:
        with postgres_server(durable=True) as server:
            url = server.new_database()
            report("Postgres", measure(url, asked.jobs, asked.active, asked.rounds), asked.json)
    except NoPostgres as error:
        print(f"Postgres is left out: {error}")


if __name__ == "__main__":
    main()
