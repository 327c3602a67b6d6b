"""Hands attempts to Ray Jobs.

What Ray runs is always this interpreter with `gimbal run` on a file the service wrote: no text of a
client reaches the shell that Ray starts drivers with. Ray answers errors with tracebacks of its
own; they stay here, callers learn only that Ray did not do it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gimbal.experiment.attempt import ATTEMPT_VARIABLE
from gimbal.gpus.backend import BACKEND_VARIABLE
from gimbal.jobs.attempt_files import attempt_folder, config_path
from gimbal.jobs.model import Attempt, Job
from gimbal.jobs.ports import LaunchReport, LaunchStatus, LaunchUnavailable
from gimbal.jobs.submission import parse_submission_id

T = TypeVar("T")

_TIMEOUT_S = (3.0, 10.0)
"""To connect, and to answer: a tick must not wait for a Ray that hangs, and a list of jobs takes a
busy dashboard a second or two."""
_STOP_WAIT_S = 20
"""From SIGTERM to SIGKILL; the 3 s of Ray may not let a driver say in its folder what came."""
_MESSAGE_CHARS = 4_000
"""End of Ray's message that is kept; it holds up to 20,000 characters of the driver's log."""
_PASSED_ON = ("RAY_AUTH_MODE", BACKEND_VARIABLE, "GIMBAL_FAKE_GPUS", "GIMBAL_FAKE_GPUS_STATE")
"""Variables of the service that its jobs need as well: how to speak to Ray, and which GPUs."""
_NOT_FOUND = 404


class _Refused(Exception):
    """Ray answered with an error; only its status is kept."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class RayLauncher:
    """A `Launcher` on the Ray Jobs API.

    Args:
        dashboard: URL of Ray's dashboard, such as `http://127.0.0.1:8265`.
        runs_dir: The service's runs folder, seen under the same path by Ray's head.
        working_dir: Where drivers run, so that relative paths in a config mean what they mean to
            the service; None: where this process runs.
        python: The interpreter on Ray's head; None: this one.
    """

    def __init__(
        self,
        dashboard: str,
        runs_dir: Path,
        *,
        working_dir: Path | None = None,
        python: str | None = None,
    ) -> None:
        self._dashboard = dashboard
        self._runs_dir = runs_dir.absolute()
        self._working_dir = (working_dir or Path.cwd()).absolute()
        self._python = python or sys.executable
        self._connected: Any = None

    def launch(self, job: Job, attempt: Attempt) -> None:
        """Start an attempt; one that was started already is left alone.

        Raises:
            LaunchUnavailable: Ray does not answer; it may or may not have been started.
        """
        try:
            self._ask(
                "launch",
                lambda ray: ray.submit_job(
                    entrypoint=self.entrypoint(job),
                    submission_id=attempt.submission_id,
                    runtime_env={"env_vars": self.environment(job, attempt)},
                    metadata={"user": job.spec.user, "job": job.id},
                    entrypoint_num_cpus=0,
                ),
            )
        except _Refused as refused:
            # An id that is taken is an internal error to Ray, told apart by its text only.
            if not self._knows(attempt.submission_id):
                raise LaunchUnavailable(f"Ray answered {refused.status} to a launch") from None

    def reports(self) -> Mapping[str, LaunchReport]:
        """Return how every attempt of Gimbal's stands that Ray knows, by submission id.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        try:
            listed = self._ask("list", lambda ray: ray.list_jobs())
        except _Refused as refused:
            raise LaunchUnavailable(f"Ray answered {refused.status} to a list") from None
        return {
            job.submission_id: _report(job)
            for job in listed
            if job.submission_id and parse_submission_id(job.submission_id) is not None
        }

    def stop(self, submission_id: str) -> None:
        """Ask Ray to end an attempt: SIGTERM, then SIGKILL; unknown or ended ones are ignored.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        self._ask_about(submission_id, "stop", lambda ray: ray.stop_job(submission_id))

    def forget(self, submission_id: str) -> None:
        """Drop an ended attempt from Ray's list; unknown ones are ignored.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        self._ask_about(submission_id, "forget", lambda ray: ray.delete_job(submission_id))

    def session(self) -> str | None:
        """Return the name of the session that answers: another one after a restart of the head."""
        try:
            answer = self._ask("answer", lambda ray: ray._do_request("GET", "/api/version"))
            name = answer.json().get("session_name")
        except (LaunchUnavailable, _Refused, ValueError):
            return None
        return str(name) if name else None

    def entrypoint(self, job: Job) -> str:
        """Return the shell line that starts a driver; `exec`, so that its signals are told."""
        command = [self._python, "-P", "-m", "gimbal.cli.main", "run"]
        command.append(str(config_path(self._runs_dir, job.id)))
        return f"cd {shlex.quote(str(self._working_dir))} && exec {shlex.join(command)}"

    def environment(self, job: Job, attempt: Attempt) -> dict[str, str]:
        """Return the variables an attempt's driver and workers get."""
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        folder = attempt_folder(self._runs_dir, job.id, attempt.number)
        return {
            **passed_on,
            ATTEMPT_VARIABLE: str(folder.path),
            "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_WAIT_S),
            # A task that asks for no GPU sees none; Ray's default leaves all of them visible.
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
        }

    def _knows(self, submission_id: str) -> bool:
        try:
            self._ask("look up", lambda ray: ray.get_job_info(submission_id))
        except _Refused:
            return False
        return True

    def _ask_about(self, submission_id: str, what: str, question: Callable[[Any], object]) -> None:
        try:
            self._ask(what, question)
        except _Refused as refused:
            if refused.status != _NOT_FOUND:
                words = f"Ray answered {refused.status} to {what} {submission_id}"
                raise LaunchUnavailable(words) from None

    def _ask(self, what: str, question: Callable[[Any], T]) -> T:
        """Ask Ray, connecting first where needed.

        Raises:
            LaunchUnavailable: Ray does not answer, or does not let us in.
            _Refused: Ray answers with an error.
        """
        import requests
        from ray.exceptions import AuthenticationError

        try:
            if self._connected is None:
                self._connected = _connect(self._dashboard)
            return question(self._connected)
        except (requests.RequestException, OSError, ValueError) as error:
            self._connected = None  # Ray may come back as another version, with another token
            kind = type(error).__name__
            raise LaunchUnavailable(f"Ray at {self._dashboard} did not {what}: {kind}") from error
        except AuthenticationError as error:
            self._connected = None
            raise LaunchUnavailable(
                f"Ray at {self._dashboard} does not accept our token: RAY_AUTH_MODE must be the "
                "same here and there"
            ) from error


def _connect(dashboard: str) -> Any:
    """Return a client whose every request ends in time and whose errors carry only a status."""
    from ray.dashboard.modules.dashboard_sdk import SubmissionClient
    from ray.job_submission import JobSubmissionClient

    import ray

    class Client(JobSubmissionClient):
        def __init__(self) -> None:
            # Not the parent's: RAY_ADDRESS would replace the address, and a GCS that is down be
            # asked for it for minutes.
            self._client_ray_version = ray.__version__
            SubmissionClient.__init__(self, address=dashboard)
            self._check_connection_and_version()

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": _TIMEOUT_S, **options})

        def _raise_error(self, response: Any) -> None:
            raise _Refused(int(response.status_code))

    try:
        return Client()
    except RuntimeError as error:  # Ray's word for a version it does not know
        raise LaunchUnavailable(f"{dashboard} is no Ray this client can speak to") from error


def _report(job: Any) -> LaunchReport:
    return LaunchReport(
        status=LaunchStatus(str(job.status.value).lower()),
        exit_code=job.driver_exit_code,
        message=(job.message or "")[-_MESSAGE_CHARS:],
    )
