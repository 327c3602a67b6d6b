"""The fence and reservations on a real Ray with four fake GPUs; see `fence_scenarios`.

The scenarios run in drivers of their own: the session's Ray has no GPUs, and one of the things to
show is that nothing depends on the driver that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fence_scenarios import NAMES

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).with_name("fence_scenarios.py")
RAY = Path(sys.executable).with_name("ray")


@contextlib.contextmanager
def ray_head(environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Yield address and pid of a head with four GPUs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="gimbal-fence-", dir="/tmp")
    command = [str(RAY), "start", "--head", "--block", "--num-cpus=4", "--num-gpus=4"]
    command += [f"--port={port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    command += [f"--temp-dir={folder}", "--dashboard-agent-listen-port=0"]
    head = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert head.stdout is not None
    try:
        said: list[str] = []
        for line in head.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                break
        else:
            raise AssertionError("the Ray head did not start: " + "".join(said))
        yield f"127.0.0.1:{port}", head.pid
    finally:
        head.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.communicate(timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def drive(environment: dict[str, str], address: str, *names: str) -> dict[str, str]:
    """Run scenarios in a driver; return what went wrong in each."""
    command = [sys.executable, str(SCRIPT), address, environment["GIMBAL_FAKE_GPUS_STATE"], *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = {line["name"]: line["failure"] for line in lines if "name" in line}
    return found or {"": done.stdout + done.stderr}


@pytest.fixture(scope="module")
def failures(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("fence")
    (folder / "lab.yaml").write_text("gpus: [{memory: 24GiB, count: 4}]\n")
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
        "GIMBAL_GPU_BACKEND": "gimbal.testing.fake_gpus:from_environment",
        "GIMBAL_FAKE_GPUS": str(folder / "lab.yaml"),
        "GIMBAL_FAKE_GPUS_STATE": str(folder / "state"),
    }
    with ray_head(environment) as (address, pid):
        environment["FENCE_HEAD_PID"] = str(pid)
        found = drive(environment, address, "first_driver")
        return found | drive(environment, address, *NAMES)


@pytest.mark.parametrize("scenario", ("first_driver", *NAMES))
def test_on_a_real_ray(failures, scenario):
    assert scenario in failures, failures.get("", "it was not reached")
    assert not failures[scenario], failures[scenario]
