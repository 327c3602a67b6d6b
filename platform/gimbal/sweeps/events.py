"""What a sweep tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

from gimbal.experiment.sweep_record import TrialRecord


class SweepObserver(Protocol):
    """Watches a sweep. Every method returns at once and never raises."""

    def sweep_started(self, folder: str, total: int, left: int, concurrent: int) -> None:
        """The sweep begins or goes on with the trials that are left."""

    def trial_moved(self, trial: TrialRecord) -> None:
        """A trial began, is delayed, or goes on."""

    def trial_ended(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """A trial ended."""

    def notice(self, message: str) -> None:
        """Something worth reading that stops nothing."""


class SilentSweepObserver:
    """An observer that ignores everything."""

    def sweep_started(self, folder: str, total: int, left: int, concurrent: int) -> None:
        """Ignore."""

    def trial_moved(self, trial: TrialRecord) -> None:
        """Ignore."""

    def trial_ended(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """Ignore."""

    def notice(self, message: str) -> None:
        """Ignore."""
