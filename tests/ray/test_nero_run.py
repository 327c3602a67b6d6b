"""The workload nero through the real command: photographs, a shape, its mesh and the page."""

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

SMOKE = Path(__file__).parents[2] / "configs" / "nero" / "smoke.yaml"
QUIET = "platform.tracking.enabled=false"


def gimbal(folder: Path, address: str, *arguments: str, status: int = 0) -> dict[str, Any]:
    environment = {**os.environ, "RAY_ADDRESS": address}
    command = [sys.executable, "-m", "gimbal.cli.main", *arguments, "--json"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if status:
        return {"err": done.stderr}
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.fixture
def address(ray_cluster: None) -> str:
    import ray

    return str(ray.get_runtime_context().gcs_address)


@pytest.mark.timeout(900)
def test_a_run_ends_with_a_judged_mesh_that_can_be_cut_anew(tmp_path: Path, address: str) -> None:
    pytest.importorskip("mitsuba")
    run = gimbal(tmp_path, address, "run", str(SMOKE), QUIET)
    judged = run["metrics"]["evaluate"]
    shape, material = {"chamfer", "normal_deg", "psnr"}, {"roughness_mae", "albedo_mae"}
    assert {*shape, *material, "relit_psnr"} <= judged.keys()
    assert all(math.isfinite(value) for value in judged.values())
    assert run["metrics"]["mesh"]["signed_volume"] > 0
    assert run["metrics"]["shape"]["workers"] == 2
    page = (Path(run["run_dir"]) / "report.html").read_text()
    assert "<html" in page and "mesh" in page

    again = gimbal(tmp_path, address, "run", str(SMOKE), QUIET, "evaluate.shown_views=1")
    told = {name: stage["status"] for name, stage in again["stages"].items()}
    assert {told[name] for name in ("synthesize", "prepare", "shape", "watch", "mesh")} == {
        "skipped"
    }
    assert told["evaluate"] == "finished"

    cut = ("nero", "mesh", "--run", run["run_dir"], "--step", "3", "--resolution", "24")
    found = gimbal(tmp_path, address, *cut)
    assert found["step"] == 3 and found["faces"] > 100
    refused = gimbal(tmp_path, address, *cut[:5], "5", status=2)
    assert "no checkpoint of step 5" in refused["err"] and "3, 6" in refused["err"]

    exported = gimbal(
        tmp_path, address, "nero", "export", "--run", run["run_dir"], "--out", "files"
    )
    assert (tmp_path / "files" / "object.glb").is_file() and exported["exported_faces"] <= 500
    light = ("nero", "env-light", "--run", run["run_dir"], "--height", "16", "--out", "room.exr")
    gimbal(tmp_path, address, *light)
    relit = ("nero", "relight", "--run", run["run_dir"], "--hdri", "room.exr", "--path", "orbit")
    few = ("--frames", "2", "--side", "24", "--directions", "4")
    gimbal(tmp_path, address, *relit, *few, "--out", "relit")
    gimbal(tmp_path, address, "nero", "novel-views", "--run", run["run_dir"], *few, "--out", "turn")
    for folder in ("relit", "turn"):
        assert list((tmp_path / folder).rglob("*.gif")) and list((tmp_path / folder).rglob("*.png"))


@pytest.mark.timeout(600)
def test_a_mesh_from_elsewhere_gets_a_material(tmp_path: Path, address: str) -> None:
    """No shape is learnt, and the truth that lies beside the photographs judges what is fitted."""
    pytest.importorskip("mitsuba")
    made = ("nero", "synthesize", "--out", "made", "--object", "sphere", "--views", "8")
    gimbal(tmp_path, address, *made, "--size", "32", "--samples", "4", "--relit-lights", "1")
    smallest = [
        QUIET, "material.train.steps=40", "material.train.warmup_steps=4", "relight.directions=4",
        "relight.orbit_frames=2", "relight.orbit_side=24", "export.texture_side=64",
        "review.must_pass=false",
    ]  # fmt: skip
    mesh = ("--mesh", "made/truth/mesh.ply", "--data", "made")
    run = gimbal(tmp_path, address, "nero", "fit-material", *mesh, *smallest)
    assert "shape" not in run["stages"] and "watch" not in run["stages"]
    judged = run["metrics"]["evaluate"]
    assert judged["chamfer"] < 1e-6
    assert judged["roughness_mae"] < 0.6 and judged["relit_psnr"] > 5
    elsewhere = gimbal(
        tmp_path, address, "nero", "fit-material", *mesh, "--axes", "y_up", *smallest, status=0
    )
    assert elsewhere["metrics"]["mesh"]["fit"]["outline_iou"] > 0.9, "a ball is a ball, turned"


def test_a_folder_without_photographs_is_refused_before_anything_is_learnt(
    tmp_path: Path, address: str
) -> None:
    empty = tmp_path / "nothing"
    empty.mkdir()
    told = gimbal(tmp_path, address, "run", str(SMOKE), QUIET, f"data.root={empty}", status=1)
    assert str(empty) in told["err"]
