"""A Ray of made-up GPUs, a job store and controllers, each a process that can be killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil

import gimbal
from gimbal.jobs.model import Job, JobSpec
from gimbal.jobs.schema import upgrade
from gimbal.jobs.sql_store import SqlJobStore, sqlite_url
from gimbal.scheduling.model import JobId

BIN = Path(sys.executable).parent
GIMBAL = Path(gimbal.__file__).parent
TOY = Path(__file__).parents[1] / "support" / "toy" / "gimbal_toy"
CARDS = 2
START_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def site_with_toy(folder: Path) -> Path:
    """Return a folder from which Python finds Gimbal and the toy workload as installed packages.

    A copy, since Gimbal refuses to go on where its code is edited under a run that lasts.
    """
    site = folder / "site"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(GIMBAL, site / "gimbal", ignore=ignored)
    shutil.copytree(TOY, site / "gimbal_toy", ignore=ignored)
    info = site / "gimbal_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gimbal-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gimbal.workloads]\ntoy = gimbal_toy:Toy\n")
    return site


class ChaosCluster:
    """Everything of one test; `close` ends all processes it has started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs_dir = folder / "runs"
        self.temporary = tempfile.mkdtemp(prefix="gimbal-chaos-", dir="/tmp")
        self.port, self.dashboard_port = free_port(), free_port()
        (folder / "lab.yaml").write_text(f"gpus: [{{memory: 24GiB, count: {CARDS}}}]\n")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
            "PYTHONPATH": str(site_with_toy(folder)),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "GIMBAL_GPU_BACKEND": "gimbal.testing.fake_gpus:from_environment",
            "GIMBAL_FAKE_GPUS": str(folder / "lab.yaml"),
            "GIMBAL_FAKE_GPUS_STATE": str(folder / "lab"),
        }
        self.database = sqlite_url(folder / "jobs.db")
        upgrade(self.database)
        self.store = SqlJobStore(self.database)
        self.head: subprocess.Popen[str] | None = None
        self.controllers: list[subprocess.Popen[str]] = []

    def start_head(self) -> None:
        """Start Ray, on the same ports each time."""
        command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=2"]
        command += [f"--num-gpus={CARDS}", f"--port={self.port}", "--node-ip-address=127.0.0.1"]
        command += [f"--dashboard-port={self.dashboard_port}", "--dashboard-host=127.0.0.1"]
        command += ["--dashboard-agent-listen-port=0", f"--temp-dir={self.temporary}"]
        self.head = subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._await(self.head, "Ray runtime started")

    def kill_head(self) -> None:
        """Kill GCS, raylet and everything else of Ray on the spot, as a power cut does."""
        assert self.head is not None
        family = psutil.Process(self.head.pid).children(recursive=True)
        self.head.kill()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.head.wait()

    def start_controller(self) -> None:
        """Start one more controller; it is ready, not necessarily the leader, on return."""
        command = [sys.executable, str(Path(__file__).with_name("controller_process.py"))]
        command += ["--address", f"127.0.0.1:{self.port}", "--database", self.database]
        command += ["--dashboard", f"http://127.0.0.1:{self.dashboard_port}"]
        command += ["--runs-dir", str(self.runs_dir)]
        with (self.folder / "controllers.log").open("a") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.controllers.append(process)
        self._await(process, "ready")

    def kill_controller(self) -> None:
        """Kill the oldest controller on the spot."""
        process = self.controllers.pop(0)
        process.kill()
        process.wait()

    def kill_driver(self, job_id: JobId) -> None:
        """Kill the driver of a job on the spot."""
        self._kill("the driver", lambda words: str(job_id) in words and "gimbal.cli.main" in words)

    def kill_supervisor(self) -> None:
        """Kill the process in which Ray looks after a driver; there must be one only."""
        self._kill("the supervisor", lambda words: words.startswith("ray::JobSupervisor"))

    def _kill(self, what: str, is_meant: Callable[[str], bool]) -> None:
        assert self.head is not None
        for process in psutil.Process(self.head.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if is_meant(" ".join(process.cmdline())):
                    process.kill()
                    return
        raise AssertionError(f"{what} was not found")

    def submit(self, name: str, gpus: int, pause_s: float = 0.5) -> JobId:
        """Submit a toy that leaves a line for every piece of work it does."""
        config = {
            "workload": "toy",
            "experiment": name,
            "numbers": {"count": 2, "log": str(self.notes(name))},
            "sum": {"pause_s": pause_s, "log": str(self.notes(name))},
            "platform": {"tracking": {"enabled": False}},
        }
        spec = JobSpec(workload="toy", experiment=name, config=config, user="ann", gpus=gpus)
        job, _ = self.store.submit(spec, now=datetime.now(UTC))
        return job.id

    def notes(self, name: str) -> Path:
        """Return the file with a toy's lines."""
        return self.folder / f"{name}.txt"

    def done(self) -> bool:
        """Return whether no job is left to do."""
        return not self.store.active()

    def wait_done(self, within_s: float) -> tuple[Job, ...]:
        """Wait until every job has ended and return them, oldest first."""
        deadline = time.monotonic() + within_s
        while not self.done():
            alive = [process for process in self.controllers if process.poll() is None]
            assert alive, f"no controller is left:\n{self.log()}"
            assert time.monotonic() < deadline, f"{self.store.active()}\n{self.log()}"
            time.sleep(0.2)
        return tuple(reversed(self.store.page(limit=200).jobs))

    def log(self) -> str:
        """Return the end of what the controllers said."""
        path = self.folder / "controllers.log"
        return path.read_text()[-6000:] if path.exists() else ""

    def close(self) -> None:
        """End everything that was started here."""
        for process in self.controllers:
            process.kill()
            process.wait()
        if self.head is not None and self.head.poll() is None:
            self.kill_head()
        self.store.close()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _await(self, process: subprocess.Popen[str], words: str) -> None:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if words in line:
                return
        raise AssertionError(f"{process.args} ended:\n{''.join(seen)}\n{self.log()}")
