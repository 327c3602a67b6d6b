"""Who builds a stage that another process waits for: a note beside the stage's lock.

The kernel's lock alone decides; the note only lets those who wait say for whom, so a missing or
damaged one counts as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from gimbal.errors import StorageError
from gimbal.experiment.files import read_json
from gimbal.experiment.process_identity import ProcessIdentity


@dataclass(frozen=True, slots=True)
class Holder:
    """Who builds a stage that another process waits for."""

    process: ProcessIdentity
    run: str
    since: datetime


def read_holder(file: Path) -> Holder | None:
    """Return who a note names; None where it is missing or damaged."""
    try:
        value = read_json(file)
        process = ProcessIdentity.model_validate(value["process"])
        return Holder(process, str(value["run"]), datetime.fromisoformat(value["since"]))
    except (StorageError, ValidationError, ValueError, KeyError, TypeError):
        return None
