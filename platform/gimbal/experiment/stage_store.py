"""Every finished stage, kept once for all runs: `runs/.stages/<workload>.<stage>/<print>-gN/`.

A folder is finished when its `stage.json` is there, which is written last and in one step. A
forced rerun makes the next generation and leaves the older one whole until the new one is
finished; the newest finished generation counts, and later stages see a new generation as a changed
input. A lock per fingerprint lets only one process build a stage; the kernel frees it however its
holder dies.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from gimbal.errors import StageFailed, StorageError
from gimbal.experiment.files import (
    atomic_write_json,
    ensure_folder,
    read_json,
    storage_error,
    storage_errors,
)
from gimbal.experiment.fingerprint import Fingerprint
from gimbal.experiment.plain import to_plain
from gimbal.experiment.process_identity import this_process
from gimbal.experiment.run_state import utc_now
from gimbal.experiment.stage_files import file_hashes
from gimbal.experiment.stage_holder import Holder, read_holder

STORE_FOLDER = ".stages"
STAGE_FILE = "stage.json"
_FORMAT = 1
_PRINT_DIGITS = 16
_POLL_S = 0.2
_TELL_AGAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class StageKey:
    """Names one result: a stage of a workload with a fingerprint."""

    workload: str
    stage: str
    fingerprint: Fingerprint

    @property
    def folder(self) -> str:
        """The folder of all results of that stage."""
        return f"{self.workload}.{self.stage}"

    @property
    def short(self) -> str:
        """The short fingerprint that names the result's folders."""
        return self.fingerprint.digest[:_PRINT_DIGITS]


class StageRecord(BaseModel):
    """What `stage.json` says about a finished stage."""

    model_config = ConfigDict(frozen=True)

    format: int = _FORMAT
    workload: str
    stage: str
    fingerprint: str
    parts: dict[str, Any]
    metrics: dict[str, Any]
    gates: list[dict[str, Any]] = []
    seconds: float
    files: dict[str, str] = {}
    """SHA-256 of the small files in its folder by name, see `stage_files`; older ones have none."""
    provenance: str = ""
    """The run whose `provenance.json` tells which code and machine built it."""
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class StoredStage:
    """A finished stage in the store."""

    path: Path
    generation: int
    record: StageRecord

    @property
    def identity(self) -> str:
        """What later stages take as this input's fingerprint; a forced rerun changes it."""
        fingerprint = self.record.fingerprint
        return fingerprint if self.generation == 0 else f"{fingerprint}-g{self.generation}"


OnWait = Callable[[Holder | None, float], None]
"""Called with the holder, if known, and the seconds waited: at once, then every half minute."""


class StageStore:
    """The finished stages in a runs folder.

    Args:
        runs_dir: The folder of all runs; any number of processes may share it.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.root = runs_dir / STORE_FOLDER

    @contextlib.contextmanager
    def lock(
        self,
        key: StageKey,
        *,
        run: str = "",
        on_wait: OnWait | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[None]:
        """Hold the right to build a stage; ask `finished` again once inside.

        Args:
            key: The stage.
            run: Path of the run that builds, shown to those who wait.
            on_wait: Told while another process holds it.
            stop: Ends the waiting with `InterruptedError` when set.

        Raises:
            StorageError: If the store cannot be written, or its file system has no locks.
        """
        folder = ensure_folder(self.root / key.folder)
        lock = FileLock(
            folder / f"{key.short}.lock", fallback_to_soft=False, preserve_lock_file=True
        )
        holder = folder / f"{key.short}.holder.json"
        self._acquire(lock, holder, on_wait, stop)
        try:
            me = {"process": this_process().model_dump(), "run": run, "since": str(utc_now())}
            atomic_write_json(holder, me)
            yield
        finally:
            with contextlib.suppress(OSError):
                holder.unlink()
            lock.release()

    def finished(self, key: StageKey) -> StoredStage | None:
        """Return the newest finished generation, or None."""
        for generation, path in reversed(self._generations(key)):
            record = _read_record(path)
            if record is not None and record.fingerprint == key.fingerprint.digest:
                return StoredStage(path, generation, record)
        return None

    def begin(self, key: StageKey, *, force: bool = False) -> Path:
        """Return the folder to build in, while holding the lock.

        An unfinished one is continued, with the files it has; with `force` a finished stage gets a
        new generation.

        Raises:
            StorageError: If the folder cannot be made, or the stage is finished and not forced.
        """
        newest, path = (self._generations(key) or [(-1, self.root)])[-1]
        if newest >= 0 and not (path / STAGE_FILE).exists():
            return path
        if newest >= 0 and not force:
            if self.finished(key) is not None:
                raise StorageError(f"{path} is already finished", "use it, or rerun with --force")
            with storage_errors(path / STAGE_FILE, "remove"):
                (path / STAGE_FILE).unlink()  # damaged, or another stage's with the same prefix
            return path
        return ensure_folder(self.root / key.folder / f"{key.short}-g{newest + 1}")

    def commit(
        self,
        key: StageKey,
        path: Path,
        *,
        metrics: Mapping[str, Any],
        seconds: float,
        gates: Sequence[Mapping[str, Any]] = (),
        provenance: str = "",
    ) -> StoredStage:
        """Declare a stage finished by writing its `stage.json`, with the hashes of its files.

        Args:
            key: The stage.
            path: What `begin` returned.
            metrics: The numbers it reported; JSON values.
            seconds: How long it took, over all attempts.
            gates: What its gates found.
            provenance: The run that built it.

        Raises:
            StorageError: If it cannot be written; the stage then stays unfinished.
            StageFailed: If a metric is no plain value.
        """
        record = StageRecord(
            workload=key.workload,
            stage=key.stage,
            fingerprint=key.fingerprint.digest,
            parts=dict(key.fingerprint.parts),
            metrics=_numbers(key, metrics),
            gates=[dict(gate) for gate in gates],
            seconds=seconds,
            files=file_hashes(path),
            provenance=provenance,
            finished_at=utc_now(),
        )
        atomic_write_json(path / STAGE_FILE, record.model_dump(mode="json"))
        return StoredStage(path, int(path.name.rpartition("-g")[2]), record)

    def previous(self, key: StageKey, fingerprint: str | None) -> StoredStage | None:
        """Return another result of the same stage, to explain a rerun by.

        Args:
            key: What is about to be built.
            fingerprint: Digest or `StoredStage.identity` of the earlier result.
        """
        if fingerprint is None:
            return None
        digest = fingerprint.partition("-")[0]
        for path in _folders(self.root / key.folder, rf"{digest[:_PRINT_DIGITS]}-g\d+"):
            record = _read_record(path)
            if record is not None and record.fingerprint != key.fingerprint.digest:
                return StoredStage(path, int(path.name.rpartition("-g")[2]), record)
        return None

    def _generations(self, key: StageKey) -> list[tuple[int, Path]]:
        found = _folders(self.root / key.folder, rf"{key.short}-g\d+")
        return sorted((int(path.name.rpartition("-g")[2]), path) for path in found)

    def _acquire(
        self, lock: Any, holder: Path, on_wait: OnWait | None, stop: threading.Event | None
    ) -> None:
        began = time.monotonic()
        told = -_TELL_AGAIN_S
        while True:
            try:
                lock.acquire(timeout=0)
                return
            except Timeout:
                waited = time.monotonic() - began
            except OSError as error:
                raise storage_error(error, lock.lock_file, "lock") from error
            if on_wait is not None and waited - told >= _TELL_AGAIN_S:
                told = waited
                on_wait(read_holder(holder), waited)
            if stop is not None and stop.wait(_POLL_S):
                raise InterruptedError("stopped while waiting for another run's stage")
            if stop is None:
                time.sleep(_POLL_S)


def _numbers(key: StageKey, metrics: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {name: to_plain(value) for name, value in metrics.items()}
    except TypeError as error:
        raise StageFailed(
            f"stage {key.stage} returned metrics that cannot be kept: {error}",
            "return numbers, texts, lists and mappings of them",
        ) from error


def _folders(folder: Path, pattern: str) -> list[Path]:
    try:
        return [p for p in folder.iterdir() if re.fullmatch(pattern, p.name) and p.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, folder, "read") from error


def _read_record(path: Path) -> StageRecord | None:
    """Return a finished stage's record; a missing or damaged one counts as unfinished."""
    try:
        record = StageRecord.model_validate(read_json(path / STAGE_FILE))
    except (StorageError, ValidationError):
        return None
    return record if record.format == _FORMAT else None
