"""A `gimbal serve` of its own for a test: started, asked through its CLI, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_START_S = 120.0
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
QUICK = (
    "gpus.sample_interval_s=0.5",
    "gpus.stale_after_s=15",
    "gpus.clean_samples=2",
    "gpus.cool_down_s=3",
    "gpus.settle_s=5",
    "controller.tick_s=0.3",
    "controller.settle_s=1",
    "controller.contended_avoid_s=5",
    "controller.reserve_avoid_s=2",
    "retry.base_s=0.5",
    "retry.cap_s=4",
    "retry.preempted_cap_s=2",
    "policy.preemption_min_runtime_s=5",
)
"""Waiting times that suit a test; which ones there are is the same."""


@dataclass
class Served:
    """One service; `lab` is the folder through which its fake GPUs are moved by hand."""

    folder: Path
    lab_file: Path | None = None
    settings: tuple[str, ...] = QUICK
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    @property
    def runs_dir(self) -> Path:
        """Its runs folder."""
        return self.folder / "runs"

    @property
    def lab(self) -> Path:
        """The state folder of its fake GPUs."""
        assert self.process is not None
        variables = Path(f"/proc/{_child_with_lab(self.process.pid)}/environ").read_bytes()
        for item in variables.split(b"\0"):
            name, _, value = item.partition(b"=")
            if name == b"GIMBAL_FAKE_GPUS_STATE":
                return Path(value.decode())
        raise AssertionError("the service's Ray knows of no fake GPUs")

    def variables(self) -> dict[str, str]:
        """Return the environment of the service and of its command line."""
        given = {
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "GIMBAL_SERVER": self.url,
        }
        kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        return {**kept, **given, **self.environment}

    def start(self, *extra: str) -> None:
        """Start it and wait until it says its address."""
        log = self.folder / "serve.log"
        lab = ("--fake-gpus", str(self.lab_file)) if self.lab_file else ()
        command = (*gimbal("serve", "--port", "0", "--runs-dir", str(self.runs_dir)), *lab)
        with log.open("ab") as file:
            began = file.tell()
            self.process = subprocess.Popen(
                (*command, *self.settings, *extra), stdout=file, stderr=file, env=self.variables()
            )
        self.url = until(lambda: self._address(log, began), _START_S, "the service's address")

    def _address(self, log: Path, began: int) -> str:
        assert self.process is not None
        text = log.read_bytes()[began:].decode()
        if self.process.poll() is not None:
            raise AssertionError(f"the service ended:\n{text}")
        return text.partition("serves at ")[2].split(" ")[0].strip()

    def kill(self) -> None:
        """Kill it on the spot."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def cli(self, *arguments: str) -> Any:
        """Return what a command prints with `--json`."""
        done = subprocess.run(
            gimbal(*arguments, "--json"), capture_output=True, env=self.variables(), check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout.decode().splitlines()[-1])

    def job(self, job_id: str) -> Any:
        """Return a job as the API has it."""
        return self.cli("jobs", "show", job_id)

    def ended(self, job_id: str, within_s: float) -> Any:
        """Wait for a job's end and return it."""
        return until(
            lambda: job if (job := self.job(job_id))["state"] in _ENDED else None,
            within_s,
            f"the end of {job_id}",
        )


@contextmanager
def served(folder: Path, lab: str | None = None, **options: Any) -> Iterator[Served]:
    """Run a service while the block runs; `lab` is the YAML of its fake GPUs."""
    lab_file = None
    if lab is not None:
        lab_file = folder / "lab.yaml"
        lab_file.write_text(lab)
    service = Served(folder=folder, lab_file=lab_file, **options)
    service.start()
    try:
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop()


def gimbal(*arguments: str) -> tuple[str, ...]:
    """Return the command line of a gimbal command."""
    return (sys.executable, "-m", "gimbal.cli.main", *arguments)


def until(ask: Callable[[], Any], within_s: float, what: str) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"waited {within_s:g} s in vain for {what}")


def _child_with_lab(pid: int) -> int:
    import psutil

    for child in psutil.Process(pid).children(recursive=True):
        if child.name().startswith("raylet"):
            return int(child.pid)
    raise AssertionError("the service has no raylet of its own")
