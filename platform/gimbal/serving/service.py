"""`gimbal serve`: everything put together, started in order and ended in the opposite one."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Console

from gimbal.api.settings import require_loopback
from gimbal.experiment.files import ensure_folder
from gimbal.jobs.clock import SystemClock
from gimbal.jobs.controller.controller import Controller
from gimbal.jobs.ports import JobStore
from gimbal.jobs.ray_launcher import RayLauncher
from gimbal.jobs.ray_link import link_to
from gimbal.jobs.ray_warden import RayGpuWarden
from gimbal.jobs.schema import upgrade
from gimbal.jobs.sql_store import SqlJobStore, sqlite_url
from gimbal.serving.bootstrap import ensure_token
from gimbal.serving.explaining import Explainer
from gimbal.serving.fake import pretended
from gimbal.serving.gpu_cache import GpuCache
from gimbal.serving.http_server import bound_socket, serve_app, url_of
from gimbal.serving.logs import log_to_stderr
from gimbal.serving.ray_head import RayHead, ray_head
from gimbal.serving.settings import ServeSettings

logger = logging.getLogger(__name__)
DATABASE_FILE = "gimbal.db"
_STOP_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """What runs."""

    settings: ServeSettings
    runs_dir: Path
    store: JobStore
    clock: SystemClock
    controller: Controller
    cards: GpuCache


def serve(settings: ServeSettings) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Returns:
        The exit code.

    Raises:
        GimbalError: It could not be started.
    """
    if not settings.auth:
        require_loopback(settings.host)
    log_to_stderr()
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    runs_dir = ensure_folder(settings.runs_dir).absolute()
    address = settings.ray.address or os.environ.get("RAY_ADDRESS")
    with ExitStack() as stack:
        bound = stack.enter_context(_bound(settings))
        url = url_of(bound)
        store = stack.enter_context(_store(settings, runs_dir))
        clock = SystemClock()
        written = ensure_token(store, clock, url) if settings.auth else None
        gpus = stack.enter_context(pretended(settings.fake_gpus, joins=address is not None))
        control = stack.enter_context(_Control())
        say(f"joining the Ray at {address} …" if address else "starting Ray (some seconds) …")
        ray = settings.ray
        head = stack.enter_context(ray_head(address, ray.dashboard, cpus=ray.num_cpus, gpus=gpus))
        parts = _parts(settings, runs_dir, store, clock, head)
        stack.enter_context(_seen(parts.cards))
        if settings.control:
            control.start(parts.controller)
        lines = _greeting(url, runs_dir, written, auth=settings.auth)
        serve_app(_app(parts), bound, ready=lambda: say("\n".join(lines)))
        control.stop()
        say("stopping …" if not head.own else "stopping; jobs that run continue at the next start")
    return 0


def _greeting(url: str, runs_dir: Path, token_file: Path | None, *, auth: bool) -> list[str]:
    """Return what is said once requests are answered."""
    lines = [f"Gimbal serves at {url}   (runs in {runs_dir}; Ctrl-C ends it)"]
    lines.append(f"API     {url}/v1/openapi.json")
    if token_file:
        lines.append(f"token   {token_file}, read by `gimbal` on this machine")
    if not auth:
        lines.append("tokens are off: everybody on this machine is an operator")
    return lines


@contextmanager
def _bound(settings: ServeSettings) -> Iterator[socket.socket]:
    bound = bound_socket(settings.host, settings.port)
    try:
        yield bound
    finally:
        bound.close()


@contextmanager
def _store(settings: ServeSettings, runs_dir: Path) -> Iterator[JobStore]:
    url = settings.database or sqlite_url(runs_dir / DATABASE_FILE)
    upgrade(url)
    store = SqlJobStore(url)
    try:
        yield store
    finally:
        store.close()


def _parts(
    settings: ServeSettings, runs_dir: Path, store: JobStore, clock: SystemClock, head: RayHead
) -> _Parts:
    launcher = RayLauncher(head.dashboard, runs_dir)
    link = link_to(head.address, launcher.session)
    warden = RayGpuWarden(settings.gpus, settings.fence, link=link)
    controller = Controller(
        store=store,
        launcher=launcher,
        warden=warden,
        clock=clock,
        settings=settings.controller,
        policy=settings.policy,
        retry=settings.retry,
        runs_dir=runs_dir,
        tolerated_bytes=settings.gpus.tolerated_bytes,
    )
    return _Parts(
        settings=settings,
        runs_dir=runs_dir,
        store=store,
        clock=clock,
        controller=controller,
        cards=GpuCache(warden.snapshot),
    )


class _Control:
    """The controller's thread; keeps the lease until the service's own Ray has ended.

    To be entered before Ray is started, so that it is left after Ray has ended.
    """

    def __init__(self) -> None:
        self._stop, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._controller: Controller | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._over.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)

    def start(self, controller: Controller) -> None:
        """Begin to decide."""
        self._controller = controller
        self._thread = threading.Thread(
            target=controller.run, args=(self._stop, self._over), name="controller", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Decide nothing any more."""
        self._stop.set()
        if self._controller is not None:
            self._controller.wake()


@contextmanager
def _seen(cards: GpuCache) -> Iterator[None]:
    """Keep the copy of the cards fresh while the block runs."""
    cards.start()
    try:
        yield
    finally:
        cards.close()


def _app(parts: _Parts) -> object:
    from gimbal.api.app import create_app
    from gimbal.api.context import ApiDeps

    explainer = Explainer(parts.store, parts.cards.gpus, parts.clock, parts.settings)
    return create_app(
        ApiDeps(
            store=parts.store,
            gpus=parts.cards.gpus,
            explain=explainer.explain,
            clock=parts.clock,
            runs_dir=parts.runs_dir,
            settings=parts.settings.api.model_copy(update={"auth": parts.settings.auth}),
            stats=parts.controller.stats if parts.settings.control else None,
            gpus_age_s=parts.cards.age_s,
            wake=parts.controller.wake,
        )
    )
