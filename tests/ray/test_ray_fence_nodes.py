"""A reservation over two nodes, and the loss of one of them; see `fence_nodes`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("fence_nodes.py")


def test_a_gang_over_two_nodes_and_the_loss_of_one(tmp_path):
    (tmp_path / "lab.yaml").write_text(
        "nodes: {a: {gpus: [{memory: 24GiB, count: 2}]}, b: {gpus: [{memory: 24GiB, count: 3}]}}\n"
    )
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
        "GIMBAL_GPU_BACKEND": "gimbal.testing.fake_gpus:from_environment",
        "GIMBAL_FAKE_GPUS": str(tmp_path / "lab.yaml"),
        "GIMBAL_FAKE_GPUS_STATE": str(tmp_path / "state"),
    }
    command = [sys.executable, str(SCRIPT), str(tmp_path / "state")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0 and "all is well" in done.stdout, done.stdout + done.stderr
