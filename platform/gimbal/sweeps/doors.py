"""The port to a job service; the command line has the adapter."""

from __future__ import annotations

from typing import Any, Protocol

from gimbal.experiment.settings import ExperimentSettings


class JobDoor(Protocol):
    """The service, as a sweep needs it. Picklable; every method may raise `GimbalError`."""

    def submit(self, workload: str, settings: ExperimentSettings, key: str) -> dict[str, Any]:
        """Submit a config; the same key gives the same job."""

    def get(self, job_id: str) -> dict[str, Any]:
        """Return a job."""

    def cancel(self, job_id: str) -> None:
        """Ask a job to checkpoint and leave for good."""
