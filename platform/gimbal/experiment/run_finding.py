"""Find runs again: by id, by a prefix of it, by path, by experiment, or the latest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError, GimbalError
from gimbal.experiment.files import is_file, storage_errors
from gimbal.experiment.nearest import nearest
from gimbal.experiment.plain import to_plain
from gimbal.experiment.run_folder import RUN_ID, STATE_FILE, RunFolder
from gimbal.experiment.run_state import RunState, RunStatus
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.yaml_reading import read_yaml

_LISTED = 5
_NOT_COMPARED = ("platform", "resources", "sweep")
"""Where, why and how fast a run happens; another choice there continues the same run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEntry:
    """A run in a list.

    Attributes:
        folder: The run's folder.
        status: How it stands; `DAMAGED` where its state cannot be read.
        state: What its `run.json` says; None where damaged.
        problem: What is damaged.
    """

    folder: RunFolder
    status: RunStatus
    state: RunState | None = None
    problem: str = ""

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self.folder.path.parent.name


def list_runs(runs_dir: Path, workload: str | None = None) -> list[RunEntry]:
    """Return the runs in a folder, newest first; damaged ones are listed as such.

    Args:
        runs_dir: The folder of all runs; one that does not exist holds none.
        workload: Only runs of this workload (damaged ones are then left out).

    Raises:
        StorageError: If the runs folder itself cannot be read.
    """
    entries = [_entry(path) for path in _run_paths(runs_dir)]
    if workload is not None:
        entries = [entry for entry in entries if entry.state and entry.state.workload == workload]
    return sorted(entries, key=_age_key, reverse=True)


def find(runs_dir: Path, reference: str) -> RunFolder:
    """Find one run.

    Args:
        runs_dir: The folder of all runs.
        reference: A path, an id or `experiment/id`, a unique prefix of an id, an experiment (its
            newest run), or `latest`.

    Raises:
        ConfigError: If there is none, or a prefix fits several; near ones are named.
    """
    path = Path(reference)
    if reference and is_file(path / STATE_FILE):
        return RunFolder(path)
    entries = list_runs(runs_dir)
    if reference == "latest" and entries:
        return entries[0].folder
    wanted = reference.strip("/").removeprefix(f"{runs_dir.as_posix().strip('/')}/")
    exact = [entry for entry in entries if wanted in (_name(entry), entry.folder.id)]
    of_experiment = [entry for entry in entries if entry.experiment == wanted]
    if exact or of_experiment:
        return [*exact, *of_experiment][0].folder
    fitting = [
        entry
        for entry in entries
        if wanted and (entry.folder.id.startswith(wanted) or _name(entry).startswith(wanted))
    ]
    if len(fitting) == 1:
        return fitting[0].folder
    raise _not_found(runs_dir, reference, entries, fitting)


def resumable(
    runs_dir: Path, config: ExperimentSettings, own: Path | None = None
) -> RunFolder | None:
    """Take over the newest interrupted run of the same config, if there is one.

    The same means equal in everything but `platform` and `resources`. The run returned is owned by
    this process; of several processes asking at once, only one gets it.

    Args:
        runs_dir: The folder of all runs.
        config: The config.
        own: A run that goes before all others and is continued even if it failed: that of an
            earlier attempt of the same job.

    Raises:
        StorageError: If the runs folder or the run cannot be read or written.
    """
    wanted = _identity(to_plain(config))
    if own is not None and (own / STATE_FILE).is_file():
        mine = RunFolder(own)
        if _same_config(mine, type(config), wanted) and mine.claim(config, failed_too=True):
            return mine
    for entry in list_runs(runs_dir, config.workload):
        if entry.status is not RunStatus.INTERRUPTED or entry.experiment != config.experiment:
            continue
        if _same_config(entry.folder, type(config), wanted) and entry.folder.claim(config):
            return entry.folder
    return None


def _run_paths(runs_dir: Path) -> list[Path]:
    with storage_errors(runs_dir, "read"):
        if not runs_dir.is_dir():
            return []
        experiments = [p for p in runs_dir.iterdir() if p.is_dir() and not p.name.startswith(".")]
        return [
            run
            for experiment in experiments
            for run in experiment.iterdir()
            if RUN_ID.match(run.name) and run.is_dir()
        ]


def _entry(path: Path) -> RunEntry:
    folder = RunFolder(path)
    try:
        state = folder.state()
    except GimbalError as error:
        return RunEntry(folder=folder, status=RunStatus.DAMAGED, problem=error.message)
    return RunEntry(folder=folder, status=state.status, state=state)


def _age_key(entry: RunEntry) -> tuple[str, str, str]:
    started = f"{entry.state.started_at:%Y%m%d-%H%M%S-%f}" if entry.state else entry.folder.id
    return (started[:15], started, entry.folder.id)


def _name(entry: RunEntry) -> str:
    return f"{entry.experiment}/{entry.folder.id}"


def _not_found(
    runs_dir: Path, reference: str, entries: list[RunEntry], fitting: list[RunEntry]
) -> ConfigError:
    if fitting:
        listed = ", ".join(_name(entry) for entry in fitting[:_LISTED])
        return ConfigError(
            f"{len(fitting)} runs begin with {reference!r}", f"write more of one: {listed}"
        )
    if not entries:
        return ConfigError(
            f"there is no run {reference!r}: {runs_dir} holds no runs",
            "run one first, or name another folder with platform.runs_dir",
        )
    known = {name: None for entry in entries for name in (entry.folder.id, entry.experiment)}
    near = nearest(reference, known) or [_name(entry) for entry in entries]
    return ConfigError(
        f"there is no run {reference!r} in {runs_dir}",
        f"did you mean {', '.join(near[:_LISTED])}? `gimbal runs list` shows all",
    )


def _identity(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in _NOT_COMPARED}


def _same_config(run: RunFolder, model: type[ExperimentSettings], wanted: dict[str, Any]) -> bool:
    try:
        kept = model.model_validate(read_yaml(run.config_file).data)
    except (GimbalError, ValueError):
        return False  # an older version's config, or a damaged one, is another config
    return _identity(to_plain(kept)) == wanted
