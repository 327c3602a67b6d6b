"""A stranger's small workload, offered by real package metadata on the path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOY_SOURCE = """
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import TaskStage
from gimbal.experiment.workload import Workload


class DataSettings(Settings):
    meshes: Path | None = None
    count: int = 24
    size: tuple[int, int] = (96, 96)
    names: list[str] = []
    notes: dict[str, str] = {}


class TrainSettings(Settings):
    rate: float = 1e-3
    decay: float | None = 0.1
    shuffle: bool = True


class ToyConfig(ExperimentSettings):
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()


@dataclass(frozen=True, kw_only=True)
class Count(TaskStage):
    factor: int = 1

    def run(self, inputs, out_dir, progress):
        return {"count": self.settings.count * self.factor}


class Toy(Workload):
    name = "toy"
    config = ToyConfig

    def stages(self, config):
        return [Count(name="count", settings=config.data, seed=config.seed)]
"""


def offer(folder: Path, distribution: str, points: dict[str, str]) -> None:
    """Write the metadata of an installed package that offers workloads."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[gimbal.workloads]\n{lines}")


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Install a pretended package; what it imported is forgotten afterwards."""
    before = set(sys.modules)

    def install(distribution: str, points: dict[str, str], sources: dict[str, str]) -> Path:
        folder = tmp_path / f"installed-{distribution}"
        offer(folder, distribution, points)
        for name, text in sources.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        return folder

    yield install
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


@pytest.fixture
def toy(on_path: Callable[..., Path]) -> Path:
    """The folder in which the toy workload is installed."""
    return on_path("toy-workload", {"toy": "toy_workload:Toy"}, {"toy_workload.py": TOY_SOURCE})


@pytest.fixture
def toy_file(toy: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a config file of the toy workload."""

    def write(text: str = "", name: str = "toy.yaml") -> Path:
        path = tmp_path / name
        path.write_text(f"workload: toy\nexperiment: trial\n{text}", encoding="utf-8")
        return path

    return write
