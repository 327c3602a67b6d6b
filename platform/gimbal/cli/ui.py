"""`gimbal ui`: MLflow's page on the store that runs write to, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from rich.console import Console

from gimbal.errors import GimbalError
from gimbal.experiment.settings import TrackingSettings
from gimbal.tracking import outbox, resolve_uri, sync, uris
from gimbal.tracking.courier_process import mlflow_environment
from gimbal.tracking.state import IDENTITY_FILE, load_identity, shown_uri

START_TIMEOUT_S = 180.0
"""A first start on a loaded laptop was seen to take 40 s."""
_TRACKED = f"*/*/{outbox.FOLDER}/{IDENTITY_FILE}"
_PORTS_TRIED = 100
_POLL_S = 0.2
_STOP_S = 10.0
_SERVER_ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
_REMEDY = "run `gimbal doctor`; it checks the store"


class UiFailed(GimbalError):
    """The page could not be served."""


def ui_command(runs_dir: Path, host: str, port: int) -> int:
    """Serve MLflow's page until Ctrl-C; print its address.

    Args:
        runs_dir: The folder of all runs.
        host: Address to listen on.
        port: Port; the next free one is taken when it is in use.

    Returns:
        The exit code.

    Raises:
        GimbalError: The page could not be served.
    """
    console = Console(highlight=False, soft_wrap=True)
    uri = resolve_uri(TrackingSettings(), runs_dir)
    if uris.is_server(uri):
        console.print(f"MLflow is a server of its own: {uris.redacted(uri)}")
        return 0
    database = uris.database_file(uri)
    if database is not None and not database.exists() and not _any_run(runs_dir):
        console.print(
            f"no runs in {runs_dir.absolute()} yet; "
            "make one with `gimbal run configs/nbv/quickstart.yaml`, "
            "or name another folder with --runs-dir"
        )
        return 0
    with console.status("delivering what earlier runs kept back"):
        report = sync(runs_dir, on_warning=console.print)
    if report.delivered or report.remaining:
        console.print(str(report))
    for store in other_stores(runs_dir, uri):
        console.print(f"some runs here are in {store}: set MLFLOW_TRACKING_URI to see those")
    _serve_until_stopped(uri, host, port, console)
    return 0


def other_stores(runs_dir: Path, uri: str) -> list[str]:
    """Return the stores, other than `uri`, that runs of a folder were told to; no passwords."""
    run_dirs = (file.parent.parent for file in runs_dir.glob(_TRACKED))
    stores = {identity.uri for run_dir in run_dirs if (identity := load_identity(run_dir))}
    return sorted(stores - {shown_uri(uri, runs_dir)})


def _any_run(runs_dir: Path) -> bool:
    return next(runs_dir.glob(_TRACKED), None) is not None


def _serve_until_stopped(uri: str, host: str, port: int, console: Console) -> None:
    chosen = free_port(host, port)
    if chosen != port:
        console.print(f"port {port} is taken; using {chosen}")
    try:
        with _ended_by_signals(), UiServer.start(uri, host, chosen) as server:
            with console.status("starting MLflow (some seconds)"):
                server.wait_until_ready(START_TIMEOUT_S)
            console.print(f"MLflow: {server.url}   (store {uris.redacted(uri)}; Ctrl-C ends it)")
            server.wait()
    except KeyboardInterrupt:
        console.print("stopped")


def free_port(host: str, first: int) -> int:
    """Return the first free port from `first` on.

    Raises:
        UiFailed: The address is not this machine's, or no port is free.
    """
    for port in range(first, min(first + _PORTS_TRIED, 65536)):
        with socket.socket(_family(host)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise UiFailed(
        f"no port of {host} from {first} on can be opened",
        "check --host (127.0.0.1 is this machine only, 0.0.0.0 all networks) or choose --port",
    )


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@dataclass(frozen=True, slots=True)
class UiServer:
    """MLflow's server as a child process; leaving the `with` block ends it."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]
    url: str

    @classmethod
    def start(cls, uri: str, host: str, port: int) -> UiServer:
        """Start it on a store."""
        log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the server
        process = subprocess.Popen(
            _arguments(uri, host, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**mlflow_environment(uri), **_SERVER_ENVIRONMENT, "MLFLOW_BACKEND_STORE_URI": uri},
            start_new_session=True,
        )
        return cls(process, log, f"http://{_shown(host)}:{port}")

    def __enter__(self) -> UiServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until the page is there.

        Raises:
            UiFailed: MLflow ended, or took too long; with the last lines it printed.
        """
        deadline = time.monotonic() + timeout_s
        while not self._healthy():
            if self.process.poll() is not None:
                raise UiFailed(f"MLflow ended at once:\n{self._last_words()}", _REMEDY)
            if time.monotonic() > deadline:
                raise UiFailed(
                    f"MLflow did not start within {timeout_s:.0f} s:\n{self._last_words()}", _REMEDY
                )
            time.sleep(_POLL_S)

    def wait(self) -> None:
        """Wait for its end.

        Raises:
            UiFailed: It ended by itself.
        """
        code = self.process.wait()
        raise UiFailed(f"MLflow ended with code {code}:\n{self._last_words()}", _REMEDY)

    def stop(self) -> None:
        """End the server and its workers."""
        try:
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_S)
        finally:
            # Also on a second Ctrl-C, and for workers whose server died without them.
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.log.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _last_words(self) -> str:
        self.log.seek(0)
        return "\n".join(self.log.read().decode(errors="replace").splitlines()[-5:])


def _arguments(uri: str, host: str, port: int) -> list[str]:
    artifacts = uris.artifact_folder(uri)
    place = ["--default-artifact-root", artifacts.as_uri()] if artifacts else []
    return [
        *(sys.executable, "-P", "-m", "mlflow", "server"),
        *("--host", host, "--port", str(port), "--workers", "1", *place),
    ]


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Treat a termination or a closed terminal as Ctrl-C: the server never outlives the command."""
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
