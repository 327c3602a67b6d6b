"""Writes a run's `provenance.json`: at its start, so that a killed run has one, and at its end.

The code is described once, at the start: whoever edits a source while the run goes on does not
change what it ran. What stages did is read from their folders, not from this process's memory, so
that it is the same for stages another run or an earlier attempt built.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gimbal.errors import GimbalError, StorageError
from gimbal.experiment import provenance
from gimbal.experiment.attempt import AttemptFolder, WorkerFile
from gimbal.experiment.content import ContentHashes, content_fingerprint
from gimbal.experiment.files import read_json
from gimbal.experiment.import_origins import warnings_of
from gimbal.experiment.packages import packages_that_ran
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus, utc_now
from gimbal.experiment.stage import Stage, StageOutput
from gimbal.experiment.stage_store import STAGE_FILE
from gimbal.pipeline.attempt_records import AttemptRecord, beginning, earlier
from gimbal.pipeline.code import CodeIdentity
from gimbal.pipeline.recording import ending, rows_fingerprint
from gimbal.pipeline.stage_records import stage_line
from gimbal.training.history import begun_in, training_history


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a run's provenance is told besides what it finds.

    Attributes:
        command: The command line.
        code: The packages whose sources and repositories are recorded.
        workload: The class that gave the stages, `module:Class`.
        stages: The stages of the plan.
        workers: Training workers the config asks for.
        drift: How what is here differs from what made the results of other runs it reads.
        hashes: Remembers the hashes of outside files.
    """

    command: Sequence[str]
    code: CodeIdentity
    workload: str
    stages: Sequence[Stage]
    workers: int
    drift: Sequence[str] = ()
    hashes: ContentHashes = field(default_factory=ContentHashes)


class RunMemory:
    """The provenance of a run while an attempt at it goes on.

    Attributes:
        commit: Of the code, if it lies in a git repository.
        warnings: What the user should know about where the code came from.
    """

    def __init__(self, folder: RunFolder, facts: RunFacts) -> None:
        self._folder = folder
        self._facts = facts
        self._attempt = AttemptFolder.current()
        self._record: dict[str, Any] = {}
        self._earlier: list[AttemptRecord] = []
        self._now = AttemptRecord(number=1, status="")
        self.commit: str | None = None
        self.warnings: list[str] = []

    @contextlib.contextmanager
    def attempt(self, outputs: Mapping[str, StageOutput]) -> Iterator[RunMemory]:
        """Record the block as one attempt at the run, however it ends.

        Args:
            outputs: Stages finished so far; read again at the end.

        Raises:
            StorageError: The provenance cannot be written; an error of the block goes before.
        """
        self._begin(outputs)
        try:
            yield self
        except BaseException as error:
            with contextlib.suppress(GimbalError):
                self._end(outputs, *ending(error))
            raise
        self._end(outputs, RunStatus.FINISHED, "")

    def _begin(self, outputs: Mapping[str, StageOutput]) -> None:
        facts = self._facts
        self._record = provenance.collect(facts.command, facts.code.packages)
        self._record["workload"] = facts.workload
        if facts.drift:
            self._record["drift"] = list(facts.drift)
        self.warnings = warnings_of(self._record["code"].get("origins") or {})
        self._earlier = earlier(self._previous(), self._record["code"]["digest"])
        number = len(self._earlier) + 1
        self._now = beginning(number, self._record, facts.workers, self._attempt)
        self.commit = self._now.commit
        self._write(outputs)

    def _end(self, outputs: Mapping[str, StageOutput], status: RunStatus, message: str) -> None:
        gpus = sorted({*self._now.gpus, *self._cards_of_workers()})
        update = {"ended_at": utc_now(), "status": str(status), "message": message, "gpus": gpus}
        self._now = self._now.model_copy(update=update)
        self._record["packages"] = packages_that_ran()
        self._write(outputs)

    def _previous(self) -> dict[str, Any]:
        """Return what an earlier attempt left; a damaged file is kept under another name."""
        file = self._folder.provenance_file
        if not file.exists():
            return {}
        try:
            previous: dict[str, Any] = read_json(file)
            earlier(previous, "")
        except (StorageError, ValidationError, AttributeError, TypeError):
            with contextlib.suppress(OSError):
                file.replace(file.with_suffix(f".damaged-{utc_now():%Y%m%d%H%M%S}.json"))
            return {}
        return previous

    def _write(self, outputs: Mapping[str, StageOutput]) -> None:
        places = self._places(outputs)
        self._folder.write_provenance(
            {
                **self._record,
                "data": _data(outputs),
                "stages": {
                    name: line
                    for name, place in places.items()
                    if (line := stage_line(place, self._folder)) is not None
                },
                "training": {
                    name: history
                    for name, place in places.items()
                    if (history := training_history(place)) is not None
                },
                "files": self._files(outputs),
                "worker_packages": {
                    name: packages
                    for name, output in outputs.items()
                    if (packages := _noted(output.path).get("packages")) is not None
                },
                "attempts": [
                    entry.model_dump(mode="json", exclude_none=True)
                    for entry in (*self._earlier, self._now)
                ],
            }
        )

    def _places(self, outputs: Mapping[str, StageOutput]) -> dict[str, Path]:
        """Return the folder of each stage, of unfinished ones and other runs' too."""
        linked = {}
        with contextlib.suppress(OSError):
            linked = {p.name: p.resolve() for p in sorted(self._folder.stages.iterdir())}
        return {**linked, **{name: output.path for name, output in outputs.items()}}

    def _cards_of_workers(self) -> Iterator[str]:
        """Yield the UUIDs of the cards that workers of this attempt had."""
        began = self._now.started_at.timestamp() if self._now.started_at else 0.0
        for place in self._places({}).values():
            for begun in begun_in(place):
                if begun.at >= began:
                    yield from (uuid for worker in begun.workers for uuid in worker.gpus)
            noted = place / provenance.PACKAGES_FILE
            if noted.exists() and noted.stat().st_mtime >= began:
                yield from _noted(place).get("cards", ())
        for report in self._attempt.every("worker", WorkerFile) if self._attempt else ():
            yield from report.uuids

    def _files(self, outputs: Mapping[str, StageOutput]) -> dict[str, dict[str, str]]:
        """Return the content hash of each file that finished stages read from outside, by path."""
        found: dict[str, dict[str, str]] = {}
        for stage in self._facts.stages:
            if stage.name in outputs and (paths := tuple(stage.external_files())):
                then = _hashes_in(outputs[stage.name].path)
                with contextlib.suppress(GimbalError):
                    now = {
                        str(path): content_fingerprint(path, self._facts.hashes) for path in paths
                    }
                    found[stage.name] = {
                        path: digest if digest in then else f"changed since, now {digest}"
                        for path, digest in now.items()
                    }
        return found


def _data(outputs: Mapping[str, StageOutput]) -> dict[str, str]:
    """Return the fingerprint of each finished stage, and of a data stage's rows."""
    return {name: output.fingerprint for name, output in outputs.items()} | {
        f"{name} rows": fingerprint
        for name, output in outputs.items()
        if (fingerprint := rows_fingerprint(output.path)) is not None
    }


def _hashes_in(stage_dir: Path) -> list[str]:
    """Return the content hashes of outside files that a stage's fingerprint is made of."""
    try:
        hashes: list[str] = read_json(stage_dir / STAGE_FILE)["parts"]["files"]
    except (StorageError, KeyError, TypeError):
        return []
    return hashes


def _noted(stage_dir: Path) -> dict[str, Any]:
    """Return what a stage's workers noted of themselves."""
    try:
        noted = read_json(stage_dir / provenance.PACKAGES_FILE)
    except StorageError:
        return {}
    return noted if isinstance(noted, dict) else {}
