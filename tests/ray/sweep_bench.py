"""A folder with a sweep over the workload `sweeper`, and the command to run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SWEEPER = Path(__file__).parents[1] / "support" / "sweeper"


def install(site: Path) -> Path:
    """Put the workload into a folder, with metadata as pip would write it."""
    shutil.copytree(SWEEPER, site, ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "gimbal_sweeper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gimbal-sweeper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gimbal.workloads]\nsweeper = gimbal_sweeper:Sweeper\n")
    return site


class SweepBench:
    """Runs `gimbal sweep` in a folder of its own.

    Attributes:
        folder: Where both files and the runs are.
        site: Where the workload is.
        address: Ray's; None: a sweep starts its own.
        log: What the stages leave behind, a line an execution.
    """

    def __init__(self, folder: Path, site: Path, address: str | None) -> None:
        self.folder, self.site, self.address = folder, site, address
        self.log = folder / "log.txt"
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
        self.environment.pop("RAY_ADDRESS", None)
        if address is not None:
            self.environment["RAY_ADDRESS"] = address

    def write(self, sweep: dict[str, Any], **base: Any) -> None:
        """Write both files; JSON is YAML."""
        note = {"log": str(self.log)}
        config = {
            "workload": "sweeper",
            "experiment": "unused",
            "platform": {"tracking": {"enabled": False}},
            **{name: {**note, **base.pop(name, {})} for name in ("rows", "line", "score")},
            **base,
        }
        (self.folder / "base.yaml").write_text(json.dumps(config))
        (self.folder / "toy.yaml").write_text(json.dumps({"base": "base.yaml", **sweep}))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gimbal.cli.main", "sweep", "toy.yaml", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run to the end; return the object that `--json` printed."""
        out, err, status = self.finish(self.start(*arguments, "--json"))
        assert status == code, err
        assert "Traceback" not in err, err
        result: dict[str, Any] = json.loads(out.splitlines()[-1])  # Ray may warn before it
        return {**result, "err": err}

    @staticmethod
    def finish(process: subprocess.Popen[str]) -> tuple[str, str, int]:
        out, err = process.communicate(timeout=280)
        return out, err, process.returncode

    def notes(self, word: str = "") -> list[str]:
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        return [line for line in lines if line.startswith(word)]

    def wait_for(self, wanted: Callable[[], bool], timeout_s: float = 240.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not wanted():
            assert time.monotonic() < deadline, (self.notes(), self.trials())
            time.sleep(0.05)

    @property
    def sweep_dir(self) -> Path:
        (folder,) = (self.folder / "runs" / "toy").glob("sweep-*")
        return folder

    def trials(self) -> list[dict[str, Any]]:
        """Return the trials' files as they are now."""
        files = sorted(self.folder.glob("runs/toy/sweep-*/trials/*.json"))
        return [json.loads(file.read_text()) for file in files]

    def ended(self) -> int:
        return sum(trial["status"] == "finished" for trial in self.trials())

    def run_dirs(self) -> list[Path]:
        return [file.parent for file in self.folder.glob("runs/toy/*/run.json")]


def found(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what a sweep found, without what differs from one start to the next."""
    keys = ("number", "name", "overrides", "seed", "status", "metric")
    return [tuple(trial[key] for key in keys) for trial in result["trials"]]
