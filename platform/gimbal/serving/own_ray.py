"""A Ray of the service's own, on loopback, as a child that ends with the service.

`ray.init` could start one inside this process, but then one of Ray's ports is fixed (the agent's,
52365), so that a second Ray on the machine takes no jobs. A child can be given free ports for all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gimbal.errors import GimbalError

LOOPBACK = {
    # Despite its name: the node is 127.0.0.1, and every server of Ray binds to it alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Clients of such a Ray need it as well, before they import Ray."""
_START_S = 180.0
"""On a machine with a load of 30 it was seen to take a minute."""
_STOP_S = 15.0
_POLL_S = 0.1
_PR_SET_PDEATHSIG = 1


class RayUnavailable(GimbalError):
    """No Ray could be reached or started."""

    exit_code = 3


@contextmanager
def own_ray(cpus: int, gpus: int | None) -> Iterator[tuple[str, str]]:
    """Run a Ray for as long as the block runs; it also ends when this process is killed.

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
    with (folder / "start.log").open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **LOOPBACK},
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        _wait(child, url, folder / "start.log")
        yield f"127.0.0.1:{port}", url
    finally:
        _end(child)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not _answers(url):
        if child.poll() is not None or time.monotonic() > deadline:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise RayUnavailable(
                f"Ray could not be started: {lines[-1] if lines else 'it says nothing'}",
                "is this machine short of memory or very busy? Try again",
            )
        time.sleep(_POLL_S)


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


def _ray_command() -> Path:
    return Path(sys.executable).with_name("ray")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for made in sockets:
            made.bind(("127.0.0.1", 0))
        return [made.getsockname()[1] for made in sockets]
