"""A stored run as its own files tell it, whatever is missing or damaged among them.

Reading never raises for a damaged file: what cannot be read is named in `problems`, so that one
check can report all of it at once.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gimbal.errors import GimbalError, StorageError
from gimbal.experiment.files import read_json
from gimbal.experiment.fingerprint import Fingerprint
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunState, RunStatus, StageStatus
from gimbal.experiment.stage_store import STAGE_FILE, STORE_FOLDER, StageRecord

_PRINT_DIGITS = 16
_ENDED = (StageStatus.FINISHED, StageStatus.SKIPPED)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredStage:
    """A stage of a stored run.

    Attributes:
        name: The stage.
        path: Its folder, links followed.
        identity: What the run took as its fingerprint; empty for a stage that runs every time.
        metrics: The numbers the run took from it.
        record: Its `stage.json`; None: it has none, or a damaged one.
    """

    name: str
    path: Path
    identity: str
    metrics: Mapping[str, Any]
    record: StageRecord | None = None

    @property
    def kept(self) -> bool:
        """Whether it has a fingerprint, and so a record in the store."""
        return bool(self.identity)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRun:
    """A run as its files tell it.

    Attributes:
        folder: The run's folder.
        state: Its `run.json`; None where damaged.
        provenance: Its `provenance.json`; None where missing or damaged.
        stages: Its stages by name, in the order they ran.
        problems: What is missing, unfinished or damaged, each with the stage it belongs to.
    """

    folder: RunFolder
    state: RunState | None
    provenance: Mapping[str, Any] | None
    stages: Mapping[str, StoredStage]
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run ended well."""
        return self.state is not None and self.state.status is RunStatus.FINISHED

    @property
    def given(self) -> tuple[str, ...]:
        """Stages of other runs that it read."""
        read = {
            name for stage in self.stages.values() if stage.record for name in _inputs(stage.record)
        }
        return tuple(sorted(read - {*self.stages}))

    @property
    def workload_class(self) -> str:
        """The class that gave its stages, `module:Class`; empty: not recorded."""
        value = (self.provenance or {}).get("workload")
        return value if isinstance(value, str) else ""


@dataclass(slots=True)
class _Problems:
    found: list[tuple[str, str]] = field(default_factory=list)

    def note(self, words: str, stage: str = "") -> None:
        self.found.append((stage, words))


def read_run(folder: RunFolder) -> StoredRun:
    """Read what a run's files say."""
    problems = _Problems()
    state = _state(folder, problems)
    stages = {name: _stage(folder, state, name, problems) for name in state.stages} if state else {}
    return StoredRun(
        folder=folder,
        state=state,
        provenance=_provenance(folder, problems),
        stages={name: stage for name, stage in stages.items() if stage is not None},
        problems=tuple(problems.found),
    )


def makers_of_given(run: StoredRun) -> str:
    """Return the ids of the runs that made what a run was given, as far as they are known."""
    store = run.folder.path.absolute().parents[1] / STORE_FOLDER
    data = (run.provenance or {}).get("data", {})
    found: dict[str, None] = {}
    for name in run.given:
        digest = str(data.get(name, ""))[:_PRINT_DIGITS]
        for path in store.glob(f"*.{name}/{digest}-g*") if digest else ():
            with contextlib.suppress(StorageError, KeyError, TypeError):
                found[Path(read_json(path / STAGE_FILE)["provenance"]).name] = None
    return ", ".join(found)


def start_folder(run: StoredRun) -> Path | None:
    """Return the folder a run was started in; None: not recorded, or no longer there."""
    folder = (run.provenance or {}).get("folder")
    if isinstance(folder, str) and Path(folder).is_absolute() and Path(folder).is_dir():
        return Path(folder) if os.access(folder, os.X_OK) else None
    return None


@contextlib.contextmanager
def working_folder(run: StoredRun) -> Iterator[None]:
    """Let relative paths of a run's config count from where it was started, while that is there."""
    folder = start_folder(run)
    with contextlib.nullcontext() if folder is None else contextlib.chdir(folder):
        yield


def _state(folder: RunFolder, problems: _Problems) -> RunState | None:
    try:
        state = folder.state()
    except GimbalError as error:
        problems.note(error.message)
        return None
    if state.status is not RunStatus.FINISHED:
        why = f": {state.message}" if state.message else ""
        problems.note(f"the run did not finish; it is {state.status}{why}")
    if not state.stages:
        problems.note("the run has no stages")
    return state


def _provenance(folder: RunFolder, problems: _Problems) -> Mapping[str, Any] | None:
    path = folder.provenance_file
    if not path.exists():
        problems.note(f"{path.name} is missing: the code and machine are not known")
        return None
    try:
        value = read_json(path)
    except StorageError as error:
        problems.note(error.message)
        return None
    if isinstance(value, Mapping) and isinstance(value.get("code"), Mapping):
        return value
    problems.note(f"{path} is damaged: it names no code")
    return None


def _stage(
    folder: RunFolder, state: RunState, name: str, problems: _Problems
) -> StoredStage | None:
    recorded = state.stages[name]
    if recorded.status not in _ENDED:
        problems.note(f"the stage is {recorded.status}", name)
        return None
    path = Path(os.path.realpath(folder.stages / name))
    stage = StoredStage(
        name=name, path=path, identity=recorded.fingerprint or "", metrics=recorded.metrics
    )
    if not path.is_dir():
        problems.note(f"its files are gone: there is no {path}", name)
        return stage
    if not stage.kept:
        return stage
    record = _record(path, problems, name)
    if record is not None:
        _compare(stage, record, problems)
    return StoredStage(
        name=name, path=path, identity=stage.identity, metrics=stage.metrics, record=record
    )


def _record(path: Path, problems: _Problems, name: str) -> StageRecord | None:
    """Read a stage's record and check that it is whole in itself."""
    file = path / STAGE_FILE
    if not file.exists():
        problems.note(f"there is no {file}", name)
        return None
    try:
        record = StageRecord.model_validate(read_json(file))
    except StorageError as error:
        problems.note(error.message, name)
        return None
    except ValidationError as error:
        problems.note(f"{file} is damaged: {error.error_count()} fields are wrong", name)
        return None
    if Fingerprint.of(record.parts).digest != record.fingerprint:
        problems.note(f"{file} is damaged: its parts do not give its fingerprint", name)
        return None
    return record


def _compare(stage: StoredStage, record: StageRecord, problems: _Problems) -> None:
    if stage.identity.partition("-")[0] != record.fingerprint:
        problems.note(f"{stage.path / STAGE_FILE} belongs to another result", stage.name)
    elif _text(stage.metrics) != _text(record.metrics):
        problems.note("run.json and stage.json disagree about its numbers", stage.name)


def _text(value: Mapping[str, Any]) -> str:
    """Return values as text, in which a NaN equals itself."""
    return json.dumps(value, sort_keys=True)


def _inputs(record: StageRecord) -> Mapping[str, str]:
    inputs = record.parts.get("inputs")
    return inputs if isinstance(inputs, Mapping) else {}
