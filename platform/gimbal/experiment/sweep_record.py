"""What a sweep's folder `runs/<experiment>/sweep-<id>/` says, for everything that reads sweeps.

    sweep.json          how the sweep stands
    sweep.yaml          the sweep file as it runs, with everything the command line changed
    trials/<id>.json    one trial: its place in the space, its run and how it stands
    comparison.html     the trials side by side
    tune/               Ray Tune's scratch; `--resume` reads the trials' files instead

A trial is an ordinary run beside it, `runs/<experiment>/<run id>/`. At any time every file has one
writer: the sweep's driver writes `sweep.json`, and a trial's file until the trial starts; then the
process that runs or follows the trial writes it, until the trial ends or leaves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gimbal.errors import ConfigError, StorageError
from gimbal.experiment.files import (
    atomic_write_json,
    ensure_folder,
    is_file,
    read_json,
    storage_errors,
)
from gimbal.experiment.nearest import nearest
from gimbal.experiment.process_identity import ProcessIdentity
from gimbal.experiment.settings import ExperimentSettings

SWEEP_ID = re.compile(r"^sweep-\d{8}-\d{6}-[0-9a-f]{4,8}$")
SWEEP_FILE = "sweep.json"
SPEC_FILE = "sweep.yaml"
TRIALS_FOLDER = "trials"
_LISTED = 5
_REMEDY = "put it back from a copy; the trials are ordinary runs all the same: gimbal runs list"


class SweepStatus(StrEnum):
    """How a sweep stands."""

    RUNNING = "running"
    FINISHED = "finished"
    """Every trial ended."""
    STOPPED = "stopped"
    """Its budget was used up."""
    INTERRUPTED = "interrupted"
    """Its driver was killed or stopped; `--resume` continues it."""


class TrialStatus(StrEnum):
    """How a trial stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DELAYED = "delayed"
    """Its GPU is somebody else's just now; it goes on by itself."""
    FINISHED = "finished"
    STOPPED = "stopped"
    """The scheduler saw no future in it."""
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self in (TrialStatus.FINISHED, TrialStatus.STOPPED, TrialStatus.FAILED)


class SweepRecord(BaseModel):
    """`sweep.json`.

    Attributes:
        id: Name of the folder.
        name: The sweep's name, which is the experiment of its trials.
        metric: Dotted path of the final number, stage first: `evaluate.gap_closed.value`.
        mode: Whether the best is the largest or the smallest.
        axes: The dotted keys that vary, in the order of the file, without `seed`.
        seeds: The seeds each point is run with.
        across_protocols: The sweep varies the evaluation protocol on purpose.
        spent_s: Wall-clock seconds over all starts.
        starts: How often it was started.
        drift: A sentence for each start that went on with other code than before.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    workload: str
    status: SweepStatus
    owner: ProcessIdentity | None = None
    metric: str
    mode: Literal["max", "min"]
    axes: tuple[str, ...]
    seeds: tuple[int, ...]
    search: str
    scheduler: str
    samples: int
    across_protocols: bool = False
    started_at: datetime
    ended_at: datetime | None = None
    spent_s: float = 0.0
    starts: int = 1
    drift: tuple[str, ...] = ()
    message: str = ""


class TrialRecord(BaseModel):
    """`trials/<id>.json`.

    Attributes:
        id: Name of the file: the trial's number, with leading zeros.
        number: Its place in the sweep, from 0.
        name: Readable: `temperature=0.05 lr=0.002 seed=1`.
        overrides: The values of the axes, by dotted key, without `seed`.
        run_dir: The trial's run; None: it has not begun.
        metric: The sweep's metric; None: not (yet) known.
        step: Optimizer steps done when it ended or was last heard of.
        seconds: Wall-clock seconds it worked, over all attempts, waiting for GPUs left out.
        attempts: How often it was started.
        message: Why it failed, was stopped or is delayed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    number: int
    name: str
    overrides: dict[str, Any]
    seed: int
    status: TrialStatus
    run_dir: str | None = None
    metric: float | None = None
    step: int = 0
    seconds: float = 0.0
    attempts: int = 0
    job: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialOf:
    """Marks a run as a trial of a sweep.

    Attributes:
        folder: The sweep's folder.
        name: The trial's readable name.
    """

    folder: Path
    name: str

    @classmethod
    def of(cls, settings: ExperimentSettings, runs_dir: Path) -> TrialOf | None:
        """Return what a config's `sweep` key says, or None for a run by itself."""
        place = settings.sweep
        return None if place is None else cls(folder=runs_dir / place.id, name=place.trial)

    @property
    def sweep(self) -> str:
        """The sweep, `<experiment>/<sweep id>`."""
        return f"{self.folder.parent.name}/{self.folder.name}"


RecordT = TypeVar("RecordT", SweepRecord, TrialRecord)


class SweepFolder:
    """Reads and writes a sweep's folder.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def runs_dir(self) -> Path:
        """The folder of all runs."""
        return self.path.parents[1]

    @property
    def spec_file(self) -> Path:
        """The sweep file as it runs."""
        return self.path / SPEC_FILE

    @property
    def comparison(self) -> Path:
        """The page that compares the trials, once there is one."""
        return self.path / "comparison.html"

    def record(self) -> SweepRecord:
        """Return how the sweep stands; a dead driver's sweep reads as interrupted.

        Raises:
            StorageError: `sweep.json` is missing or damaged.
        """
        record = _read(self.path / SWEEP_FILE, SweepRecord)
        owner = record.owner
        if record.status is SweepStatus.RUNNING and not (owner and owner.lives(self.heartbeat)):
            return record.model_copy(update={"status": SweepStatus.INTERRUPTED})
        return record

    def write(self, record: SweepRecord) -> None:
        """Replace `sweep.json`.

        Raises:
            StorageError: It cannot be written.
        """
        ensure_folder(self.path / TRIALS_FOLDER)
        atomic_write_json(self.path / SWEEP_FILE, record.model_dump(mode="json"))

    def trials(self) -> list[TrialRecord]:
        """Return every trial that has a file, by number; `damaged` names those left out."""
        return self._read_trials()[0]

    def damaged(self) -> list[str]:
        """Return the names of the trials' files that cannot be read."""
        return self._read_trials()[1]

    def _read_trials(self) -> tuple[list[TrialRecord], list[str]]:
        found, damaged = list[TrialRecord](), list[str]()
        with storage_errors(self.path, "read"):
            for path in (self.path / TRIALS_FOLDER).glob("*.json"):
                try:
                    found.append(_read(path, TrialRecord))
                except StorageError:
                    damaged.append(path.name)
        found.sort(key=lambda trial: (trial.number, trial.id))
        return found, sorted(damaged)

    def trial(self, trial_id: str) -> TrialRecord | None:
        """Return one trial, or None where it has not begun."""
        path = self.path / TRIALS_FOLDER / f"{trial_id}.json"
        return _read(path, TrialRecord) if path.exists() else None

    def write_trial(self, trial: TrialRecord) -> None:
        """Replace a trial's file.

        Raises:
            StorageError: It cannot be written.
        """
        folder = ensure_folder(self.path / TRIALS_FOLDER)
        atomic_write_json(folder / f"{trial.id}.json", trial.model_dump(mode="json"))

    @property
    def heartbeat(self) -> Path:
        """Touched by the driver while it lives, for other hosts."""
        return self.path / ".alive"


def list_sweeps(runs_dir: Path) -> list[SweepFolder]:
    """Return every sweep in a runs folder, newest first."""
    found = [
        path
        for path in runs_dir.glob("*/sweep-*")
        if SWEEP_ID.match(path.name) and (path / SWEEP_FILE).is_file()
    ]
    return [SweepFolder(path) for path in sorted(found, key=lambda p: p.name, reverse=True)]


def find_sweep(runs_dir: Path, reference: str) -> SweepFolder:
    """Find one sweep.

    Args:
        runs_dir: The folder of all runs.
        reference: A sweep's name (its newest), `name/sweep-id`, the id alone, a path, or `latest`.

    Raises:
        ConfigError: There is none; near names are named.
    """
    if reference and is_file(Path(reference) / SWEEP_FILE):
        return SweepFolder(Path(reference))
    sweeps = list_sweeps(runs_dir)
    wanted = reference.strip("/")
    for sweep in sweeps:
        name = sweep.path.parent.name
        if wanted in (name, sweep.path.name, f"{name}/{sweep.path.name}", "latest"):
            return sweep
    names = list(dict.fromkeys(sweep.path.parent.name for sweep in sweeps))
    near = nearest(reference, names) or names
    remedy = f"did you mean {', '.join(near[:_LISTED])}?" if near else "run one: gimbal sweep FILE"
    raise ConfigError(f"there is no sweep {reference!r} in {runs_dir}", remedy)


def _read(path: Path, kind: type[RecordT]) -> RecordT:
    try:
        return kind.model_validate(read_json(path, remedy=_REMEDY))
    except ValidationError as error:
        raise StorageError(
            f"{path} is damaged: {error.error_count()} fields are wrong", _REMEDY
        ) from error
