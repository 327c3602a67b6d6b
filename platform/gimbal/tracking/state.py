"""What MLflow already has of a run; kept beside the outbox, one file per MLflow store.

Another store means another file and so a delivery from the first record on. Losing the file costs
work, never truth: runs are found again by their `gimbal.key` tag, and a point that is sent again
is the same point.
"""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from gimbal.errors import StorageError
from gimbal.experiment.files import atomic_write_json, read_json
from gimbal.tracking import outbox, uris
from gimbal.tracking.following import FollowState
from gimbal.tracking.records import RunStatus

EMBEDDED = "embedded"
"""How a run remembers the store inside its runs folder, which may be moved."""
IDENTITY_FILE = "tracking.json"


class CheckpointState(BaseModel):
    """What is known of a stage's checkpoint index.

    Attributes:
        path: The index file.
        active: False once the stage ended.
        digest: Of the index as last recorded.
        recorded: Tags of the checkpoints on disk when the index was last recorded.
        uploaded: Hash of the best checkpoint that is an artifact already.
    """

    path: str
    active: bool = True
    digest: str = ""
    recorded: list[str] = []
    uploaded: str = ""


class RunState(BaseModel):
    """One MLflow run: the parent's or a stage's."""

    run_id: str
    status: RunStatus | Literal["running"] = "running"
    follows: dict[str, FollowState] = {}
    checkpoints: CheckpointState | None = None


class DeliveryState(BaseModel):
    """How far a run's outbox was delivered to one store."""

    offset: int = 0
    experiment_id: str = ""
    runs: dict[str, RunState] = {}


class Identity(BaseModel):
    """Who a run is to MLflow, whichever process delivers.

    Attributes:
        key: Unique; the `gimbal.key` tag of its MLflow run.
        uri: `EMBEDDED`, or the store without its password.
        part_of: The sweep a trial belongs to, `<experiment>/<sweep id>` in the runs folder.
    """

    key: str
    uri: str
    part_of: str = ""


def identify(run_dir: Path, uri: str, runs_dir: Path, part_of: str = "") -> Identity:
    """Return the run's identity, making it on the first call; the store may change later.

    Args:
        run_dir: The run folder.
        uri: The store.
        runs_dir: The folder of all runs.
        part_of: The sweep it is a trial of, see `Identity`.

    Raises:
        StorageError: It cannot be written.
    """
    known = load_identity(run_dir)
    key = known.key if known else uuid.uuid4().hex
    identity = Identity(key=key, uri=shown_uri(uri, runs_dir), part_of=part_of)
    if identity != known:
        outbox.folder(run_dir).mkdir(parents=True, exist_ok=True)
        atomic_write_json(_identity_file(run_dir), identity.model_dump())
    return identity


def shown_uri(uri: str, runs_dir: Path) -> str:
    """Return how a run remembers a store."""
    return EMBEDDED if uri == uris.embedded_uri(runs_dir) else uris.redacted(uri)


def store_uri(identity: Identity, runs_dir: Path) -> str:
    """Return the store a run remembers, as far as it does: a password is left out."""
    return uris.embedded_uri(runs_dir) if identity.uri == EMBEDDED else identity.uri


def load_identity(run_dir: Path) -> Identity | None:
    """Return the run's identity, or None for a run that was never tracked."""
    try:
        return Identity.model_validate(read_json(_identity_file(run_dir)))
    except (StorageError, ValidationError):
        return None


def load_state(run_dir: Path, identity: Identity) -> DeliveryState:
    """Return what the identity's store has; everything is new where nothing is known."""
    try:
        return DeliveryState.model_validate(read_json(_state_file(run_dir, identity)))
    except (StorageError, ValidationError):
        return DeliveryState()


def save_state(run_dir: Path, identity: Identity, state: DeliveryState) -> None:
    """Remember what was delivered.

    Raises:
        StorageError: It cannot be written.
    """
    atomic_write_json(_state_file(run_dir, identity), state.model_dump())


def remaining(run_dir: Path) -> int:
    """Return how many records and metric lines of a run its MLflow does not have yet."""
    identity = load_identity(run_dir)
    if identity is None:
        return 0
    state = load_state(run_dir, identity)
    waiting = outbox.count_lines(outbox.outbox_file(run_dir), state.offset)
    for run in state.runs.values():
        for path, follow in run.follows.items():
            if follow.active:
                waiting += outbox.count_lines(Path(path), follow.offset)
    return waiting


def _identity_file(run_dir: Path) -> Path:
    return outbox.folder(run_dir) / IDENTITY_FILE


def _state_file(run_dir: Path, identity: Identity) -> Path:
    digest = hashlib.sha256(identity.uri.encode()).hexdigest()[:8]
    return outbox.folder(run_dir) / f"delivered-{digest}.json"
