"""What a trial says while it runs: lines in its attempt's log, for whoever asks why."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from gimbal.experiment.files import ensure_folder, storage_errors
from gimbal.experiment.stage import GateResult
from gimbal.pipeline.events import SilentObserver

_PROGRESS_EVERY_S = 15.0


class TrialLog(SilentObserver):
    """An `Observer` that writes lines to a file.

    Args:
        path: The log; lines are appended.
        on_begin: Called with the run's folder as soon as there is one.
    """

    def __init__(self, path: Path, on_begin: Callable[[str], None]) -> None:
        self._path = path
        self._on_begin = on_begin
        self._last_s = 0.0

    def __enter__(self) -> Self:
        ensure_folder(self._path.parent)
        with storage_errors(self._path, "write"):
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def run_started(self, run_dir: str, stages: tuple[str, ...], resumed: bool) -> None:
        """Note the run."""
        self._say(f"{'continuing' if resumed else 'run'} {run_dir}: {' → '.join(stages)}")
        self._on_begin(run_dir)

    def stage_skipped(self, name: str, reason: str) -> None:
        """Note a stage that was finished before."""
        self._say(f"{name}: {reason}")

    def stage_waiting(self, name: str, holder: str) -> None:
        """Note who is building a stage."""
        self._say(f"{name}: is being built by {holder}; waiting")

    def stage_started(self, name: str, reason: str) -> None:
        """Note that a stage runs."""
        self._say(f"{name}: started{f', {reason}' if reason else ''}")

    def stage_progress(self, name: str, done: int, total: int, words: str) -> None:
        """Note now and then how far it is."""
        if time.monotonic() - self._last_s > _PROGRESS_EVERY_S:
            self._last_s = time.monotonic()
            self._say(f"{name}: {done}/{total} {words}")

    def stage_finished(self, name: str, seconds: float) -> None:
        """Note that a stage is whole."""
        self._say(f"{name}: finished in {seconds:.1f} s")

    def gate_checked(self, stage: str, result: GateResult) -> None:
        """Note what a gate found."""
        self._say(f"gate {stage}/{result.name}: {result.message}")

    def notice(self, message: str) -> None:
        """Note something worth reading."""
        self._say(message)

    def _say(self, line: str) -> None:
        self._file.write(f"{time.strftime('%H:%M:%S')} {line}\n")
