"""A Ray of the service's own, on loopback, as a child that ends with the service.

`ray.init` could start one inside this process, but then one of Ray's ports is fixed (the agent's,
52365), so that a second Ray on the machine takes no jobs. A child can be given free ports for all.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gimbal.errors import GimbalError

logger = logging.getLogger(__name__)

LOOPBACK = {
    # Despite its name: the node is 127.0.0.1, and every server of Ray binds to it alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Clients of such a Ray need it as well, before they import Ray."""
_AT_ONCE = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
"""Ray would let drivers live on for half a minute, while another service starts their jobs anew."""
_START_S = 180.0
"""On a machine with a load of 30 it was seen to take a minute."""
_STOP_S = 8.0
_POLL_S = 0.1
_PAUSE_S = 2.0
"""Before a Ray that died is started again: what is left of it ends meanwhile."""
_PR_SET_PDEATHSIG = 1


class RayUnavailable(GimbalError):
    """No Ray could be reached or started."""

    exit_code = 3


@contextmanager
def own_ray(cpus: int, gpus: int | None) -> Iterator[tuple[str, str]]:
    """Run a Ray for as long as the block runs; it also ends when this process is killed.

    Where it dies by itself it is started again, under the same addresses.

    Args:
        cpus: Logical CPUs.
        gpus: GPUs; None: what Ray detects.

    Yields:
        Address of its GCS, and URL of its dashboard.

    Raises:
        RayUnavailable: It does not come up.
    """
    _ensure_token()
    port, dashboard, client = _free_ports(3)
    # Paths of sockets may have 107 characters, so it is not in the runs folder.
    folder = Path(tempfile.mkdtemp(prefix="gimbal-ray-", dir="/tmp"))
    command = [
        *(str(_ray_command()), "start", "--head", "--block", f"--temp-dir={folder}"),
        *(f"--port={port}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"),
        *("--dashboard-host=127.0.0.1", "--dashboard-agent-listen-port=0"),
        *("--include-dashboard=true", "--disable-usage-stats", f"--num-cpus={cpus}"),
        *([] if gpus is None else [f"--num-gpus={gpus}"]),
    ]
    url = f"http://127.0.0.1:{dashboard}"
    head = _Head(command, url, folder / "start.log")
    try:
        head.start()
        yield f"127.0.0.1:{port}", url
    finally:
        head.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Head:
    """The child, started again whenever it has died."""

    def __init__(self, command: Sequence[str], url: str, log: Path) -> None:
        self._command, self._url, self._log = command, url, log
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="own-ray", daemon=True)
        self._child = self._spawn()

    def start(self) -> None:
        """Wait until it answers, then keep it."""
        deadline = time.monotonic() + _START_S
        while not _answers(self._url):
            if self._child.poll() is not None or time.monotonic() > deadline:
                text = self._log.read_text(errors="replace")
                lines = [line for line in text.splitlines() if line.strip()]
                raise RayUnavailable(
                    f"Ray could not be started: {lines[-1] if lines else 'it says nothing'}",
                    "is this machine short of memory or very busy? Try again",
                )
            time.sleep(_POLL_S)
        self._keeper.start()

    def close(self) -> None:
        """End it and whatever of it stays behind."""
        self._closed.set()
        _end(self._child)
        if self._keeper.is_alive():
            self._keeper.join(_STOP_S)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **LOOPBACK, **_AT_ONCE},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def _keep(self) -> None:
        while not self._closed.is_set():
            self._child.wait()
            if self._closed.wait(_PAUSE_S):
                return
            logger.warning("Ray has ended with %s; it is started again", self._child.returncode)
            _end(self._child)
            self._child = self._spawn()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True  # it asks for a token: it is there
    except (OSError, ValueError):
        return False


def _end(child: subprocess.Popen[bytes]) -> None:
    """End Ray and whatever of it stays behind."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_STOP_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _end_with_parent() -> None:
    """Runs in the child: Linux ends it with SIGTERM when the service is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _ensure_token() -> None:
    """Let Ray make the token its clients need, if it needs one and there is none."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return
    done = subprocess.run(
        [str(_ray_command()), "get-auth-token", "--generate"], capture_output=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise RayUnavailable(
            f"Ray has no token and could not make one: {lines[-1] if lines else ''}",
            "set RAY_AUTH_TOKEN, or RAY_AUTH_MODE=disabled on a machine that is yours alone",
        )
    # Ray makes it readable by everybody, and whoever has it runs code as its owner.
    with contextlib.suppress(OSError):
        (Path.home() / ".ray" / "auth_token").chmod(0o600)


def _ray_command() -> Path:
    return Path(sys.executable).with_name("ray")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for made in sockets:
            made.bind(("127.0.0.1", 0))
        return [made.getsockname()[1] for made in sockets]
