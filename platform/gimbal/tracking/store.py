"""What a delivery needs of MLflow, and the three ways in which it can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from gimbal.tracking.following import Point
from gimbal.tracking.records import RunStatus


class StoreUnavailable(Exception):
    """MLflow does not answer, or not now; trying again later may help."""


class StoreRefused(Exception):
    """MLflow answered that it will never take this."""


class StoreLost(Exception):
    """MLflow does not know the run any more: its database was replaced."""


class Store(Protocol):
    """An MLflow store. Every call may be repeated without harm.

    Raises:
        StoreUnavailable, StoreRefused, StoreLost: From every method.
    """

    def ensure_experiment(self, name: str) -> str:
        """Return the id of the experiment, making it where there is none."""

    def ensure_run(
        self,
        experiment_id: str,
        *,
        key: str,
        name: str,
        start_ms: int,
        tags: Mapping[str, str],
    ) -> str:
        """Return the id of the run whose `gimbal.key` is `key`, making it where there is none."""

    def reopen(self, run_id: str) -> None:
        """Mark a run as running again."""

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Record params; one that has another value already keeps it."""

    def log_metrics(self, run_id: str, points: Sequence[Point]) -> None:
        """Record points."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""

    def drop_tags(self, run_id: str, names: Sequence[str]) -> None:
        """Remove tags; one that is not there is fine."""

    def log_artifact(self, run_id: str, path: Path, name: str) -> None:
        """Copy a file or a folder's content to the artifact `name`."""

    def finish(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """Mark a run as ended."""

    def answers(self) -> bool:
        """Tell whether the store takes simple requests just now; raises nothing."""
