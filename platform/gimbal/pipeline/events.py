"""What a run tells whoever watches it: the command line, a log, later the job service."""

from __future__ import annotations

from typing import Protocol

from gimbal.experiment.stage import GateResult


class Observer(Protocol):
    """Watches a run. Every method returns at once and never raises."""

    def run_started(self, run_dir: str, stages: tuple[str, ...], resumed: bool) -> None:
        """The run folder exists; `resumed` when an earlier, dead run is continued."""

    def stage_skipped(self, name: str, reason: str) -> None:
        """A finished result with the same fingerprint is used."""

    def stage_waiting(self, name: str, holder: str) -> None:
        """Another process is building the same stage."""

    def stage_started(self, name: str, reason: str) -> None:
        """The stage runs; `reason` says why it was not skipped."""

    def stage_progress(self, name: str, done: int, total: int, words: str) -> None:
        """How far the stage is."""

    def stage_finished(self, name: str, seconds: float) -> None:
        """The stage is whole."""

    def gate_checked(self, stage: str, result: GateResult) -> None:
        """A gate was compared with the stage's numbers."""

    def notice(self, message: str) -> None:
        """Something worth reading that stops nothing."""


class SilentObserver:
    """An observer that ignores everything."""

    def run_started(self, run_dir: str, stages: tuple[str, ...], resumed: bool) -> None:
        """Ignore."""

    def stage_skipped(self, name: str, reason: str) -> None:
        """Ignore."""

    def stage_waiting(self, name: str, holder: str) -> None:
        """Ignore."""

    def stage_started(self, name: str, reason: str) -> None:
        """Ignore."""

    def stage_progress(self, name: str, done: int, total: int, words: str) -> None:
        """Ignore."""

    def stage_finished(self, name: str, seconds: float) -> None:
        """Ignore."""

    def gate_checked(self, stage: str, result: GateResult) -> None:
        """Ignore."""

    def notice(self, message: str) -> None:
        """Ignore."""
