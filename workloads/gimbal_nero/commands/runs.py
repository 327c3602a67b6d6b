"""Runs of this workload by name, as several commands take them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gimbal.experiment.run_folder import RunFolder
    from gimbal_nero.config import NeroConfig

Run = Annotated[str, typer.Option("--run", help="A run: its id, folder, experiment or 'latest'.")]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs.")
]


def nero_run(reference: str, runs_dir: Path) -> tuple[RunFolder, NeroConfig]:
    """Return a run and its settings; `latest` is the newest of this workload.

    Raises:
        ConfigError: There is none, several fit, or it is another workload's.
    """
    from gimbal.errors import ConfigError
    from gimbal.experiment.loading import load_experiment
    from gimbal.experiment.run_finding import find, list_runs
    from gimbal_nero.config import NeroConfig

    newest = list_runs(runs_dir, "nero") if reference == "latest" else ()
    run = newest[0].folder if newest else find(runs_dir, reference)
    _, settings = load_experiment(run.config_file)
    if not isinstance(settings, NeroConfig):
        raise ConfigError(f"run {run.id} is no nero run", "name one: gimbal runs list")
    return run, settings


def stage_folder(run: RunFolder, stage: str) -> Path:
    """Return the folder of a run's stage, which may still be at work.

    Raises:
        ConfigError: It has not begun, or was cleared away.
    """
    from gimbal.errors import ConfigError

    folder = (run.stages / stage).resolve()
    if not folder.is_dir():
        raise ConfigError(
            f"run {run.id} has no stage '{stage}' yet", "run its config again: it continues"
        )
    return folder


def free_folder(folder: Path, ours: Callable[[str], object], always: Collection[str] = ()) -> None:
    """Refuse a folder that holds anything which the command does not write itself.

    Args:
        folder: Where it is to write; it may not be there.
        ours: Tells whether the command writes a file of that name.
        always: Files that the command always leaves together; one alone is somebody else's.

    Raises:
        ConfigError: It does, or it is a file.
        StorageError: It cannot be read.
    """
    from gimbal.errors import ConfigError
    from gimbal.experiment.files import storage_errors

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out: {folder} is a file", "name a folder")
    with storage_errors(folder, "read"):
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    partly = bool(there) and not set(always) <= set(there)
    foreign = there if partly else [name for name in there if not ours(name)]
    if foreign:
        raise ConfigError(f"--out: {folder} holds {foreign[0]}", "name a new folder")
