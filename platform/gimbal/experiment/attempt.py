"""The folder through which a job service and one attempt of its job talk.

A file outlives either side, needs no network and is seen by every node that sees the runs folder:
the same folder all workers share anyway. Every file has one writer. A `gimbal run` that nobody
launched has no such folder, and everything here then answers "no".

    <runs>/.jobs/<job>/config.yaml          written by the service before anything starts
    <runs>/.jobs/<job>/<n>/grant.json       service: the cards, the reservation, the budget
    <runs>/.jobs/<job>/<n>/stop.json        service: leave at the next step, and why
    <runs>/.jobs/<job>/<n>/log.txt          driver: everything it and its stages print
    <runs>/.jobs/<job>/<n>/run.json         driver: which run folder it works in
    <runs>/.jobs/<job>/<n>/outcome.json     driver: how it ended
    <runs>/.jobs/<job>/<n>/worker-R.json    worker of rank R: its cards and its measured peak
    <runs>/.jobs/<job>/<n>/failure-R.json   worker of rank R: what it raised, and the cards then
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gimbal.errors import GimbalError, StorageError
from gimbal.experiment.files import atomic_write_text, ensure_folder

ATTEMPT_VARIABLE = "GIMBAL_ATTEMPT_DIR"
"""Set by the service in the environment of a job; names the attempt's folder."""
EXIT_PREEMPTED = 75
"""A run that checkpointed and left because it was asked to; EX_TEMPFAIL of sysexits.h."""
EXIT_CONTENDED = 76
"""A run that found its GPU taken by somebody else."""


class Preempted(GimbalError):
    """The run was asked to make room; it continues from its checkpoint."""

    exit_code = EXIT_PREEMPTED


class GpuContended(GimbalError):
    """Somebody else's process holds the memory this run needs."""

    exit_code = EXIT_CONTENDED


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class GrantedGpu(_Record):
    """A card given to one worker; `bundle` is its place in the reservation."""

    uuid: str
    node: str
    index: int
    bundle: int
    share: float = 1.0


class GrantFile(_Record):
    """What the attempt was given.

    Attributes:
        job: The job's id.
        attempt: Number of the attempt, from 1.
        reservation: Name of the Ray placement group whose bundles are the cards; None: no GPUs.
        gpus: The cards, in the order of the bundles.
        memory_bytes: Budget of each worker on its card; None: not stated.
        tolerated_bytes: Memory of others with which the service takes a card for free; None: not
            said, the defaults of the occupancy count.
    """

    job: str
    attempt: int
    reservation: str | None = None
    gpus: tuple[GrantedGpu, ...] = ()
    memory_bytes: int | None = None
    tolerated_bytes: int | None = None


class StopFile(_Record):
    """A request to checkpoint and leave.

    `early`: a sweep sees no future in this trial; `budget`: the sweep's time is used up.
    """

    why: Literal["preempt", "cancel", "early", "budget"]
    at: float
    words: str = ""


class RunFile(_Record):
    """Which run the attempt works on."""

    run_dir: str


class OutcomeFile(_Record):
    """How the driver ended, in its own words.

    Attributes:
        exit_code: Its exit status.
        error_type: Class of the error; empty when it ended well.
        message: The error's text.
        at: Unix seconds.
    """

    exit_code: int
    error_type: str = ""
    message: str = ""
    at: float


class WorkerFile(_Record):
    """A worker's own report.

    Attributes:
        rank: The worker.
        uuids: Cards Ray gave it.
        reserved_bytes: What it holds for its budget.
        peak_bytes: The most it has held so far.
        at: Unix seconds of this report.
    """

    rank: int
    uuids: tuple[str, ...]
    reserved_bytes: int = 0
    peak_bytes: int = 0
    at: float


class FailureFile(_Record):
    """What a worker raised, and what was on its card at that moment.

    Attributes:
        rank: The worker.
        error_type: Qualified name of the exception's class.
        text: The exception's text, capped.
        error_code: Code of a `torch.AcceleratorError`; None: it has none.
        step: Optimizer step; -1: before the first.
        peak_bytes: The most the worker had held.
        gpus: One mapping a card: `uuid`, `total_bytes`, `used_bytes`, `own_bytes` (this process and
            its children), `fault`.
        at: Unix seconds.
    """

    rank: int
    error_type: str
    text: str
    error_code: int | None = None
    step: int = -1
    peak_bytes: int = 0
    gpus: tuple[dict[str, Any], ...] = ()
    at: float


RecordT = TypeVar("RecordT", bound=_Record)


class AttemptFolder:
    """Reads and writes the files of one attempt."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @classmethod
    def current(cls) -> AttemptFolder | None:
        """Return the folder of the attempt this process belongs to, if it belongs to one."""
        path = os.environ.get(ATTEMPT_VARIABLE)
        return cls(path) if path else None

    @property
    def log(self) -> Path:
        """The attempt's log file."""
        return self.path / "log.txt"

    @property
    def stop_path(self) -> Path:
        """The file whose existence asks the attempt to leave; cheap to poll."""
        return self.path / "stop.json"

    def write(self, name: str, record: _Record) -> None:
        """Write a record whole or not at all.

        Args:
            name: File name without `.json`, such as `worker-0`.
            record: What to write.

        Raises:
            StorageError: It could not be written.
        """
        ensure_folder(self.path)
        atomic_write_text(self.path / f"{name}.json", record.model_dump_json(indent=2) + "\n")

    def read(self, name: str, kind: type[RecordT]) -> RecordT | None:
        """Return a record, or None where there is none.

        Raises:
            StorageError: It is there and damaged.
        """
        path = self.path / f"{name}.json"
        try:
            return kind.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as error:
            raise StorageError(f"{path} cannot be read: {error}", "remove the file") from error

    def every(self, prefix: str, kind: type[RecordT]) -> list[RecordT]:
        """Return the records `prefix-0`, `prefix-1`, …; damaged ones are left out."""
        found: list[RecordT] = []
        for path in sorted(self.path.glob(f"{prefix}-*.json")):
            try:
                found.append(kind.model_validate_json(path.read_bytes()))
            except (ValidationError, OSError):
                continue
        return found

    def grant(self) -> GrantFile | None:
        """Return what the attempt was given."""
        return self.read("grant", GrantFile)
