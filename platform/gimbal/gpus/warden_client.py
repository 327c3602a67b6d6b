"""Talks to the warden from a process connected to Ray; never waits long for a Ray that is silent.

Calls of Ray's client can block for a minute while its head is away. So each runs in a thread of its
own, which is left behind when time is up; a few left behind are enough to stop asking.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from gimbal.errors import ConfigError
from gimbal.gpus.agents import NAMESPACE
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.slots import CardsTaken
from gimbal.gpus.warden import WardenNotReady
from gimbal.gpus.warden_actor import get_or_create, warden_version

log = logging.getLogger(__name__)

QUICK_S = 8.0
"""For questions, which the warden answers within milliseconds; also for its start."""
RESERVE_S = 60.0
"""For a reservation: cold worker processes have to be started to see which cards came."""
_CHECK_S = 30.0
"""How often it is asked whether the warden's driver lives."""
_LEFT_BEHIND = 4

T = TypeVar("T")


class WardenUnavailable(Exception):
    """Ray or its warden does not answer; ask again later, conclude nothing."""


class WardenClient:
    """A client of the cluster's warden, which it starts if there is none.

    Args:
        occupancy: When a card counts as free.
        fence: How patient the fence is.
    """

    def __init__(self, occupancy: OccupancySettings, fence: FenceSettings) -> None:
        self._occupancy = occupancy
        self._fence = fence
        self._version = ""
        self._handle: Any = None
        self._checked_at = 0.0
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_LEFT_BEHIND)

    def call(self, method: str, *args: Any, timeout_s: float = QUICK_S) -> Any:
        """Return what a method of `gimbal.gpus.warden.Warden` returns.

        Raises:
            CardsTaken: As the method says.
            ConfigError: This process is in another namespace than Gimbal's.
            WardenUnavailable: There was no answer in time, or the warden died meanwhile: what was
                asked for may or may not have been done.
        """
        try:
            return self._within(timeout_s, lambda: self._call(method, args, timeout_s))
        except (CardsTaken, WardenUnavailable):
            raise
        except WardenNotReady as error:
            raise WardenUnavailable(str(error)) from error
        except ray.exceptions.GetTimeoutError as error:
            raise WardenUnavailable(f"the warden did not answer within {timeout_s:g} s") from error
        except (ray.exceptions.RayError, ConnectionError, ValueError, RuntimeError) as error:
            self._handle = None  # the next call finds it restarted, or starts another
            words = (str(error).splitlines() or [type(error).__name__])[0]
            raise WardenUnavailable(f"the warden cannot be asked: {words}") from error

    def _call(self, method: str, args: tuple[Any, ...], timeout_s: float) -> Any:
        handle = self._connected(timeout_s)
        return _answer(getattr(handle, method).remote(*args), timeout_s)

    def _connected(self, timeout_s: float) -> Any:
        with self._lock:
            now = time.monotonic()
            if self._handle is None or now - self._checked_at > _CHECK_S:
                if not ray.is_initialized():
                    raise WardenUnavailable("this process is not connected to Ray")
                _require_namespace()
                self._handle = self._current(timeout_s)
                self._checked_at = now
            return self._handle

    def _current(self, timeout_s: float) -> Any:
        """Return the warden; one of other code or settings, or without a driver, is replaced.

        Code and settings are compared once: two services that differ must not go on and on
        replacing each other's.
        """
        is_first = not self._version
        self._version = self._version or warden_version(self._occupancy, self._fence)
        handle = get_or_create(self._occupancy, self._fence, self._version)
        if is_first and _answer(handle.version.remote(), timeout_s) != self._version:
            log.info("replacing a warden with other code or settings")
            _answer(handle.end_agents.remote(), timeout_s)
        elif _answer(handle.is_orphaned.remote(), timeout_s):
            log.info("replacing a warden whose driver is gone")
        else:
            return handle
        ray.kill(handle)
        return get_or_create(self._occupancy, self._fence, self._version)

    def _within(self, seconds: float, what: Callable[[], T]) -> T:
        if not self._waiting.acquire(blocking=False):
            raise WardenUnavailable("Ray has not answered several questions yet")
        result: list[T] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                result.append(what())
            except BaseException as error:  # a thread's border: raised again in the caller's
                failure.append(error)
            finally:
                self._waiting.release()

        thread = threading.Thread(target=work, name="warden-call", daemon=True)
        thread.start()
        thread.join(seconds + 1.0)
        if failure:
            raise failure[0]
        if not result:
            raise WardenUnavailable(f"Ray did not answer within {seconds:g} s")
        return result[0]


def _require_namespace() -> None:
    """Refuse to start a warden whose groups nobody would find by their names.

    Ray keeps the names of placement groups in the namespace of the *driver* an actor comes from,
    whatever the actor's own is.

    Raises:
        ConfigError: This process is in another one.
    """
    namespace = ray.get_runtime_context().namespace
    if namespace != NAMESPACE:
        raise ConfigError(
            f"this process is in Ray's namespace {namespace!r}",
            f"connect with ray.init(namespace={NAMESPACE!r})",
        )


def _answer(ref: Any, timeout_s: float) -> Any:
    """Return a method's result; what it raised is raised as itself, not wrapped by Ray."""
    try:
        return ray.get(ref, timeout=timeout_s)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from error
        raise
