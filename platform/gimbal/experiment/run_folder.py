"""One folder a run, `runs/<experiment>/<run-id>/`, safe for any number of processes at once.

A run id begins with the UTC time, so names sort by age; `mkdir` decides between two that pick the
same. Only the process that owns a run writes its `run.json`. A run that calls itself running
although its process is gone reads as interrupted, so nobody has to clean up after a kill.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from gimbal.errors import StorageError
from gimbal.experiment.files import (
    atomic_symlink,
    atomic_write_json,
    atomic_write_text,
    ensure_folder,
    read_json,
    storage_error,
    storage_errors,
)
from gimbal.experiment.process_identity import HEARTBEAT_S, this_process
from gimbal.experiment.run_state import RunState, RunStatus, StageState, utc_now
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.yaml_writing import dump_yaml

RUN_ID = re.compile(r"^\d{8}-\d{6}-[0-9a-f]{4,8}$")
STATE_FILE = "run.json"
_HEARTBEAT = ".alive"
_CLAIM = ".claim"


def new_run_id(now: datetime) -> str:
    """Return a name such as `20261121-013015-ab12`."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class RunFolder:
    """A run's folder: its config, provenance, state, stages and report.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: RunState | None = None
        self._writing = threading.Lock()

    @classmethod
    def create(
        cls, runs_dir: Path, config: ExperimentSettings, command: list[str] | None = None
    ) -> RunFolder:
        """Make a new run, owned by this process.

        Raises:
            StorageError: If the folder cannot be written.
        """
        experiment = ensure_folder(runs_dir / config.experiment)
        path = _make_unique(experiment)
        run = cls(path)
        try:
            ensure_folder(run.stages)
            atomic_write_text(run.config_file, dump_yaml(config))
            run._own(
                RunState(
                    id=path.name,
                    experiment=config.experiment,
                    workload=config.workload,
                    status=RunStatus.RUNNING,
                    owner=this_process(),
                    command=sys.argv if command is None else command,
                    started_at=utc_now(),
                    sweep=config.sweep.id if config.sweep else "",
                    trial=config.sweep.trial if config.sweep else "",
                )
            )
        except StorageError:
            shutil.rmtree(path, ignore_errors=True)  # half a run would be listed as damaged
            raise
        return run

    @property
    def id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def config_file(self) -> Path:
        """The config as it ran, complete with defaults."""
        return self.path / "config.yaml"

    @property
    def provenance_file(self) -> Path:
        """Which code, machine and data the run used."""
        return self.path / "provenance.json"

    @property
    def stages(self) -> Path:
        """Folder with a link to each stage's files."""
        return self.path / "stages"

    @property
    def report(self) -> Path:
        """The report, once there is one."""
        return self.path / "report.html"

    def state(self) -> RunState:
        """Return how the run stands; a dead process's run reads as interrupted.

        Raises:
            StorageError: If `run.json` is missing or damaged.
        """
        if self._state is not None:
            return self._state
        file = self.path / STATE_FILE
        try:
            state = RunState.model_validate(read_json(file, remedy="remove that run's folder"))
        except ValidationError as error:
            raise StorageError(
                f"{file} is damaged: {error.error_count()} fields are wrong",
                "remove that run's folder",
            ) from error
        if state.status is RunStatus.RUNNING and not self._owner_lives(state):
            return state.model_copy(update={"status": RunStatus.INTERRUPTED})
        return state

    def set_stage(self, name: str, stage: StageState) -> None:
        """Record how a stage stands.

        Raises:
            StorageError: If `run.json` cannot be written.
        """
        self._update(lambda state: {"stages": {**state.stages, name: stage}})

    def link_stage(self, name: str, folder: Path) -> Path:
        """Make `stages/<name>` a relative link to where the stage's files are kept.

        Raises:
            StorageError: If the link cannot be made.
        """
        return atomic_symlink(self.stages / name, folder)

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Keep what `provenance.collect` found.

        Raises:
            StorageError: If it cannot be written.
        """
        atomic_write_json(self.provenance_file, dict(provenance))

    def finish(self, status: RunStatus, message: str = "") -> None:
        """Record how the run ended; this process no longer owns it.

        Raises:
            StorageError: If `run.json` cannot be written.
        """
        self._update(
            lambda _: {"status": status, "ended_at": utc_now(), "message": message, "owner": None}
        )

    def claim(self, config: ExperimentSettings, *, failed_too: bool = False) -> bool:
        """Take over an interrupted run, to continue it with this process.

        Of several processes that try, one succeeds. The config's newer `resources` and `platform`
        are kept.

        Args:
            config: The config.
            failed_too: Take over a failed run as well.

        Raises:
            StorageError: If the folder cannot be written.
        """
        try:
            with FileLock(self.path / _CLAIM, timeout=0, preserve_lock_file=True):
                state = RunFolder(self.path).state()
                failed = failed_too and state.status is RunStatus.FAILED
                if not failed and state.status is not RunStatus.INTERRUPTED:
                    return False
                update = {
                    "status": RunStatus.RUNNING,
                    "owner": this_process(),
                    "attempts": state.attempts + 1,
                    "ended_at": None,
                    "message": "",
                }
                atomic_write_text(self.config_file, dump_yaml(config))
                self._own(state.model_copy(update=update))
                return True
        except Timeout:
            return False
        except OSError as error:
            raise storage_error(error, self.path, "lock") from error

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Show other hosts that this process works on the run, until the block ends."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S):
                with contextlib.suppress(OSError):
                    (self.path / _HEARTBEAT).touch()

        thread = threading.Thread(target=beat, name="run-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _owner_lives(self, state: RunState) -> bool:
        return state.owner is not None and state.owner.lives(self.path / _HEARTBEAT)

    def _own(self, state: RunState) -> None:
        with storage_errors(self.path, "write in"):
            (self.path / _HEARTBEAT).touch()
        self._write(state)

    def _update(self, change: Any) -> None:
        with self._writing:
            state = self.state()
            self._write(state.model_copy(update=change(state)))

    def _write(self, state: RunState) -> None:
        atomic_write_json(self.path / STATE_FILE, state.model_dump(mode="json"))
        self._state = state


def _make_unique(experiment: Path) -> Path:
    while True:
        path = experiment / new_run_id(utc_now())
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise storage_error(error, path, "create the folder") from error
        return path
