"""A run on real Ray, from a git repository, comes out again and its workers had the old code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
TOY = REPOSITORY / "tests" / "support" / "toy"
METADATA = "Metadata-Version: 2.1\nName: gimbal-toy\nVersion: 1.0\n"
ENTRY_POINT = "[gimbal.workloads]\ntoy = gimbal_toy:Toy\n"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(folder)]
    return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout


def test_a_toy_run_is_reproduced_from_its_commit(tmp_path: Path, ray_cluster: None) -> None:
    import ray

    checkout, site = tmp_path / "checkout", tmp_path / "site" / "gimbal_toy-1.0.dist-info"
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "platform", checkout / "platform", ignore=hidden)
    shutil.copytree(TOY, checkout / "workloads", ignore=hidden)
    (checkout / ".gitignore").write_text("__pycache__/\n")
    site.mkdir(parents=True)
    (site / "METADATA").write_text(METADATA)
    (site / "entry_points.txt").write_text(ENTRY_POINT)
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "First")
    (tmp_path / "toy.yaml").write_text(
        "workload: toy\nexperiment: toy\nplatform: {tracking: {enabled: false}}\n"
    )
    roots = [checkout / "platform", checkout / "workloads", site.parent]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, roots)),
        "RAY_ADDRESS": str(ray.get_runtime_context().gcs_address),
    }

    def gimbal(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "gimbal.cli.main", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    code, _, err = gimbal("run", "toy.yaml", "numbers.count=8")
    assert code == 0, err
    toy = checkout / "workloads" / "gimbal_toy" / "__init__.py"
    toy.write_text(toy.read_text().replace('item["n"] ** 2', 'item["n"] ** 3'))

    code, out, err = gimbal("verify", "latest", "--json")
    assert code == 7, err
    (changed,) = json.loads(out)["decides"]
    assert changed == {
        "what": "code: gimbal_toy/__init__.py changed",
        "stages": ["squares", "total"],
    }

    code, out, err = gimbal("reproduce", "latest", "--check", "--keep", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert (report["matches"], report["differences"]) == (True, [])
    state = json.loads((Path(report["reproduced"]) / "run.json").read_text())
    assert state["stages"]["total"]["metrics"]["total"] == sum(n**2 for n in range(8))
    assert report["code"] in str(Path(report["reproduced"], "provenance.json").read_text())
    git(checkout, "worktree", "remove", "--force", report["code"])
    assert git(checkout, "status", "--short") == " M workloads/gimbal_toy/__init__.py\n"
