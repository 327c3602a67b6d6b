"""How long `/v1` takes to answer at 200 requests a second over 10,000 stored jobs.

    python benchmarks/api_latency.py [--jobs 10000] [--rate 200] [--seconds 20] [--json]

The real application under uvicorn on loopback, SQLite, tokens on; the load comes from a second
process. The load is open-loop: requests leave at fixed times whether or not earlier ones were
answered, and a latency counts from when its request was due, so that a stall is felt by all that
were due in it. The same load on a FastAPI application that says hello is the peer: what HTTP costs
on this machine before anything is done. Both servers are measured in turns, in halves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

GOAL_P99_S = 0.05
CONFIG = {"train": {"steps": 2000, "global_batch": 48}}
SUBMIT = {"workload": "nbv", "config": CONFIG, "gpus": 1, "gpu_memory": "10GiB"}
MIX = {"list": 40, "show": 35, "gpus": 15, "submit": 10}
MAX_REQUESTS = 20_000  # of each server in a turn


def fill(folder: Path, count: int) -> tuple[list[str], str]:
    """Make a store with `count` jobs, ten of which run; return their ids and a token."""
    from gimbal.api.schemas import SubmitJob
    from gimbal.api.submitting import spec_of
    from gimbal.jobs.clock import SystemClock
    from gimbal.jobs.model import Identity, JobState, Role
    from gimbal.jobs.schema import upgrade
    from gimbal.jobs.sql_store import SqlJobStore, sqlite_url
    from gimbal.jobs.tokens import new_token, token_digest
    from gimbal.scheduling.model import Grant

    url = sqlite_url(folder / "jobs.sqlite3")
    upgrade(url)
    store, clock = SqlJobStore(url), SystemClock()
    lease = store.take_lease("bench", now=clock.now(), seconds=3600)
    body = SubmitJob.model_validate(SUBMIT)
    specs = [spec_of(body, f"user{number}", cards=10, runs_dir=folder) for number in range(20)]
    ids = []
    for number in range(count):
        job, _ = store.submit(specs[number % 20], now=clock.now())
        ids.append(job.id)
        if number % 10 == 0 or number >= count - 10:
            card = cards()[number % 10]
            grants = [Grant(uuid=card.uuid, node=card.node)]
            snapshot = [{"uuid": card.uuid, "index": card.index, "note": card.note}]
            job = store.intend(lease, job, grants=grants, gpus=snapshot, now=clock.now())
            job = store.launched(lease, store.launching(lease, job), now=clock.now())
            if number < count - 10:
                store.end_attempt(lease, job, state=JobState.SUCCEEDED, now=clock.now())
    token = new_token()
    bench = Identity(user="bench", role=Role.OPERATOR)
    store.add_token(token_digest(token), bench, now=clock.now(), expires_at=None)
    store.close()
    return ids, token


def cards():
    """Return ten cards of a made-up lab."""
    from gimbal.scheduling.model import Condition, Gpu, GpuUuid, NodeName

    return tuple(
        Gpu(
            uuid=GpuUuid(f"GPU-{index}"),
            node=NodeName("lab1"),
            index=index,
            name="RTX 3090",
            total_bytes=24 * 2**30,
            condition=Condition.FREE,
            note="uid 1004 (python) holds 14.1 GiB",
        )
        for index in range(10)
    )


def serve(kind: str, folder: Path) -> None:
    """Serve on a port of the system's choice and print it."""
    import uvicorn

    # asyncio turns Nagle's algorithm off for sockets that say they are TCP, which not all do.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    print(listening.getsockname()[1], flush=True)
    app = hello() if kind == "hello" else gimbal_app(folder)
    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


def hello():
    """Return the peer."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/")
    async def greet() -> dict[str, str]:
        return {"hello": "world"}

    return app


def gimbal_app(folder: Path):
    """Return our application over the store in `folder`."""
    from gimbal.api.app import ApiDeps, create_app
    from gimbal.api.settings import ApiSettings
    from gimbal.jobs.clock import SystemClock
    from gimbal.jobs.sql_store import SqlJobStore, sqlite_url

    snapshot = cards()
    return create_app(
        ApiDeps(
            store=SqlJobStore(sqlite_url(folder / "jobs.sqlite3")),
            gpus=lambda: snapshot,
            explain=lambda _: None,
            clock=SystemClock(),
            runs_dir=folder,
            settings=ApiSettings(rate_per_s=1e6, rate_burst=10**6, max_active_jobs=10**6),
        )
    )


@contextlib.contextmanager
def server(kind: str, folder: Path) -> Iterator[int]:
    """Run a server in a process of its own and give its port."""
    command = [sys.executable, __file__, "--serve", kind, "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


class Caller:
    """Sends requests over as many kept connections as are needed at once."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: bytes) -> int:
        """Send one request and return its status."""
        reader, writer = (
            self.idle.pop()
            if self.idle
            else await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)
        )
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        await reader.readexactly(int(fields[b"content-length"]))
        self.idle.append((reader, writer))
        return int(head.split(b" ", 2)[1])

    async def close(self) -> None:
        """Close every connection."""
        for _, writer in self.idle:
            writer.close()


def request(method: str, path: str, token: str, body: object = None) -> bytes:
    """Return a request as bytes."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = "Content-Type: application/json\r\n" if content else ""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"{kind}Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def mixed(ids: list[str], token: str, rng: random.Random) -> tuple[str, bytes]:
    """Return the name and the bytes of a random request."""
    (kind,) = rng.choices(list(MIX), list(MIX.values()))
    if kind == "list":
        query = rng.choice(["", "?state=RUNNING", "?user=user3", "?state=PENDING&limit=20"])
        return kind, request("GET", f"/v1/jobs{query}", token)
    if kind == "show":
        return kind, request("GET", f"/v1/jobs/{rng.choice(ids)}", token)
    if kind == "gpus":
        return kind, request("GET", "/v1/gpus", token)
    return kind, request("POST", "/v1/jobs", token, SUBMIT)


async def load(port: int, requests: list[tuple[str, bytes]], rate: float):
    """Send requests at a rate; return latencies by name, statuses, and the span."""
    caller, latencies, statuses = Caller(port), [], Counter()
    began = time.perf_counter() + 0.1

    async def one(index: int, name: str, content: bytes) -> None:
        due = began + index / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            status = await asyncio.wait_for(caller.send(content), 10)
        except (OSError, EOFError, TimeoutError):
            status = 0
        statuses[status] += 1
        latencies.append((name, time.perf_counter() - due))

    await asyncio.gather(*(one(i, name, content) for i, (name, content) in enumerate(requests)))
    await caller.close()
    return latencies, statuses


async def warmed(port: int, requests: list[tuple[str, bytes]]) -> None:
    """Send some requests one after the other: imports and caches are not what is measured."""
    caller = Caller(port)
    for _, content in requests:
        await caller.send(content)
    await caller.close()


def summary(latencies: list[tuple[str, float]]) -> dict[str, float]:
    """Return quantiles in milliseconds."""
    values = [seconds for _, seconds in latencies]
    cuts = quantiles(values, n=1000)
    return {
        "p50_ms": round(cuts[499] * 1e3, 2),
        "p99_ms": round(cuts[989] * 1e3, 2),
        "max_ms": round(max(values) * 1e3, 2),
    }


def measure(folder: Path, jobs: int, rate: float, seconds: float) -> dict:
    """Measure both servers in turns."""
    ids, token = fill(folder, jobs)
    rng = random.Random(0)
    count = min(int(rate * seconds / 2), MAX_REQUESTS)
    ours: list[tuple[str, float]] = []
    peer: list[tuple[str, float]] = []
    statuses: Counter[int] = Counter()
    greeting = [("hello", request("GET", "/", token))]
    with server("gimbal", folder) as our_port, server("hello", folder) as peer_port:
        asyncio.run(warmed(our_port, [mixed(ids, token, rng) for _ in range(200)]))
        asyncio.run(warmed(peer_port, greeting * 200))
        for _ in range(2):
            peer += asyncio.run(load(peer_port, greeting * count, rate))[0]
            found, seen = asyncio.run(
                load(our_port, [mixed(ids, token, rng) for _ in range(count)], rate)
            )
            ours += found
            statuses += seen
    mine, theirs = summary(ours), summary(peer)
    return {
        "stored_jobs": jobs,
        "rate_per_s": rate,
        "requests": len(ours),
        "errors": sum(n for status, n in statuses.items() if not 200 <= status < 300),
        "gimbal": mine,
        "by_kind": {kind: summary([it for it in ours if it[0] == kind]) for kind in MIX},
        "hello": theirs,
        "p99_ratio_to_hello": round(mine["p99_ms"] / theirs["p99_ms"], 2),
        "goal_p99_ms": GOAL_P99_S * 1e3,
        "cpus": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=("gimbal", "hello"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments.jobs, arguments.rate, arguments.seconds)
    if not arguments.json:
        rows = {"all": result["gimbal"], **result["by_kind"], "FastAPI hello": result["hello"]}
        for name, row in rows.items():
            print(f"{name:<14} p50 {row['p50_ms']:>7} ms   p99 {row['p99_ms']:>7} ms")
        print(f"{result['errors']} errors in {result['requests']} requests")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
