"""Makes a sweep's folder, or takes an unfinished one over."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gimbal.errors import ConfigError, StorageError
from gimbal.experiment.files import atomic_write_text, ensure_folder, storage_errors
from gimbal.experiment.nearest import nearest
from gimbal.experiment.plain import to_plain
from gimbal.experiment.process_identity import this_process
from gimbal.experiment.run_state import utc_now
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.sweep_record import (
    SweepFolder,
    SweepRecord,
    SweepStatus,
    TrialRecord,
    TrialStatus,
    list_sweeps,
)
from gimbal.experiment.yaml_reading import read_yaml
from gimbal.experiment.yaml_writing import dump_yaml
from gimbal.sweeps.code_drift import drift_of
from gimbal.sweeps.plan import BASE_FILE
from gimbal.sweeps.spec import SweepFile, SweepSpec
from gimbal.sweeps.trials import points_of

_CLAIM = ".claim"
_MAY_CHANGE = ("base", "set", "samples", "concurrent", "budget_s")
"""Keys a resumed sweep may give anew: none of them changes a trial. What `set` changes in the base
config is found there."""
_MAY_CHANGE_IN_BASE = ("platform", "resources")
_SHOWN = 5
_DAMAGED = (
    "put it back from a copy, or start a new sweep: drop --resume (finished stages are not run "
    "again)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A sweep this process may work on.

    Attributes:
        folder: Its folder.
        resumed: It was begun by another process.
        ended: Every trial of it has ended already; there is nothing to do.
        drift: Says that it goes on with other code; empty: it does not.
    """

    folder: SweepFolder
    resumed: bool
    ended: bool = False
    drift: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumption:
    """How a sweep is taken over.

    Attributes:
        sweep_id: Which one, `sweep-…` or `name/sweep-…`; None: the newest of its name.
        retry_failed: Try trials that failed again.
        allow_drift: Go on although the code has changed; that is recorded.
    """

    sweep_id: str | None = None
    retry_failed: bool = False
    allow_drift: bool = False


def create(sweep: SweepFile, base: ExperimentSettings, runs_dir: Path) -> Opened:
    """Make a new sweep's folder, owned by this process.

    Raises:
        StorageError: It cannot be written.
    """
    experiment = ensure_folder(runs_dir / sweep.spec.name)
    while True:
        path = experiment / f"sweep-{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with storage_errors(path, "create the folder"), contextlib.suppress(FileExistsError):
            path.mkdir()
            break
    folder = SweepFolder(path)
    _write_inputs(folder, sweep.spec, base, runs_dir)
    folder.heartbeat.touch()
    folder.write(_record(path.name, sweep, base))
    return Opened(folder=folder, resumed=False)


def resume(sweep: SweepFile, base: ExperimentSettings, runs_dir: Path, how: Resumption) -> Opened:
    """Take over a sweep of that name.

    Raises:
        ConfigError: There is none, it still runs, or the files have changed since it began.
        Drift: The code has changed since, and trials are left to run.
    """
    folder = _find(runs_dir, sweep.spec.name, how.sweep_id)
    _require_unchanged(folder, sweep.spec, base)
    try:
        with FileLock(folder.path / _CLAIM, timeout=0, preserve_lock_file=True):
            record = folder.record()
            if record.status is SweepStatus.RUNNING:
                raise ConfigError(
                    f"the sweep {folder.path} is being run by {record.owner}",
                    "wait for it, or stop that process first",
                )
            again = _failures(folder) if how.retry_failed else []
            whole = not again and _has_everything(folder, sweep)
            if whole and record.status is SweepStatus.FINISHED:
                return Opened(folder=folder, resumed=True, ended=True)
            start = record.starts + 1
            drift = "" if whole else drift_of(folder, start, allowed=how.allow_drift)
            _forget(folder, again)
            _write_inputs(folder, sweep.spec, base, runs_dir)
            folder.heartbeat.touch()
            update = {
                "status": SweepStatus.RUNNING,
                "owner": this_process(),
                "starts": start,
                "samples": _samples(sweep),
                "drift": (*record.drift, drift) if drift else record.drift,
                "ended_at": None,
                "message": "",
            }
            folder.write(record.model_copy(update=update))
    except Timeout:
        raise ConfigError(
            f"another process is resuming {folder.path} just now", "wait for it"
        ) from None
    return Opened(folder=folder, resumed=True, drift=drift)


def _find(runs_dir: Path, name: str, sweep_id: str | None) -> SweepFolder:
    found = [s for s in list_sweeps(runs_dir) if s.path.parent.name == name]
    if not found:
        raise ConfigError(
            f"there is no sweep {name!r} in {runs_dir} to resume", "start one: drop --resume"
        )
    if sweep_id is None:
        return found[0]
    wanted = sweep_id.removeprefix(f"{name}/")
    for folder in found:
        if folder.path.name == wanted:
            return folder
    ids = [folder.path.name for folder in found]
    near = ", ".join((nearest(wanted, ids) or ids)[:_SHOWN])
    raise ConfigError(
        f"there is no sweep {sweep_id!r} of {name} in {runs_dir}",
        f"sweeps of that name: {near}; `gimbal runs sweeps` shows all",
    )


def _write_inputs(
    folder: SweepFolder, spec: SweepSpec, base: ExperimentSettings, runs_dir: Path
) -> None:
    """Keep both files as the trials read them, with the runs folder where it really is."""
    platform = base.platform.model_copy(update={"runs_dir": runs_dir.absolute()})
    atomic_write_text(folder.spec_file, dump_yaml(spec))
    pinned = base.model_copy(update={"platform": platform})
    atomic_write_text(folder.path / BASE_FILE, dump_yaml(pinned))


def _record(sweep_id: str, sweep: SweepFile, base: ExperimentSettings) -> SweepRecord:
    spec = sweep.spec
    return SweepRecord(
        id=sweep_id,
        name=spec.name,
        workload=base.workload,
        status=SweepStatus.RUNNING,
        owner=this_process(),
        metric=spec.metric,
        mode=spec.mode,
        axes=tuple(axis.key for axis in sweep.axes),
        seeds=spec.seeds,
        search=spec.search,
        scheduler=spec.asha.kind if spec.asha else "none",
        samples=_samples(sweep),
        across_protocols=spec.across_protocols,
        started_at=utc_now(),
    )


def _samples(sweep: SweepFile) -> int:
    """Return how many points the file asks for."""
    return sweep.spec.samples or len(points_of(sweep.spec, sweep.axes) or ())


def _has_everything(folder: SweepFolder, sweep: SweepFile) -> bool:
    """Return whether all trials that the file asks for now have ended."""
    trials = folder.trials()
    wanted = _samples(sweep) * len(sweep.spec.seeds)
    return len(trials) >= wanted and all(trial.status.is_terminal for trial in trials)


def _failures(folder: SweepFolder) -> list[TrialRecord]:
    return [trial for trial in folder.trials() if trial.status is TrialStatus.FAILED]


def _forget(folder: SweepFolder, failures: Iterable[TrialRecord]) -> None:
    for trial in failures:
        update = {"status": TrialStatus.WAITING, "ended_at": None, "metric": None}
        folder.write_trial(trial.model_copy(update=update))


def _require_unchanged(folder: SweepFolder, spec: SweepSpec, base: ExperimentSettings) -> None:
    then = _kept(folder.spec_file)
    changes = [
        *_changes(then, to_plain(spec), _MAY_CHANGE),
        *_reordered(then.get("space"), spec.space),
        *_changes(_kept(folder.path / BASE_FILE), to_plain(base), _MAY_CHANGE_IN_BASE),
    ]
    if changes:
        listed = "\n  ".join(changes[:_SHOWN])
        more = f"\n  … and {len(changes) - _SHOWN} more" if changes[_SHOWN:] else ""
        raise ConfigError(
            f"the files of {folder.path} have changed since it began:\n  {listed}{more}",
            "take that back, or start a new sweep: drop --resume (finished stages are not run "
            "again)",
        )


def _kept(file: Path) -> Mapping[str, Any]:
    """Return one of the sweep's own two files.

    Raises:
        StorageError: It is damaged.
    """
    try:
        data = read_yaml(file).data
    except ConfigError as error:
        raise StorageError(f"{file} is damaged: {error.message}", _DAMAGED) from error
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise StorageError(f"{file} is damaged: it holds no keys", _DAMAGED)
    return data


def _reordered(then: Any, now: Mapping[str, Any]) -> list[str]:
    """Return a sentence where the same keys stand in another order, which draws other points."""
    if not isinstance(then, Mapping) or list(then) == list(now) or set(then) != set(now):
        return []
    return [f"space: the order of keys {', '.join(then)} → {', '.join(now)}"]


def _changes(
    then: Mapping[str, Any], now: Mapping[str, Any], may_change: tuple[str, ...], prefix: str = ""
) -> list[str]:
    """Return a sentence for each key whose value is not what it was."""
    found: list[str] = []
    for key in sorted({*then, *now}):
        if key in may_change:
            continue
        before, after = then.get(key), now.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _changes(before, after, (), f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} → {after}")
    return found
