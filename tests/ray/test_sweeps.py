"""Sweeps through the real command and real Ray: shared stages, kills, early stopping, failures."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_bench import SweepBench, found, install

pytestmark = pytest.mark.ray

POINTS = {"space": {"score.x": [1.0, 3.5, 9.0]}, "search": "grid", "concurrent": 3}
BY_SCORE = {**POINTS, "metric": "score.distance", "mode": "min"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("sweeper") / "site")


@pytest.fixture(scope="module")
def ray_head(ray_cluster: None) -> str:
    """Address of the session's Ray, so that sweeps need not start one each."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


@pytest.fixture
def bench(tmp_path: Path, site: Path, ray_head: str) -> Iterator[SweepBench]:
    yield SweepBench(tmp_path, site, ray_head)


def test_trials_at_once_share_the_data_and_one_may_fail(bench: SweepBench) -> None:
    """The data stage is executed once; the trial that breaks costs the others nothing."""
    bench.write(BY_SCORE, trains=False, rows={"pause_s": 0.2}, score={"fail_above": 5})
    result = bench.run()
    assert bench.notes("data") == ["data"]
    assert sorted(bench.notes("row")) == [f"row {n}" for n in range(8)]
    assert [trial["status"] for trial in result["trials"]] == ["finished"] * 2 + ["failed"]
    assert "x is above 5" in result["trials"][2]["message"]
    best = result["trials"][1]
    assert result["best"] == {
        "config": {"score.x": 3.5},
        "seeds": [0],
        "metric": 0.5,
        "run_dir": best["run_dir"],
    }
    assert len({trial["run_dir"] for trial in result["trials"]}) == len(bench.run_dirs()) == 3
    assert Path(result["comparison"]).stat().st_size > 10_000
    about = {key: result[key] for key in ("status", "metric", "mode", "starts", "sweep_dir")}
    assert about == {
        "status": "finished",
        "metric": "score.distance",
        "mode": "min",
        "starts": 1,
        "sweep_dir": str(bench.sweep_dir),
    }
    assert result["sweep"] == f"toy/{bench.sweep_dir.name}"


@pytest.mark.slow
def test_a_sweep_whose_trials_all_fail_ends_with_3_and_tries_them_again_when_asked(
    bench: SweepBench,
) -> None:
    few = {**BY_SCORE, "space": {"score.x": [1.0, 2.0]}}
    bench.write(few, trains=False, score={"fail_above": 0})
    result = bench.run(code=3)
    assert result["best"] is None
    assert [trial["status"] for trial in result["trials"]] == ["failed"] * 2
    assert bench.run("--resume", code=3)["starts"] == 1, "nothing was left to do"
    assert len(bench.notes("score")) == 2
    bench.run("--resume", "--retry-failed", code=3)
    assert len(bench.notes("score")) == 4
    assert len(bench.run_dirs()) == 2


LEARNS = {
    "space": {"line.train.lr": [0.05, 0.1, 0.2]},
    "search": "grid",
    "metric": "score.slope_error",
    "mode": "min",
    "concurrent": 2,
}


@pytest.mark.slow
def test_a_killed_sweep_resumes_to_the_same_set_of_finished_trials(
    bench: SweepBench, tmp_path: Path
) -> None:
    """The driver is killed while the last trial trains: it goes on from its checkpoint."""
    bench.write(LEARNS, line={"pause_s": 0.3})
    driver = bench.start()
    last = "0.2/0"
    bench.wait_for(lambda: len(bench.notes(f"step {last}")) > 12 and bench.ended() >= 1)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    before = {t["number"]: t for t in bench.trials() if t["status"] == "finished"}
    assert before
    assert len(before) < 3

    resumed = bench.run("--resume")
    assert resumed["starts"] == 2
    assert len(bench.run_dirs()) == 3, "every trial has one run"
    for number, trial in before.items():
        assert resumed["trials"][number] == trial, "it was not touched again"
    steps = bench.notes(f"step {last}")
    assert steps.count(f"step {last} 2") == 1, "steps before the checkpoint were not done again"
    assert steps.count(f"step {last} 29") == 1
    assert bench.notes("data") == ["data"]

    (tmp_path / "whole").mkdir()
    whole = SweepBench(tmp_path / "whole", bench.site, bench.address)
    whole.write(LEARNS)
    assert found(resumed) == found(whole.run())


@pytest.mark.slow
def test_ctrl_c_checkpoints_every_trial_and_resuming_repeats_no_step(bench: SweepBench) -> None:
    bench.write({**LEARNS, "space": {"line.train.lr": [0.05, 0.1]}}, line={"pause_s": 0.4})
    process = bench.start()
    bench.wait_for(lambda: len(bench.notes("step")) > 12)
    process.send_signal(signal.SIGINT)
    _, err, code = bench.finish(process)
    assert code == 130, err
    assert "Traceback" not in err
    assert "gimbal sweep toy.yaml --resume" in err
    assert json.loads((bench.sweep_dir / "sweep.json").read_text())["status"] == "interrupted"
    assert {trial["status"] for trial in bench.trials()} <= {"waiting", "finished"}

    result = bench.run("--resume")
    assert [trial["status"] for trial in result["trials"]] == ["finished"] * 2
    steps = bench.notes("step")
    assert len(steps) == len(set(steps)) == 60


@pytest.mark.slow
def test_successive_halving_stops_weak_trials_early(bench: SweepBench) -> None:
    """One after the other: the first sets the standard, the others cannot meet it."""
    asha = {"kind": "asha", "metric": "error", "mode": "min", "grace_steps": 5, "reduction": 2}
    space = {"line.train.lr": [0.3, 0.0001, 0.0002]}
    bench.write(
        {**LEARNS, "space": space, "scheduler": asha, "concurrent": 1},
        line={"pause_s": 0.1, "train": {"steps": 80, "validate_every": 5}},
    )
    result = bench.run()
    assert [trial["status"] for trial in result["trials"]] == ["finished", "stopped", "stopped"]
    for trial in result["trials"][1:]:
        assert "is not among the best 1/2" in trial["message"]
        assert 5 <= trial["step"] < 80
        assert list(Path(trial["run_dir"]).glob("stages/line/checkpoints/step-*"))
    assert result["best"]["config"] == {"line.train.lr": 0.3}


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_is_started_again(bench: SweepBench) -> None:
    few = {**BY_SCORE, "space": {"score.x": [1.0, 2.0]}}
    bench.write(few, trains=False, score={"pause_s": 6.0})
    process = bench.start("--json")
    bench.wait_for(lambda: len(bench.notes("score")) == 2)
    state = json.loads((Path(bench.trials()[0]["run_dir"]) / "run.json").read_text())
    os.kill(state["owner"]["pid"], signal.SIGKILL)
    out, err, code = bench.finish(process)
    assert code == 0, err
    trials = json.loads(out.splitlines()[-1])["trials"]
    assert [trial["status"] for trial in trials] == ["finished"] * 2
    assert [trial["attempts"] for trial in trials] == [2, 1]
    assert len(bench.run_dirs()) == 2, "it went on in its own run"


@pytest.mark.slow
def test_more_trials_than_cpus_end(tmp_path: Path, site: Path) -> None:
    """Four trials on one CPU, each training on a quarter of it: no stage waits for ever."""
    bench = SweepBench(tmp_path, site, address=None)
    bench.write(
        {**LEARNS, "space": {"line.train.lr": [0.05, 0.1, 0.2, 0.3]}, "concurrent": 4},
        resources={"cpus_per_worker": 0.25},
        platform={"tracking": {"enabled": False}, "ray": {"num_cpus": 1}},
    )
    result = bench.run()
    assert "4 at a time" in result["err"]
    assert [trial["status"] for trial in result["trials"]] == ["finished"] * 4


@pytest.mark.slow
def test_a_dead_mlflow_server_costs_no_trial(bench: SweepBench) -> None:
    few = {**BY_SCORE, "space": {"score.x": [1.0, 2.0]}}
    bench.write(few, trains=False, platform={"tracking": {"uri": "http://127.0.0.1:9"}})
    result = bench.run()
    assert [trial["status"] for trial in result["trials"]] == ["finished"] * 2
