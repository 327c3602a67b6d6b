"""A name that nothing reports ends a sweep at its first trial, through the real command and Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweep_bench import SweepBench, install

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_metric_nothing_reports_ends_the_sweep(tmp_path: Path, ray_cluster: None) -> None:
    import ray

    site = install(tmp_path / "site")
    bench = SweepBench(tmp_path, site, str(ray.get_runtime_context().gcs_address))
    points = {"space": {"score.x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}, "search": "grid"}
    bench.write(
        {**points, "concurrent": 1, "metric": "score.distanse", "mode": "min"}, trains=False
    )
    _, err, code = bench.finish(bench.start())
    assert code == 2, err
    assert "reported no number score.distanse" in err
    assert "score.distance" in err
    record = json.loads((bench.sweep_dir / "sweep.json").read_text())
    assert record["status"] == "interrupted"
    assert "score.distanse" in record["message"]
    assert bench.trials()[0]["message"] == "the run reported no number score.distanse"
    assert len(bench.run_dirs()) < 6
