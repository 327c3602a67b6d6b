"""The port to a job service; the command line has the adapter."""

from __future__ import annotations

from typing import Any, Protocol

from gimbal.errors import GimbalError
from gimbal.experiment.settings import ExperimentSettings


class ServiceAway(GimbalError):
    """The service does not answer just now, or is too busy to."""


class NoSuchJob(GimbalError):
    """The service has no such job: its store was replaced."""


class JobDoor(Protocol):
    """The service, as a sweep needs it. Picklable.

    Every method may raise `ServiceAway`, which passes, and any other `GimbalError`, which does not.
    """

    def submit(self, workload: str, settings: ExperimentSettings, key: str) -> dict[str, Any]:
        """Submit a config; the same key gives the same job."""

    def get(self, job_id: str) -> dict[str, Any]:
        """Return a job.

        Raises:
            NoSuchJob: There is none.
        """

    def cancel(self, job_id: str) -> None:
        """Ask a job to checkpoint and leave for good."""
