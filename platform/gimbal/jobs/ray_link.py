"""Keeps this process connected to a Ray whose head may die and come back as another one.

Ray's client cannot do that by itself. It ends the whole process once its head has been away for a
minute, and aborts it if some questions reach a head that was started anew. So the connection is
closed as soon as nobody listens any more, and opened again when a head answers, told apart by the
name of its session. Call `outlive_ray` before the first `ray.init`: a question left behind in a
thread would end the process all the same.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from gimbal.jobs.controller.events import event

NAMESPACE = "gimbal"
_AWAY_S = 5.0
"""How long nobody listens before the connection is closed: longer than a network hiccup, far from
the minute after which Ray would end this process."""
_PATIENCE_S = 7 * 86_400
"""How long Ray's client may look for its head: a week, longer than anybody leaves it broken."""
_PAUSE_S = 2.0
"""Between two looks: one may take a second."""


def outlive_ray() -> None:
    """Let this process, and those it starts from now on, live on without Ray's head.

    Must come before `ray.init`; Ray reads the variable only then. Nor may Ray connect by itself,
    to whatever it finds, when something is asked while the connection is closed.
    """
    from ray._private import auto_init_hook

    auto_init_hook.enable_auto_connect = False
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(_PATIENCE_S))


class RayLink:
    """Mends the connection of this process to Ray.

    Args:
        listens: Whether anybody listens at the head's address.
        session: Returns the name of the session that answers there; None: there is no answer.
        connect: Connects this process.
        disconnect: Closes its connection.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        listens: Callable[[], bool],
        session: Callable[[], str | None],
        connect: Callable[[], None],
        disconnect: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listens, self._session = listens, session
        self._connect, self._disconnect = connect, disconnect
        self._clock = clock
        self._lock = threading.Lock()
        self._connected = True
        self._known = session()
        self._looked = float("-inf")
        self._away_since: float | None = None

    def listening(self) -> bool:
        """Return whether anybody listens there; ask before anything that could wait for Ray.

        A question that waits for a head which is gone ends this process after a minute, even one
        left behind in a thread.
        """
        return self._listens()

    def mend(self) -> bool:
        """Look what is the matter, after a question that was not answered.

        Returns:
            Whether the connection was closed or is a new one; whatever was had of the old one is of
            no use.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._clock() - self._looked < _PAUSE_S:
                return False
            mended = self._look()
            self._looked = self._clock()
            return mended
        finally:
            self._lock.release()

    def _look(self) -> bool:
        if not self._listens():
            return self._nobody_there()
        self._away_since = None
        session = self._session()
        if session is None or (self._connected and session == self._known):
            return False
        if self._connected and self._known is None:
            self._known = session
            return False
        return self._renew(session)

    def _nobody_there(self) -> bool:
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
        if not self._connected or now - self._away_since < _AWAY_S:
            return False
        event("ray_head_gone", level=logging.WARNING)
        self._disconnect()
        self._connected = False
        return True

    def _renew(self, session: str) -> bool:
        event("ray_connecting_again", session=session)
        if self._connected:
            self._disconnect()
            self._connected = False
        try:
            self._connect()
        except Exception as error:  # Ray raises bare exceptions; the next look tries again
            event("ray_not_connected", level=logging.WARNING, words=type(error).__name__)
            return True
        self._connected, self._known = True, session
        return True


def link_to(address: str, session: Callable[[], str | None]) -> RayLink:
    """Return the link of a process that is connected to a Ray.

    Args:
        address: `host:port` of its GCS.
        session: As for `RayLink`; `RayLauncher.session`.
    """
    host, _, port = address.rpartition(":")

    def listens() -> bool:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=1.0):
                return True
        except OSError:
            return False

    def connect() -> None:
        import ray

        ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)

    def disconnect() -> None:
        import ray

        ray.shutdown()

    return RayLink(listens=listens, session=session, connect=connect, disconnect=disconnect)
