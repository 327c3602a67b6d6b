"""What `RayLauncher` says to Ray's dashboard, and what it makes of its answers."""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gimbal.jobs import ray_launcher
from gimbal.jobs.model import Attempt, AttemptPhase, Job, JobSpec, JobState
from gimbal.jobs.ports import LaunchStatus, LaunchUnavailable
from gimbal.jobs.ray_launcher import RayLauncher
from gimbal.scheduling.model import JobId

SECRET = "Traceback: /home/ray/secret"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Dashboard:
    """A dashboard that knows some jobs and answers as it is told."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.status: int | None = None
        self.hangs_s = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self.reply()

            def do_POST(self) -> None:
                self.reply()

            def do_DELETE(self) -> None:
                self.reply()

            def reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path))
                time.sleep(outer.hangs_s)
                status, value = outer.answer(self.command, self.path, body)
                data = value if isinstance(value, str) else json.dumps(value)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(data.encode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.server.handle_error = lambda *_: None  # a client that does not wait for an answer
        serve = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        serve.start()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        import ray

        if path == "/api/version":
            return 200, {"ray_version": ray.__version__, "version": "4", "ray_commit": ""}
        if self.status is not None:
            return self.status, SECRET
        if path == "/api/jobs/" and method == "GET":
            return 200, list(self.jobs.values())
        if path == "/api/jobs/":
            return self.submit(json.loads(body))
        name, _, action = path.removeprefix("/api/jobs/").partition("/")
        if name not in self.jobs:
            return 404, f"Job {name} does not exist"
        if method == "DELETE":
            del self.jobs[name]
            return 200, {"deleted": True}
        return 200, {"stopped": True} if action == "stop" else self.jobs[name]

    def submit(self, request: dict[str, Any]) -> tuple[int, Any]:
        name = request["submission_id"]
        if name in self.jobs:
            return 500, f"{SECRET}: Job with submission_id {name} already exists."
        self.jobs[name] = {**details(name, "PENDING"), "entrypoint": request["entrypoint"]}
        self.jobs[name] |= {key: request[key] for key in ("metadata", "runtime_env")}
        return 200, {"job_id": name, "submission_id": name}


def details(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "SUBMISSION",
        "submission_id": name,
        "status": status,
        "entrypoint": "true",
        **more,
    }


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(ray_launcher, "_TIMEOUT_S", (0.5, 0.5))
    dashboard = Dashboard()
    yield dashboard
    dashboard.server.shutdown()
    dashboard.server.server_close()


@pytest.fixture
def launcher(dashboard: Dashboard, tmp_path: Path) -> RayLauncher:
    return RayLauncher(dashboard.url, tmp_path / "my runs", working_dir=Path("/some where"))


def job(user: str = "ann") -> Job:
    spec = JobSpec(workload="toy", experiment="x; rm -rf /", config={}, user=user)
    return Job(id=JobId("job-abc"), spec=spec, state=JobState.RUNNING, submitted_at=NOW)


def attempt(number: int = 1) -> Attempt:
    return Attempt(
        number=number,
        phase=AttemptPhase.LAUNCHING,
        submission_id=f"gimbal-job-abc-{number}",
        granted_at=NOW,
    )


def test_the_shell_line_holds_our_own_paths_only_and_quoted(
    launcher: RayLauncher, dashboard: Dashboard, tmp_path: Path
) -> None:
    launcher.launch(job(), attempt())
    line = dashboard.jobs["gimbal-job-abc-1"]["entrypoint"]
    words = shlex.split(line)
    assert words[:4] == ["cd", "/some where", "&&", "exec"]
    assert words[5:9] == ["-P", "-m", "gimbal.cli.main", "run"]
    assert words[9:] == [str(tmp_path / "my runs" / ".jobs" / "job-abc" / "config.yaml")]
    assert "rm -rf" not in line


def test_the_environment_is_a_short_list(
    launcher: RayLauncher,
    dashboard: Dashboard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("GIMBAL_FAKE_GPUS", "/lab.yaml")
    launcher.launch(job(), attempt(2))
    known = dashboard.jobs["gimbal-job-abc-2"]
    assert known["runtime_env"] == {
        "env_vars": {
            "GIMBAL_ATTEMPT_DIR": str(tmp_path / "my runs" / ".jobs" / "job-abc" / "2"),
            "GIMBAL_FAKE_GPUS": "/lab.yaml",
            "RAY_AUTH_MODE": "disabled",
            "RAY_JOB_STOP_WAIT_TIME_S": "20",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
        }
    }
    assert known["metadata"] == {"user": "ann", "job": "job-abc"}


def test_launching_again_is_launching_once(launcher: RayLauncher, dashboard: Dashboard) -> None:
    launcher.launch(job(), attempt())
    launcher.launch(job(), attempt())
    assert list(dashboard.jobs) == ["gimbal-job-abc-1"]


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_error_of_ray_is_no_answer_and_its_text_stays_here(
    launcher: RayLauncher, dashboard: Dashboard, status: int
) -> None:
    launcher.reports()
    dashboard.status = status
    for ask in (launcher.reports, lambda: launcher.launch(job(), attempt())):
        with pytest.raises(LaunchUnavailable) as caught:
            ask()
        assert str(status) in str(caught.value)
        assert SECRET not in str(caught.value)
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_says_what_to_set(
    launcher: RayLauncher, dashboard: Dashboard, status: int
) -> None:
    launcher.reports()
    dashboard.status = status
    with pytest.raises(LaunchUnavailable, match="RAY_AUTH_MODE"):
        launcher.reports()


def test_a_dashboard_that_hangs_is_not_waited_for(
    launcher: RayLauncher, dashboard: Dashboard
) -> None:
    launcher.reports()
    dashboard.hangs_s = 5
    began = time.monotonic()
    with pytest.raises(LaunchUnavailable, match="Timeout"):
        launcher.reports()
    assert time.monotonic() - began < 4


def test_a_dashboard_that_comes_back_is_used_again(tmp_path: Path, dashboard: Dashboard) -> None:
    launcher = RayLauncher("http://127.0.0.1:1", tmp_path)
    with pytest.raises(LaunchUnavailable):
        launcher.reports()
    launcher._dashboard = dashboard.url
    assert launcher.reports() == {}


def test_reports_are_of_our_attempts_and_keep_the_end_of_a_message(
    launcher: RayLauncher, dashboard: Dashboard
) -> None:
    dashboard.jobs = {
        "a": details("gimbal-job-a-1", "FAILED", driver_exit_code=-9, message="x" * 9000 + "end"),
        "b": details("gimbal-job-b-12", "RUNNING"),
        "c": details("raysubmit_abc", "RUNNING"),
        "d": {**details("x", "RUNNING"), "type": "DRIVER", "submission_id": None},
    }
    reports = launcher.reports()
    assert set(reports) == {"gimbal-job-a-1", "gimbal-job-b-12"}
    failed = reports["gimbal-job-a-1"]
    assert (failed.status, failed.exit_code) == (LaunchStatus.FAILED, -9)
    assert failed.message.endswith("end")
    assert len(failed.message) == 4000


def test_stopping_and_forgetting_what_is_unknown_is_no_error(
    launcher: RayLauncher, dashboard: Dashboard
) -> None:
    launcher.stop("gimbal-job-none-1")
    launcher.forget("gimbal-job-none-1")
    launcher.launch(job(), attempt())
    launcher.stop("gimbal-job-abc-1")
    launcher.forget("gimbal-job-abc-1")
    assert ("POST", "/api/jobs/gimbal-job-abc-1/stop") in dashboard.asked
    assert not dashboard.jobs
