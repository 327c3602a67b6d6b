"""What the rest of Gimbal sees of tracking; `NullTracker` is what it sees when it is off.

Every method returns at once and never raises: a run does not depend on being watched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from gimbal.experiment.stage import GateResult
from gimbal.tracking.records import RunStatus


class StageTrackerPort(Protocol):
    """Tells MLflow about one stage: a child run."""

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Record the numbers of a nested mapping; words and None are left out."""

    def tags(self, values: Mapping[str, Any]) -> None:
        """Record facts, such as the fingerprint of the stage's data."""

    def follow(self, path: Path) -> None:
        """Record every number the stage appends to its `metrics.jsonl` until it ends.

        The run above has the curves of its first such stage too: MLflow's charts show the top rows
        of a table, and runs or trials overlay without unfolding their stages.
        """

    def gate(self, result: GateResult) -> None:
        """Record a gate: a tag with its message, and 1 or 0 as a metric."""

    def checkpoints(self, index: Path) -> None:
        """Record every checkpoint `checkpoints/index.json` lists; the best becomes an artifact."""

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Copy a file or folder into the run's artifacts, as it is when delivered."""

    def finish(self, status: RunStatus) -> None:
        """The stage ended; what its files hold by now is still delivered."""


class TrackerPort(Protocol):
    """Tells MLflow about one run: a parent run with a child per stage."""

    @property
    def uri(self) -> str:
        """The MLflow store, empty when tracking is off; it may hold a password."""

    def stage(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> StageTrackerPort:
        """Start or continue a stage's child run."""

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Record the numbers of a nested mapping; words and None are left out."""

    def tags(self, values: Mapping[str, Any]) -> None:
        """Record facts about the whole run."""

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Copy a file or folder into the run's artifacts, as it is when delivered."""

    def finish(self, status: RunStatus) -> None:
        """The run ended; stages still open end with it."""

    def close(self, timeout_s: float) -> int:
        """Deliver what a time allows; return how many records wait for a later run or sync."""


class NullTracker:
    """Tracking that is switched off, of a run or of a stage."""

    uri = ""

    def stage(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> StageTrackerPort:
        """Return itself."""
        return self

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Ignore."""

    def tags(self, values: Mapping[str, Any]) -> None:
        """Ignore."""

    def follow(self, path: Path) -> None:
        """Ignore."""

    def gate(self, result: GateResult) -> None:
        """Ignore."""

    def checkpoints(self, index: Path) -> None:
        """Ignore."""

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Ignore."""

    def finish(self, status: RunStatus) -> None:
        """Ignore."""

    def close(self, timeout_s: float) -> int:
        """Return 0: nothing waits."""
        return 0
