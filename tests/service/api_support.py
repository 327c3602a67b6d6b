"""An API over a store in memory, with one person of each role, with and without a socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import uvicorn
from fastapi import FastAPI

from gimbal.api.app import create_app
from gimbal.api.context import ApiDeps
from gimbal.api.settings import ApiSettings
from gimbal.jobs.controller.stats import ControllerStats
from gimbal.jobs.model import Identity, Job, JobSpec, JobState, Role
from gimbal.jobs.ports import Lease
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.jobs.tokens import new_token, token_digest
from gimbal.scheduling.model import Condition, Gpu, GpuUuid, Grant, JobId, NodeName
from gimbal.testing.clock import ManualClock
from gimbal.testing.job_store import InMemoryJobStore

GIB = 2**30
PEOPLE = {
    "vera": Role.VIEWER,
    "ada": Role.USER,
    "bob": Role.USER,
    "olga": Role.OPERATOR,
}
CONFIG = {"train": {"steps": 10, "global_batch": 4}}
"""The least that the workload nbv must be told."""
SUBMIT = {"workload": "nbv", "config": CONFIG, "gpus": 1, "gpu_memory": "10GiB"}
CARDS = tuple(
    Gpu(
        uuid=GpuUuid(f"GPU-{index}"),
        node=NodeName("lab1"),
        index=index,
        name="RTX 3090",
        total_bytes=24 * GIB,
        condition=Condition.FOREIGN if index == 1 else Condition.FREE,
        foreign_bytes=14 * GIB if index == 1 else 0,
        note="eve (python\x1b[31m) holds 14.0 GiB" if index == 1 else "",
    )
    for index in range(3)
)


@dataclass(frozen=True)
class Sentence:
    gpu: str
    sentence: str


@dataclass(frozen=True)
class Words:
    """What the controller's explainer would say."""

    headline: str = "needs 1 GPU with 10 GiB; none of 3 has it"
    position: int | None = 1
    gpus: tuple[Sentence, ...] = (Sentence("lab1:1", "eve (python\x1b[2J) holds 14.0 GiB"),)


@dataclass
class Lab:
    """Everything a test may want to touch."""

    app: FastAPI
    store: SqlJobStore
    clock: ManualClock
    runs_dir: Path
    stats: ControllerStats
    portal: anyio.from_thread.BlockingPortal
    tokens: dict[str, str]
    lease: Lease | None = None

    def call(self, method: str, path: str, who: str | None = "ada", **options: Any) -> Any:
        """Send a request as one of `PEOPLE`; None: without a token."""
        return self.portal.call(lambda: self.send(method, path, who, **options))

    async def send(
        self, method: str, path: str, who: str | None = "ada", **options: Any
    ) -> httpx.Response:
        """Send a request from the portal's event loop."""
        headers = dict(options.pop("headers", {}))
        if who is not None:
            headers.setdefault("Authorization", f"Bearer {self.tokens[who]}")
        client = options.pop("client", ("192.0.2.7", 4711))
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as caller:
            return await caller.request(method, path, headers=headers, **options)

    def submit(self, who: str = "ada", **changes: Any) -> dict[str, Any]:
        """Submit a job and return it."""
        answer = self.call("POST", "/v1/jobs", who, json={**SUBMIT, **changes})
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def stored(self, user: str = "ada", **changes: Any) -> Job:
        """Put a job into the store without asking the API."""
        spec = JobSpec(
            **{"workload": "nbv", "experiment": "e", "config": {}, "gpus": 1, **changes}, user=user
        )
        return self.store.submit(spec, now=self.clock.now())[0]

    def started(self, job: Job, card: Gpu = CARDS[0]) -> Job:
        """Bring a job to RUNNING on a card."""
        lease = self._lease()
        grants = [Grant(uuid=card.uuid, node=card.node)]
        cards = [{"uuid": card.uuid, "index": card.index, "note": card.note}]
        now = self.clock.now()
        job = self.store.intend(lease, job, grants=grants, gpus=cards, now=now)
        return self.store.launched(lease, self.store.launching(lease, job), now=now)

    def ended(self, job: Job, state: JobState = JobState.SUCCEEDED, **how: Any) -> Job:
        """End a job's attempt."""
        return self.store.end_attempt(self._lease(), job, state=state, now=self.clock.now(), **how)

    def log(self, job: Job | JobId, number: int = 1) -> Path:
        """Return where the log of an attempt is, in a folder that exists."""
        name = job if isinstance(job, str) else job.id
        folder = self.runs_dir / ".jobs" / name / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "log.txt"

    def _lease(self) -> Lease:
        if self.lease is None:
            self.lease = self.store.take_lease("test", now=self.clock.now(), seconds=1e6)
            assert self.lease is not None
        return self.lease


@contextmanager
def made_lab(
    runs_dir: Path,
    portal: anyio.from_thread.BlockingPortal,
    explain: Callable[[JobId], Any] = lambda _: Words(),
    gpus_age_s: Callable[[], float | None] = lambda: 0.0,
    **settings: Any,
) -> Iterator[Lab]:
    """Give a lab whose API has these settings."""
    store, clock, stats = InMemoryJobStore(), ManualClock(), ControllerStats()
    tokens = {}
    for user, role in PEOPLE.items():
        tokens[user] = new_token()
        identity = Identity(user=user, role=role)
        store.add_token(token_digest(tokens[user]), identity, now=clock.now(), expires_at=None)
    deps = ApiDeps(
        store=store,
        gpus=lambda: CARDS,
        explain=explain,
        clock=clock,
        runs_dir=runs_dir,
        settings=ApiSettings(**{"follow_s": 0.02, **settings}),
        stats=stats,
        gpus_age_s=gpus_age_s,
    )
    try:
        yield Lab(create_app(deps), store, clock, runs_dir, stats, portal, tokens)
    finally:
        store.close()


@contextmanager
def served(lab: Lab) -> Iterator[str]:
    """Serve the API on loopback with uvicorn and give its address."""
    server = uvicorn.Server(
        uvicorn.Config(lab.app, port=0, log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
