"""The next-best-view workload through the real command: train, then judge meshes never seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gimbal_nbv.shapes import make_shape
from gimbal_vision.meshes import Mesh

pytestmark = pytest.mark.ray

SMOKE = Path(__file__).parents[2] / "configs" / "nbv" / "smoke.yaml"
POLICIES = {"policy", "blind", "random", "farthest", "unknown_ray", "oracle"}
HOSTILE = '<script>alert(1)</script> [red] "q".obj'.replace("/", "_")


def gimbal(folder: Path, address: str, *arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "RAY_ADDRESS": address}
    command = [sys.executable, "-m", "gimbal.cli.main", *arguments, "--json"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return {**json.loads(line), "err": done.stderr}


def write_obj(path: Path, mesh: Mesh) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    path.write_text("\n".join(lines))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two good meshes, one under a hostile name, and one that holds no surface."""
    folder = tmp_path / "scans"
    folder.mkdir()
    write_obj(folder / HOSTILE, make_shape("teapot", 3))
    write_obj(folder / "stool.obj", make_shape("stool", 3))
    (folder / "broken.obj").write_text("v 0 0 0\nv 1 0 0\n")
    return folder


@pytest.mark.timeout(900)  # a busy machine may take long; `gimbal` above waits as long
def test_a_run_trains_reports_and_judges_other_meshes(
    tmp_path: Path, scans: Path, ray_cluster: None
) -> None:
    import ray

    address = str(ray.get_runtime_context().gcs_address)
    alone = "resources.workers=1"  # a group of workers is the slow test's below
    run = gimbal(tmp_path, address, "run", str(SMOKE), alone, "platform.tracking.enabled=false")
    evaluated = run["metrics"]["evaluate"]
    assert set(evaluated["auc"]) >= POLICIES
    assert evaluated["auc"]["oracle"] >= max(evaluated["auc"].values()) - 0.02
    low, high = evaluated["gap_closed"]["ci95"]
    assert low <= evaluated["gap_closed"]["value"] <= high
    coverage = np.array(list(evaluated["coverage"].values()))
    assert (np.diff(coverage, axis=1) >= 0).all(), "another view never hides what was seen"
    assert len({round(value, 12) for value in coverage[:, 0]}) == 1, "all start from the same views"

    arguments = ["nbv", "evaluate", "--run", run["run_dir"], "--meshes", str(scans)]
    judged = gimbal(tmp_path, address, *arguments)
    result = judged["metrics"]["evaluate"]
    assert {entry["object_id"] for entry in result["per_object"]} == {HOSTILE, "stool.obj"}
    assert "broken.obj" in judged["err"]
    report = (Path(judged["run_dir"]) / "report.html").read_text()
    assert "<script>alert" not in report


TINY = (
    "train.steps=6",
    "train.warmup_steps=1",
    "train.validate_every=3",
    "train.global_batch=4",
    "platform.tracking.enabled=false",
)
MODES = {
    "attention": ("smoke", "model.policy=attention", "model.candidate_features=rays"),
    "direction": ("smoke", "model.policy=attention", "model.head=unit_vector"),
    "learned": ("smoke", "completion={}", "completion.train.steps=4", "states.target=learned_rri"),
    "multiview": (
        "smoke",
        "model.extractor=multiview",
        "multiview.train.steps=4",
        "multiview.train.warmup_steps=1",
        "multiview.objects=1",
        "sensitivity.longest=2",
    ),
    "detached": ("detached_cd", "views.image_size=48", "states.per_object=8"),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(MODES))
def test_every_way_to_train_runs_and_plays_as_it_was_validated(
    mode: str, tmp_path: Path, ray_cluster: None
) -> None:
    """From config to report, each kind of policy, target and objective."""
    import ray

    address = str(ray.get_runtime_context().gcs_address)
    name, *overrides = MODES[mode]
    config = SMOKE.with_name(f"{name}.yaml")
    given = ["objective.name=map_ascent"] if mode == "direction" else []
    if mode == "learned":
        given += ["completion.train.warmup_steps=1", "sensitivity.objects=2"]
    run = gimbal(tmp_path, address, "run", str(config), *overrides, *given, *TINY)
    seen = run["metrics"]["evaluate"]["sighted_minus_blind"]
    assert seen["ci95"][0] <= seen["value"] <= seen["ci95"][1]
    assert ("completion" in run["metrics"]["evaluate"]["auc"]) == (mode == "learned")
    if mode == "multiview":
        assert len(run["metrics"]["sensitivity"]["multiview"]["stages"]) == 2
        assert "multiview_spread_of_cd_over_candidates" in run["metrics"]["oracle_test"]["checks"]
        assert "View-sensitivity gate" in (Path(run["run_dir"]) / "report.html").read_text()
    checked = gimbal(tmp_path, address, "nbv", "check", "--run", run["run_dir"])
    assert {n["name"] for n in checked["numbers"]} >= {"regret/policy", "regret/blind"}
