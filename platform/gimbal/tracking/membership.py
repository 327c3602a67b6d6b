"""Which sweep a run is a trial of, and the sweep's own run in MLflow.

A trial is delivered under the lock of its sweep, whoever delivers it, so that two couriers can
neither make the sweep's run twice nor send the same trial at the same time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from gimbal.experiment.sweep_record import SWEEP_ID
from gimbal.tracking import outbox
from gimbal.tracking.records import OpenRun
from gimbal.tracking.state import Identity, load_identity
from gimbal.tracking.store import Store, StoreRefused


def is_sweep(run_dir: Path) -> bool:
    """Tell whether a folder that is tracked is a sweep's and not a run's."""
    return SWEEP_ID.match(run_dir.name) is not None


def sweep_of(run_dir: Path, identity: Identity) -> Path | None:
    """Return the tracked sweep a run belongs to; None for a run by itself.

    Args:
        run_dir: The run folder, `<runs folder>/<experiment>/<run id>`.
        identity: The run's.
    """
    if not identity.part_of:
        return None
    sweep_dir = run_dir.parents[1] / identity.part_of
    return sweep_dir if load_identity(sweep_dir) is not None else None


def trials_of(sweep_dir: Path) -> Iterator[tuple[Path, Identity]]:
    """Yield the tracked trials of a sweep, which lie beside it; nothing for a run's folder."""
    if not is_sweep(sweep_dir):
        return
    for name in folders_in(sweep_dir.parent):
        run_dir = sweep_dir.parent / name
        identity = trial_identity(run_dir, sweep_dir)
        if identity is not None:
            yield run_dir, identity


def folders_in(parent: Path) -> list[str]:
    """Return the names of a folder's folders, sorted; none where it cannot be read."""
    try:
        with os.scandir(parent) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def trial_identity(run_dir: Path, sweep_dir: Path) -> Identity | None:
    """Return the identity of a trial of this sweep; None for anything else."""
    identity = load_identity(run_dir)
    name = f"{sweep_dir.parent.name}/{sweep_dir.name}"
    return identity if identity is not None and identity.part_of == name else None


def lock_folder(run_dir: Path, identity: Identity) -> Path:
    """Return the tracking folder whose lock a courier holds while it delivers the run."""
    return outbox.folder(sweep_of(run_dir, identity) or run_dir)


def ensure_sweep_run(sweep_dir: Path, store: Store) -> str | None:
    """Return the id of a sweep's MLflow run, making it where there is none.

    None where the sweep never said what it is, or MLflow will not have it: its trials then stand
    by themselves.

    Raises:
        StoreUnavailable, StoreLost: The store failed.
    """
    identity, opening = load_identity(sweep_dir), _opening(sweep_dir)
    if identity is None or opening is None:
        return None
    with contextlib.suppress(StoreRefused):
        return store.ensure_run(
            store.ensure_experiment(opening.experiment),
            key=identity.key,
            name=opening.name,
            start_ms=opening.at_ms,
            tags=opening.tags,
        )
    return None


def _opening(sweep_dir: Path) -> OpenRun | None:
    entries = outbox.read_entries(outbox.outbox_file(sweep_dir), 0)
    records = (entry.record for entry in entries)
    return next((record for record in records if isinstance(record, OpenRun)), None)
