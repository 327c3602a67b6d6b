"""Delivers what earlier runs could not: `gimbal runs sync`, and the start of `gimbal ui`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gimbal.tracking import uris
from gimbal.tracking.courier_process import CourierProcess
from gimbal.tracking.leftovers import runs_with_leftovers
from gimbal.tracking.state import EMBEDDED, remaining


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncReport:
    """What a sync did.

    Attributes:
        delivered: Runs MLflow has whole now.
        remaining: Records each other run still keeps; runs going on are among them.
    """

    delivered: tuple[Path, ...]
    remaining: Mapping[Path, int]

    def __str__(self) -> str:
        if not self.delivered and not self.remaining:
            return "MLflow has everything"
        words = [f"delivered {len(self.delivered)} run(s) to MLflow"]
        words += [f"{run}: {count} records still wait" for run, count in self.remaining.items()]
        return "\n".join(words)


def sync(
    runs_dir: Path,
    *,
    on_warning: Callable[[str], None],
    timeout_s: float = 120.0,
    environment: Mapping[str, str] = os.environ,
) -> SyncReport:
    """Deliver what is left of all runs of a folder, each to the store it was made for.

    Args:
        runs_dir: The folder of all runs.
        on_warning: Called with a sentence for the user, also from another thread.
        timeout_s: Longest time for one store.
        environment: Where `MLFLOW_TRACKING_URI` supplies a password that no run keeps.
    """
    by_store: dict[str, list[Path]] = defaultdict(list)
    for run_dir, identity in runs_with_leftovers(runs_dir):
        by_store[identity.uri].append(run_dir)
    for shown in by_store:
        uri = _with_password(shown, runs_dir, environment)
        if uri is None:
            on_warning(f"set {uris.ENVIRONMENT_VARIABLE} to {shown}, with its password")
            continue
        log = runs_dir / ".tracking-sync.log"
        CourierProcess(["--all", str(runs_dir.absolute())], uri, log, on_warning).wait(timeout_s)
    runs = [run for some in by_store.values() for run in some]
    left = {run: count for run in runs if (count := remaining(run))}
    return SyncReport(delivered=tuple(r for r in runs if r not in left), remaining=left)


def _with_password(shown: str, runs_dir: Path, environment: Mapping[str, str]) -> str | None:
    if shown == EMBEDDED:
        return uris.embedded_uri(runs_dir)
    given = environment.get(uris.ENVIRONMENT_VARIABLE, "")
    if given and uris.redacted(given) == shown:
        return given
    return None if ":…@" in shown else shown
