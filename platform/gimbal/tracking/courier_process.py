"""Starts, hears and ends the courier from the run's process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gimbal
from gimbal.tracking import outbox, uris
from gimbal.tracking.control import heard

_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""The outbox is what repeats; a call that repeats itself for minutes only hides an outage."""
_OUT_OF_PATIENCE_S = 2.0
_LOG_BYTES = 1 << 20


def mlflow_environment(uri: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a process that runs MLflow on a store, without its telemetry."""
    source_root = str(Path(gimbal.__file__).parents[1])
    path = os.pathsep.join(filter(None, (source_root, environment.get("PYTHONPATH"))))
    return {
        **_DEFAULTS,
        **environment,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        uris.ENVIRONMENT_VARIABLE: uri,
        "PYTHONPATH": path,
    }


class CourierProcess:
    """A running courier.

    Args:
        arguments: Its command line; see `courier.main`.
        uri: The store.
        log: File for MLflow's own chatter.
        on_warning: Called, from another thread, with each sentence for the user.
        on_end: Called, from another thread, when it has ended.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        uri: str,
        log: Path,
        on_warning: Callable[[str], None],
        *,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_warning = on_warning
        self._on_end = on_end
        with log.open("wb" if _large(log) else "ab") as log_file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gimbal.tracking.courier", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                text=True,
                env=mlflow_environment(uri),
                start_new_session=True,
            )
        self._listener = threading.Thread(
            target=self._listen, name="gimbal-tracking-voice", daemon=True
        )
        self._listener.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def close(self, timeout_s: float) -> None:
        """Let it deliver for at most this long, then end it."""
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write(f"close {timeout_s}\n")
                self._process.stdin.flush()
        self.wait(timeout_s + _OUT_OF_PATIENCE_S)

    def wait(self, timeout_s: float) -> None:
        """Wait for its end; a courier that hangs in a call is killed, which loses nothing."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(1.0)
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _listen(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as voice:
            for line in voice:
                if sentence := heard(line):
                    # The border to the caller's code: a broken screen must not end the listening.
                    with contextlib.suppress(Exception):
                        self._on_warning(sentence)
        self._on_end()


def courier_log(run_dir: Path) -> Path:
    """Return where a run's courier writes what MLflow prints."""
    return outbox.folder(run_dir) / "courier.log"


def _large(path: Path) -> bool:
    return path.exists() and path.stat().st_size > _LOG_BYTES
