"""A sweep's way into `gimbal serve`, as the command line talks to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gimbal.cli.api_client import ApiClient
from gimbal.cli.portable import portable_config
from gimbal.experiment.settings import ExperimentSettings


@dataclass(frozen=True, slots=True)
class ServiceDoor:
    """A `sweeps.doors.JobDoor` over HTTP.

    Attributes:
        server: URL of the service; None: `GIMBAL_SERVER`, else this machine's.
    """

    server: str | None = None

    def submit(self, workload: str, settings: ExperimentSettings, key: str) -> dict[str, Any]:
        """See `JobDoor`."""
        body = {
            "workload": workload,
            "name": settings.experiment,
            "config": portable_config(settings),
        }
        with ApiClient(self.server) as client:
            job: dict[str, Any] = client.post("/v1/jobs", body, {"Idempotency-Key": key})
        return job

    def get(self, job_id: str) -> dict[str, Any]:
        """See `JobDoor`."""
        with ApiClient(self.server) as client:
            job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}")
        return job

    def cancel(self, job_id: str) -> None:
        """See `JobDoor`."""
        with ApiClient(self.server) as client:
            client.post(f"/v1/jobs/{job_id}/cancel")

    def require(self) -> None:
        """Refuse to begin where nobody answers or lets us in.

        Raises:
            GimbalError: See `ApiClient`.
        """
        with ApiClient(self.server) as client:
            client.get("/v1/jobs", limit=1)
