"""`ray job submit` runs the code that was uploaded, whatever older copy is installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

REPOSITORY = Path(__file__).parents[2]
TOY = REPOSITORY / "tests" / "support" / "toy" / "gimbal_toy"
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def copy_of_gimbal(target: Path, version: str) -> None:
    shutil.copytree(
        REPOSITORY / "platform" / "gimbal", target, ignore=shutil.ignore_patterns("__pycache__")
    )
    init = target / "__init__.py"
    lines = init.read_text().splitlines()
    init.write_text(
        "\n".join(
            f'__version__ = "{version}"' if line.startswith("__version__") else line
            for line in lines
        )
    )


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """A checkout as somebody would submit it: version 9.9.9, with a workload of its own."""
    folder = tmp_path / "checkout"
    copy_of_gimbal(folder / "platform" / "gimbal", "9.9.9")
    shutil.copytree(TOY, folder / "workloads" / "gimbal_toy")
    pyproject = (REPOSITORY / "pyproject.toml").read_text()
    group = '[project.entry-points."gimbal.workloads"]\n'
    assert group in pyproject
    (folder / "pyproject.toml").write_text(
        pyproject.replace(group, group + 'toy = "gimbal_toy:Toy"\n')
    )
    (folder / "toy.yaml").write_text(
        "workload: toy\nexperiment: submitted\nplatform:\n"
        f"  runs_dir: {tmp_path / 'runs'}\n  tracking: {{enabled: false}}\n"
        "numbers: {count: 2}\n"
    )
    return folder


@pytest.fixture
def head(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Ray head whose every process finds an older Gimbal first."""
    copy_of_gimbal(tmp_path / "installed" / "gimbal", "0.0.1")
    gcs, dashboard = free_port(), free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "installed"),
        "RAY_AUTH_MODE": "disabled",
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}",
    }
    environment.pop("RAY_ADDRESS", None)
    command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=2"]
    command += [f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
    command += ["--dashboard-agent-listen-port=0", f"--temp-dir=/tmp/gimbal-job-{os.getpid()}"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Ray runtime started" in line:
            break
    else:
        pytest.fail("the Ray head did not start")
    try:
        yield environment
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
        shutil.rmtree(f"/tmp/gimbal-job-{os.getpid()}", ignore_errors=True)


def test_driver_and_workers_run_the_uploaded_code(upload: Path, head: dict[str, str]) -> None:
    probe = [sys.executable, "-c", "import gimbal; print(gimbal.__version__)"]
    seen = subprocess.run(probe, env=head, cwd="/", capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "0.0.1", "the older copy is really in the way"

    command = [str(BIN / "ray"), "job", "submit", "--working-dir", str(upload), "--"]
    command += [str(BIN / "gimbal"), "run", "toy.yaml", "--json"]
    job = subprocess.run(command, env=head, capture_output=True, text=True, timeout=240)
    assert job.returncode == 0, job.stdout + job.stderr

    line = next(line for line in job.stdout.splitlines() if line.startswith('{"run_dir"'))
    result = json.loads(line)
    assert result["metrics"]["total"]["worker"] == "9.9.9"
    provenance = json.loads((Path(result["run_dir"]) / "provenance.json").read_text())
    assert "_ray_pkg_" in provenance["code"]["packages"]["gimbal"]
