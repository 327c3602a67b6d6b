"""The toy workload, offered by metadata on the path, and sweep files over it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WriteSweep = Callable[..., Path]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the workload and work in an empty folder."""
    info = tmp_path / "installed" / "sweep_toys-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sweep-toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gimbal.workloads]\nsweeptoy = sweep_toys:SweepToy\n")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    importlib.invalidate_caches()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def sweep_file(toy: Path) -> WriteSweep:
    """Write a base config and a sweep file; keys given replace or (None) remove the usual ones."""

    def write(base: str = "", **keys: Any) -> Path:
        (toy / "base.yaml").write_text(f"workload: sweeptoy\nexperiment: other\n{base}")
        usual = {
            "base": "base.yaml",
            "space": {"train.lr": [0.1, 0.2], "data.count": {"randint": [1, 100]}},
            "metric": "score.value",
            "mode": "max",
            "search": "random",
            "samples": 6,
        }
        merged = {key: value for key, value in {**usual, **keys}.items() if value is not None}
        path = toy / "question.yaml"
        path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in merged.items()))
        return path

    return write
