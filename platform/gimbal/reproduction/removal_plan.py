"""Look up what removing runs, sweeps and their stages means, before anything is removed.

What another run links to or has read stays. Only folders right below an experiment of the runs
folder can be named, and a link never leads out of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gimbal.errors import ConfigError, GimbalError, StorageError
from gimbal.experiment.files import read_json
from gimbal.experiment.run_finding import find, list_runs
from gimbal.experiment.run_folder import RUN_ID, RunFolder
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.stage_store import STORE_FOLDER
from gimbal.experiment.sweep_record import SWEEP_ID, SweepFolder, SweepStatus, find_sweep
from gimbal.reproduction.place import places_of

_PRINT_DIGITS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """What will be removed, as looked up beforehand.

    Attributes:
        runs_dir: The folder of all runs, links resolved.
        runs: Runs, each once.
        sweeps: Sweeps whose trials are among the runs.
        reproductions: What reproducing the runs left in `.reproduced`.
        stages: Stage folders that nothing else links to or read.
        kept: Stage folders that stay, with the reason.
        size_bytes: Of everything that goes.
    """

    runs_dir: Path
    runs: tuple[Path, ...]
    sweeps: tuple[Path, ...]
    reproductions: tuple[Path, ...]
    stages: tuple[Path, ...]
    kept: tuple[tuple[Path, str], ...]
    size_bytes: int


def plan_removal(runs_dir: Path, references: Sequence[str], *, stages: bool) -> Removal:
    """Look up what removing runs and sweeps means.

    Args:
        runs_dir: The folder of all runs.
        references: Runs (id, its beginning, `experiment/id`, a path, `latest`) and sweeps
            (`name/sweep-id`, or its id).
        stages: Also the stages that no other run needs.

    Raises:
        ConfigError: There is no such run or sweep, or it lies outside the runs folder.
        GimbalError: One of them is running.
    """
    root = Path(os.path.realpath(runs_dir))
    runs: dict[Path, None] = {}
    sweeps: dict[Path, None] = {}
    for reference in references:
        if SWEEP_ID.match(_last(reference)):
            sweep = find_sweep(runs_dir, reference)
            sweeps[_inside(root, sweep.path)] = None
            runs |= dict.fromkeys(_trials(root, sweep))
        else:
            runs[_inside(root, _find_run(runs_dir, reference).path)] = None
    for path in runs:
        require_ended(RunFolder(path))
    for path in sweeps:
        require_sweep_ended(SweepFolder(path))
    again = tuple(path for run in runs for path in places_of(root, run.name))
    going, kept = _stages_of(root, runs) if stages else ((), ())
    return Removal(
        runs_dir=root,
        runs=tuple(runs),
        sweeps=tuple(sweeps),
        reproductions=again,
        stages=going,
        kept=kept,
        size_bytes=sum(size_of(path) for path in (*runs, *sweeps, *again, *going)),
    )


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files; links count as themselves."""
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(here, name)).st_size  # noqa: PTH118  many files
    return total


def _last(reference: str) -> str:
    return reference.rstrip("/").rpartition("/")[2]


def _find_run(runs_dir: Path, reference: str) -> RunFolder:
    run = find(runs_dir, reference)
    if reference != "latest" and not run.path.resolve().name.startswith(_last(reference) or "/"):
        raise ConfigError(
            f"{reference!r} names an experiment, not one of its runs",
            f"write {run.path.parent.name}/{run.id} to remove its newest run",
        )
    return run


def _inside(root: Path, path: Path) -> Path:
    """Return a run's or sweep's folder in its place below the runs folder.

    Raises:
        ConfigError: It lies elsewhere, or a link leads to it.
    """
    real = Path(os.path.realpath(path))
    if real.parent.parent != root or path.is_symlink():
        raise ConfigError(
            f"{path} is not a folder right below an experiment in {root}",
            "name the folder of all runs with --runs-dir; links are not followed out of it",
        )
    if not (RUN_ID.match(real.name) or SWEEP_ID.match(real.name)):
        raise ConfigError(f"{path} is not named like a run", "remove it by hand if you are sure")
    return real


def _trials(root: Path, sweep: SweepFolder) -> Iterator[Path]:
    """Yield the runs of a sweep: those it recorded, and those that name it."""
    name = f"{sweep.path.parent.name}/{sweep.path.name}"
    recorded = {Path(trial.run_dir).name for trial in sweep.trials() if trial.run_dir}
    for entry in list_runs(root):
        if (entry.state and entry.state.sweep == name) or entry.folder.id in recorded:
            yield _inside(root, entry.folder.path)


def require_ended(run: RunFolder) -> None:
    """Refuse a run that is running; a damaged one counts as ended.

    Raises:
        GimbalError: It is running.
    """
    with contextlib.suppress(StorageError):
        state = run.state()
        if state.status is RunStatus.RUNNING:
            raise GimbalError(
                f"run {run.id} is running ({state.owner})", "stop it first, then remove it"
            )


def require_sweep_ended(sweep: SweepFolder) -> None:
    """Refuse a sweep that is running; a damaged one counts as ended.

    Raises:
        GimbalError: It is running.
    """
    with contextlib.suppress(StorageError):
        record = sweep.record()
        if record.status is SweepStatus.RUNNING:
            raise GimbalError(
                f"sweep {sweep.path.name} is running ({record.owner})",
                "stop it first, then remove it",
            )


def _stages_of(
    root: Path, runs: Iterable[Path]
) -> tuple[tuple[Path, ...], tuple[tuple[Path, str], ...]]:
    """Sort the stages of some runs into those nothing else needs, and the others."""
    going = set(runs)
    mine: dict[Path, None] = {}
    for run in sorted(going):
        mine |= dict.fromkeys(_links(root, run))
    users = users_of_stages(root, going)
    kept = [(path, f"{users[path]} uses it") for path in mine if path in users]
    return tuple(path for path in mine if path not in users), tuple(kept)


def _links(root: Path, run: Path) -> Iterator[Path]:
    """Yield the stage folders in the store that a run links to."""
    store = root / STORE_FOLDER
    for link in sorted((run / "stages").glob("*")):
        real = Path(os.path.realpath(link))
        if link.is_symlink() and real.parent.parent == store and real.is_dir():
            yield real


def users_of_stages(root: Path, going: set[Path]) -> dict[Path, str]:
    """Return, by stage folder, a run outside `going` that links to it or read it."""
    users: dict[Path, str] = {}
    for run in sorted(root.glob("*/*")):
        if run.parent.name.startswith(".") or run in going or not (run / "stages").is_dir():
            continue
        for path in (*_links(root, run), *_read_by(root, run)):
            users.setdefault(path, f"{run.parent.name}/{run.name}")
    return users


def _read_by(root: Path, run: Path) -> Iterator[Path]:
    """Yield the stages a run read without linking to them: a policy that it only judged, say."""
    try:
        data = read_json(run / "provenance.json")["data"]
        prints = [str(value) for name, value in data.items() if not name.endswith(" rows")]
    except (StorageError, KeyError, TypeError, AttributeError):
        return
    for identity in filter(None, prints):
        digest, _, generation = identity.partition("-g")
        yield from (root / STORE_FOLDER).glob(f"*/{digest[:_PRINT_DIGITS]}-g{generation or 0}")
