"""`checkpoints/ledger.jsonl`: what was saved and taken up again, over all attempts at a training.

Checkpoints come and go; the ledger stays and only grows, so that long after a run one can still
show that its steps were done once each, in order, at the rates the schedule asks for, whatever was
killed and however many workers there were. Each line carries a hash of itself and of the line
before it: two trainings that write at once, a lost line and an edited one are all found.
`gimbal.training.ledger` looks for what is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gimbal.experiment.files import atomic_write_bytes, ensure_folder, storage_errors, sync_folder
from gimbal.training.settings import TrainSettings

LEDGER_FILE = "checkpoints/ledger.jsonl"
"""In the stage's folder."""
SCHEDULE_KEYS = ("steps", "warmup_steps", "schedule", "final_share")
_CHAIN_DIGITS = 16

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Worker(_Line):
    """Where a worker trains.

    Attributes:
        rank: Its number.
        host: Name of its machine.
        device: As torch calls it: `cpu`, `cuda:0`.
        gpus: UUIDs of its cards.
    """

    rank: Count
    host: str
    device: str
    gpus: list[str] = []


class Begun(_Line):
    """An attempt begins.

    Attributes:
        event: `start` at step 0, else `resume`.
        attempt: Number of the attempt at this training, from 1.
        step: Optimizer steps already done.
        sha256: Of the checkpoint taken up.
        set_aside: What was wrong with newer checkpoints.
        identity: Hash of everything that decides the trajectory, see `orders.Plan.identity`.
        schedule: The keys of the settings that shape the learning rate.
        peaks: Peak learning rate of each parameter group.
        asked_at: Unix time at which the driver was asked for the training; attempts that Ray Train
            begins anew by itself share it.
        at: Unix time.
    """

    event: Literal["start", "resume"]
    attempt: Annotated[int, Field(ge=1)]
    step: Count
    sha256: Digest | None
    set_aside: list[str] = []
    seed: int
    global_batch: Annotated[int, Field(ge=1)]
    identity: Digest
    schedule: dict[str, Any]
    peaks: Annotated[dict[str, float], Field(min_length=1)]
    workers: Annotated[list[Worker], Field(min_length=1)]
    asked_at: float
    at: float

    @model_validator(mode="after")
    def _has_a_schedule(self) -> Begun:
        if sorted(self.schedule) != sorted(SCHEDULE_KEYS):
            raise ValueError(f"schedule must have the keys {', '.join(SCHEDULE_KEYS)}")
        self.settings()
        return self

    def settings(self) -> TrainSettings:
        """Return settings with this schedule, for `schedule.rate_factor`."""
        return TrainSettings(global_batch=self.global_batch, **self.schedule)


class Saved(_Line):
    """A checkpoint is in its place.

    Attributes:
        attempt: The attempt that saved it; 0: one from before there was a ledger.
        step: Optimizer steps done.
        sha256: Of its `state.pt`.
        bytes: Size of that file.
        lr: Learning rate of each parameter group at the last of these steps.
        late: Noted by the next attempt: this one was killed between the two writes.
        at: Unix time.
    """

    event: Literal["saved"] = "saved"
    attempt: Count
    step: Annotated[int, Field(ge=1)]
    sha256: Digest
    bytes: Annotated[int, Field(ge=1)]
    samples_seen: Count
    global_batch: Annotated[int, Field(ge=1)]
    seed: int
    world_size: Annotated[int, Field(ge=1)]
    lr: Annotated[dict[str, float], Field(min_length=1)]
    late: bool = False
    at: float


Entry = Begun | Saved
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="event")])


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A ledger as it was read.

    Attributes:
        entries: Its whole lines, in order, with their numbers from 1.
        problems: What is wrong with single lines.
        whole: Its bytes without a torn last line.
        chain: Hash that the next line continues.
    """

    entries: Sequence[tuple[int, Entry]]
    problems: Sequence[str]
    whole: bytes
    chain: str


def read_ledger(stage_dir: Path) -> Reading | None:
    """Read a training stage's ledger; None: it has none.

    Only a last line may be torn: whoever wrote it was killed.

    Raises:
        StorageError: It cannot be read.
    """
    path = stage_dir / LEDGER_FILE
    with storage_errors(path, "read"):
        if not path.exists():
            return None
        whole = _whole_lines(path.read_bytes())
    entries: list[tuple[int, Entry]] = []
    problems: list[str] = []
    chain = ""
    for number, text in enumerate(whole.splitlines(), start=1):
        where = f"{path.name} line {number}"
        record = _parsed(text)
        claimed = record.pop("chain", None)
        if claimed != _link(chain, record):
            problems.append(f"{where} does not follow from the line before it, or was edited")
        chain = claimed if isinstance(claimed, str) else _link(chain, record)
        try:
            entries.append((number, _ENTRY.validate_python(record)))
        except ValidationError as error:
            problems.append(f"{where} is damaged: {_first_fault(error)}")
    return Reading(entries=entries, problems=problems, whole=whole, chain=chain)


def _whole_lines(content: bytes) -> bytes:
    """Return a file without a torn last line; one that lacks nothing but its end of line stays."""
    end = content.rfind(b"\n") + 1
    if end < len(content) and _parsed(content[end:]):
        return content + b"\n"
    return content[:end]


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'the line'}: {fault['msg']}"


def _link(before: str, record: Mapping[str, Any]) -> str:
    text = before + json.dumps(record, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_CHAIN_DIGITS]


class Ledger:
    """Appends to the ledger of a training stage; one writer, the first worker.

    Args:
        stage_dir: The stage's folder; a torn last line is cut off.

    Raises:
        StorageError: The file cannot be read or written.
    """

    def __init__(self, stage_dir: Path) -> None:
        self._path = stage_dir / LEDGER_FILE
        reading = read_ledger(stage_dir)
        self._chain = reading.chain if reading else ""
        ensure_folder(self._path.parent)
        if reading is None:
            with storage_errors(self._path, "write"):
                self._path.touch()
                sync_folder(self._path.parent)
        elif reading.whole != self._path.read_bytes():
            atomic_write_bytes(self._path, reading.whole)
        entries = [entry for _, entry in reading.entries] if reading else []
        self.attempt = max((e.attempt for e in entries), default=0)
        self._known = {(e.step, e.sha256) for e in entries if isinstance(e, Saved)}

    def knows(self, step: int, sha256: str) -> bool:
        """Return whether a checkpoint has its line."""
        return (step, sha256) in self._known

    def append(self, entry: Entry) -> None:
        """Add a line and wait until the disk has it.

        Raises:
            StorageError: It cannot be written.
        """
        record = entry.model_dump(mode="json")
        chain = _link(self._chain, record)
        line = json.dumps({**record, "chain": chain}) + "\n"
        with storage_errors(self._path, "write"), self._path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self._chain = chain
        self.attempt = entry.attempt
        if isinstance(entry, Saved):
            self._known.add((entry.step, entry.sha256))
