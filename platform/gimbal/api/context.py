"""What every route needs: the store, the clock, limits and short-lived copies of slow answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Generic, Protocol, TypeVar

from anyio import CapacityLimiter
from fastapi import Depends, Request

from gimbal.api.auth import Authenticator
from gimbal.api.limits import RateLimit, StreamCap
from gimbal.api.metrics import Exporter, HttpStats
from gimbal.api.readiness import unreadiness
from gimbal.api.settings import ApiSettings
from gimbal.experiment.run_finding import RunEntry, list_runs
from gimbal.jobs.controller.stats import ControllerStats
from gimbal.jobs.model import Identity, Job, JobState
from gimbal.jobs.ports import Clock, JobStore
from gimbal.scheduling.model import Condition, Gpu, JobId

_SOON_S = 1.0
_PAGE = 200
_MAX_RUNNING = 2000
T = TypeVar("T")


class GpuWords(Protocol):
    """One card in an explanation."""

    @property
    def gpu(self) -> str:
        """`NODE:INDEX`."""
        ...

    @property
    def sentence(self) -> str:
        """Why the job is not on it."""
        ...


class Explanation(Protocol):
    """Why a job stands as it does."""

    @property
    def headline(self) -> str:
        """One sentence."""
        ...

    @property
    def position(self) -> int | None:
        """Place in the queue, from 1."""
        ...

    @property
    def gpus(self) -> Sequence[GpuWords]:
        """One sentence a card."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiDeps:
    """What the API is given.

    Attributes:
        store: The truth about jobs.
        gpus: Returns every card as last seen; must not wait for Ray.
        explain: Says why a job stands as it does; may raise `JobNotFound`.
        clock: Time.
        runs_dir: The folder of all runs and of the jobs' logs.
        settings: Limits.
        stats: The controller's numbers; None: it runs in another process.
        gpus_age_s: Returns how old `gpus` is; None: nothing was seen yet.
        wake: Tells the controller that a job came in or is to end, if it runs in this process;
            one elsewhere finds out by itself within a round.
    """

    store: JobStore
    gpus: Callable[[], tuple[Gpu, ...]]
    explain: Callable[[JobId], Explanation]
    clock: Clock
    runs_dir: Path
    settings: ApiSettings = field(default_factory=ApiSettings)
    stats: ControllerStats | None = None
    gpus_age_s: Callable[[], float | None] = lambda: 0.0
    wake: Callable[[], None] = lambda: None


class Remembered(Generic[T]):
    """An answer that is asked for again only after a while; one thread asks, the others wait.

    Args:
        ask: Finds the answer.
        monotonic: Seconds that never go back.
        for_s: How long an answer serves.
    """

    def __init__(
        self, ask: Callable[[], T], monotonic: Callable[[], float], for_s: float = _SOON_S
    ) -> None:
        self._ask, self._monotonic, self._for_s = ask, monotonic, for_s
        self._lock = threading.Lock()
        self._known: tuple[float, T] | None = None

    def __call__(self) -> T:
        """Return the answer."""
        with self._lock:
            now = self._monotonic()
            if self._known is None or now - self._known[0] >= self._for_s:
                self._known = (now, self._ask())
            return self._known[1]

    def forget(self) -> None:
        """Ask anew the next time."""
        with self._lock:
            self._known = None


class Api:
    """The state of one application."""

    def __init__(self, deps: ApiDeps) -> None:
        settings, monotonic = deps.settings, deps.clock.monotonic
        self.deps = deps
        self.store, self.settings = deps.store, settings
        self.authenticator = Authenticator(deps.store, deps.clock, settings)
        self.rate = RateLimit(settings.rate_per_s, settings.rate_burst, monotonic)
        self.streams = StreamCap(settings.max_streams, settings.max_streams_per_user)
        self.one_at_a_time = CapacityLimiter(1)
        self.writers = CapacityLimiter(settings.writers)
        self.http = HttpStats()
        self.running = Remembered(self._running, monotonic)
        self.runs: Remembered[list[RunEntry]] = Remembered(
            lambda: list_runs(deps.runs_dir), monotonic
        )
        self.unreadiness = Remembered(self._unreadiness, monotonic)
        self.exporter = Exporter(
            counts=Remembered(deps.store.counts, monotonic),
            gpus=self.cards,
            stats=deps.stats,
            http=self.http,
            streams=lambda: self.streams.open,
        )

    def cards(self) -> tuple[Gpu, ...]:
        """Return every card; one that a job was given is ours before anything is on it."""
        given = {
            grant.uuid
            for job in self.running()
            for grant in (job.current.grants if job.current else ())
        }
        return tuple(
            replace(gpu, condition=Condition.OURS)
            if gpu.condition is Condition.FREE and gpu.uuid in given
            else gpu
            for gpu in self.deps.gpus()
        )

    def audit(self, identity: Identity, action: str, target: str) -> None:
        """Remember who did what."""
        now = self.deps.clock.now()
        self.store.audit(user=identity.user, action=action, target=target, now=now)

    def _unreadiness(self) -> tuple[str, ...]:
        deps = self.deps
        return unreadiness(self.store, self.settings, deps.clock.now(), deps.gpus_age_s())

    def _running(self) -> tuple[Job, ...]:
        """Return the jobs that hold cards; a cluster has fewer cards than a queue has jobs."""
        found: list[Job] = []
        cursor: str | None = None
        while len(found) < _MAX_RUNNING:
            page = self.store.page(limit=_PAGE, cursor=cursor, states=(JobState.RUNNING,))
            found += page.jobs
            cursor = page.next_cursor
            if cursor is None:
                break
        return tuple(found)


async def the_api(request: Request) -> Api:
    """Return the state of the application a request came to."""
    api: Api = request.app.state.api
    return api


ApiDep = Annotated[Api, Depends(the_api)]
