"""A sweep's way into `gimbal serve`, as the command line talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gimbal.cli.api_client import ApiClient, Refused, ServiceUnreachable
from gimbal.cli.portable import portable_config
from gimbal.experiment.settings import ExperimentSettings
from gimbal.sweeps.doors import NoSuchJob, ServiceAway

_NOT_FOUND = 404
_PASSING = (429, 500, 502, 503, 504)
"""Statuses after which the same request may be answered a little later."""


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
        with self._client() as client:
            job: dict[str, Any] = client.post("/v1/jobs", body, {"Idempotency-Key": key})
        return job

    def get(self, job_id: str) -> dict[str, Any]:
        """See `JobDoor`."""
        try:
            with self._client() as client:
                job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}")
        except Refused as error:
            if error.status == _NOT_FOUND:
                raise NoSuchJob(error.message, error.remedy) from error
            raise
        return job

    def cancel(self, job_id: str) -> None:
        """See `JobDoor`."""
        with self._client() as client:
            client.post(f"/v1/jobs/{job_id}/cancel")

    @contextmanager
    def _client(self) -> Iterator[ApiClient]:
        """Give a client whose passing troubles are `ServiceAway`."""
        try:
            with ApiClient(self.server) as client:
                yield client
        except ServiceUnreachable as error:
            raise ServiceAway(error.message, error.remedy) from error
        except Refused as error:
            if error.status in _PASSING:
                raise ServiceAway(error.message, error.remedy) from error
            raise

    def require(self) -> None:
        """Refuse to begin where nobody answers or lets us in.

        Raises:
            GimbalError: See `ApiClient`.
        """
        with ApiClient(self.server) as client:
            client.get("/v1/jobs", limit=1)
