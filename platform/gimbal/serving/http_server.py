"""uvicorn on a socket that is bound before anything slow begins."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from gimbal.errors import GimbalError

_GRACE_S = 3


class CannotListen(GimbalError):
    """The address is not this machine's, or its port is taken."""

    exit_code = 3


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that has its address, and listens once the server runs.

    Raises:
        CannotListen: Naming the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only of a socket that says it is TCP does asyncio turn Nagle's algorithm off, which would hold
    # back the second half of an answer for 40 ms.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), port))
    except OSError as error:
        made.close()
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            "is another `gimbal serve` running there? Choose another --port",
        ) from error
    return made


def url_of(bound: socket.socket) -> str:
    """Return the URL clients on this machine reach a socket under."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """A server that ends on SIGINT or SIGTERM and leaves it at that.

    uvicorn raises the signal again when it has ended, which would cut short what the service does
    after it; and Ray puts in a handler that exits on the spot.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle both signals for the time of serving."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve_app(app: Any, bound: socket.socket, ready: Callable[[], None]) -> None:
    """Serve an application until SIGINT or SIGTERM.

    Args:
        app: The application.
        bound: Its socket.
        ready: Called once requests are answered.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=64 * 1024,
    )
    Server(config, ready).run(sockets=[bound])
