"""The multi-car workload through the real command, its training, and a preview of its rows."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SMOKE = Path(__file__).parents[2] / "configs" / "multicar" / "smoke.yaml"


def gimbal(folder: Path, address: str, *arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "RAY_ADDRESS": address, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "gimbal.cli.main", *arguments, "--json"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_run_makes_panoramas_and_its_rows_can_be_looked_at(
    tmp_path: Path, ray_cluster: None
) -> None:
    import ray

    address = str(ray.get_runtime_context().gcs_address)
    run = gimbal(tmp_path, address, "run", str(SMOKE), "platform.tracking.enabled=false")
    survey = run["metrics"]["survey"]
    assert survey["rows"] == 12 and survey["skipped"] == 0
    assert survey["coverage"] == pytest.approx(survey["expected_coverage"], abs=0.002)
    trained = run["metrics"]["train"]
    assert (
        trained["steps"] == 6 and trained["data"]["note"] == "2 to 2 cars a sample, about 8 a step"
    )
    assert trained["data"]["train_samples"] == 4 and trained["data"]["val_samples"] == 2
    assert {"pose_trans_m", "pose_rot_deg", "depth_rel", "blind_m", "loss"} <= trained["val"].keys()
    assert all(math.isfinite(value) for value in trained["val"].values())
    judged = run["metrics"]["evaluate"]
    assert {"pose_trans_m", "pose_rot_deg", "baseline_mean_pose_m", "blind_m", "depth_rel",
            "coverage"} <= judged.keys()  # fmt: skip
    assert (Path(run["run_dir"]) / "report.html").stat().st_size > 1_000_000
    asked = ("preview", "--run", run["run_dir"], "--split", "test", "--index", "1")
    looked = gimbal(tmp_path, address, "multicar", *asked, "--out", str(tmp_path / "look"))
    assert looked["of"] == 4 and looked["source"] == "synthetic"
    assert looked["made_by"]["run_id"] == Path(run["run_dir"]).name
    again = gimbal(tmp_path, address, "run", str(SMOKE), "platform.tracking.enabled=false")
    assert again["stages"]["panoramas"]["status"] == "skipped"
    assert again["stages"]["train"]["status"] == "skipped"
