"""A stranger's workload in a git repository of its own, beside a copy of the platform.

Its stages run in the process itself, so a whole run, and its reproduction in another process, needs
no Ray. Numbers change only with `STUDY_NOISE`, and `STUDY_HOLD` names a file that stops it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]

SOURCE = '''
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from gimbal.data import BlockSchema, Column, DataStage
from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.experiment.samples import SampleMetric, write_samples
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import TaskStage
from gimbal.experiment.workload import Workload
from gimbal.pipeline import runner

NOISE = float(os.environ.get("STUDY_NOISE", "0"))


class Source(Settings):
    file: Path | None = None
    count: int = 3


class Study(ExperimentSettings):
    source: Source = Source()
    learn: Settings = Settings()


class Rows(DataStage):
    schema = BlockSchema.of(Column("value", "float64"), Column("cpu_s", "float64", unit="s"))

    def external_files(self):
        return [self.settings.file] if self.settings.file else []

    def items(self, inputs):
        return [{"id": str(n), "n": n} for n in range(self.settings.count)]

    def rows(self, item, inputs):
        yield {"value": item["n"] / 7 + NOISE, "cpu_s": time.perf_counter()}


class Learn(TaskStage):
    def run(self, inputs, out_dir, progress):
        hold = os.environ.get("STUDY_HOLD")
        if hold:
            Path(hold + ".reached").touch()
        while hold and Path(hold).exists():
            time.sleep(0.02)
        kept = []
        for step in (1, 2):
            folder = out_dir / "checkpoints" / f"step-{step:08d}"
            folder.mkdir(parents=True)
            (folder / "state.pt").write_bytes(bytes([step]) * 1000)
            digest = hashlib.sha256(bytes([step]) * 1000).hexdigest()
            card = {"step": step, "sha256": digest, "metrics": {}}
            (folder / "checkpoint.json").write_text(json.dumps(card))
            kept.append({"path": folder.name, "sha256": digest, "step": step})
        index = {"best": kept[0]["path"], "last": kept[1]["path"], "checkpoints": kept}
        (out_dir / "checkpoints" / "index.json").write_text(json.dumps(index))
        lines = [{"step": s, "time_s": time.time(), "values": {"loss": 1 / s}} for s in (1, 2)]
        (out_dir / "metrics.jsonl").write_text("".join(json.dumps(x) + "\\n" for x in lines))
        return {"loss": 0.5 + NOISE, "wall_s": time.perf_counter()}


class Judge(TaskStage):
    def run(self, inputs, out_dir, progress):
        scores = SampleMetric(better="higher", values={"a_s": 0.25, "b": 0.75 + NOISE})
        write_samples(out_dir, protocol={"name": "p"}, sample="object", metrics={"score": scores})
        (out_dir / "evaluation.json").write_text(json.dumps({"per": [1, {"x": 2.0}]}))
        return {"score": 0.5, "objects": 2}


class Page(TaskStage):
    def run(self, inputs, out_dir, progress):
        (out_dir / "report.html").write_text("<p>the report</p>")
        return {"size_bytes": 17}


class StudyWorkload(Workload):
    name, config = "study", Study

    def stages(self, config):
        return [
            Rows(name="rows", settings=config.source, seed=config.seed, items_per_block=2),
            Learn(name="learn", settings=config.learn, seed=config.seed, inputs=("rows",)),
            Judge(name="judge", settings=Settings(), inputs=("learn",)),
            Page(name="page", settings=Settings(), inputs=("judge",), always=True),
        ]


class InThisProcess:
    """Runs stages where they are, so that no Ray is needed."""

    def __init__(self, **_):
        pass

    def follow(self, *_):
        pass

    def run(self, stage, inputs, out_dir):
        if isinstance(stage, DataStage):
            return write_stage(stage, inputs, out_dir, execute=run_here)
        return stage.run(inputs, out_dir, print)


runner.Execution = InThisProcess
'''

METADATA = "Metadata-Version: 2.1\nName: study\nVersion: 1.0\n"
ENTRY_POINT = "[gimbal.workloads]\nstudy = study_workload:StudyWorkload\n"
CONFIG = (
    "workload: study\nexperiment: study\nplatform: {tracking: {enabled: false}}\n"
    "source: {file: outside.txt}\n"
)
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "NO_COLOR": "1"}


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(folder)]
    env = {**os.environ, **_ENVIRONMENT}
    return subprocess.run(
        [*command, *arguments], check=True, capture_output=True, text=True, env=env
    ).stdout


@dataclass(frozen=True)
class Lab:
    """A git repository with all code, a folder to work in, and the command."""

    repository: Path
    desk: Path

    @property
    def module(self) -> Path:
        return self.repository / "workloads" / "study_workload.py"

    @property
    def runs(self) -> Path:
        return self.desk / "runs"

    def gimbal(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        roots = [self.repository / "platform", self.repository / "workloads", self.desk / "site"]
        env = {**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(map(str, roots))}
        env.pop("COVERAGE_PROCESS_START", None)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "gimbal.cli.main", *arguments],
            cwd=self.desk,
            env=env | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        process = self.gimbal(*arguments, **variables)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    def run(self, *overrides: str) -> Path:
        code, _, err = self.call("run", "study.yaml", *overrides)
        assert code == 0, err
        return max((self.runs / "study").glob("2*"))


def make_lab(folder: Path) -> Lab:
    """Make the repository with one commit, and a desk with the config and an outside file."""
    lab = Lab(folder / "repository", folder / "desk")
    hidden = shutil.ignore_patterns("__pycache__")
    copied = lab.repository / "platform" / "gimbal"
    shutil.copytree(REPOSITORY / "platform" / "gimbal", copied, ignore=hidden)
    lab.module.parent.mkdir()
    lab.module.write_text(SOURCE)
    (lab.repository / ".gitignore").write_text("__pycache__/\n")
    git(lab.repository, "init", "-q", "-b", "main")
    git(lab.repository, "add", ".")
    git(lab.repository, "commit", "-q", "-m", "First")
    info = lab.desk / "site" / "study-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    (lab.desk / "study.yaml").write_text(CONFIG)
    (lab.desk / "outside.txt").write_text("outside")
    return lab
