"""Trials: each is the config somebody would have written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gimbal.experiment.loading import load_experiment
from gimbal.experiment.plain import to_plain
from gimbal.experiment.sweep_record import SweepFolder
from gimbal.sweeps.opening import create
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.spec import read_sweep
from gimbal.sweeps.trial_run import first_record
from gimbal.sweeps.trials import Trial, check, points_of, trial_of, trials_of

WriteSweep = Callable[..., Path]


def test_a_trials_config_equals_overrides_by_hand(sweep_file: WriteSweep, toy: Path) -> None:
    path = sweep_file(base="train: {steps: 70}\n", set={"data.kind": "fancy"}, seeds=[5, 6])
    sweep = read_sweep(path, None, ["data.share=0.25"])
    workload, base = check(sweep)
    opened = create(sweep, base, toy / "runs")
    plan = SweepPlan.of(opened.folder, sweep.spec, workload, list(workload.stages(base)), ())
    (toy / "base.yaml").unlink()  # trials read the sweep's folder alone
    trials = [
        trial
        for index, point in enumerate(points_of(sweep.spec, sweep.axes) or ())
        for trial in trials_of(index, point, sweep.spec.seeds)
    ]
    assert [trial.number for trial in trials] == list(range(12))
    sweep_file(base="train: {steps: 70}\n")
    for trial in trials:
        by_hand = ["data.kind=fancy", "data.share=0.25", "experiment=question"]
        by_hand += [f"{key}={value}" for key, value in trial.point.items()]
        by_hand += [f"seed={trial.seed}", f"platform.runs_dir={toy / 'runs'}"]
        expected = to_plain(load_experiment(toy / "base.yaml", by_hand)[1])
        found = to_plain(plan.load(trial))
        assert found.pop("sweep") == {
            "id": f"question/{opened.folder.path.name}",
            "trial": trial.name,
        }
        expected.pop("sweep")
        assert found == expected


def test_values_of_every_kind_reach_the_config(sweep_file: WriteSweep, toy: Path) -> None:
    space = {
        "data.meshes": ["${HOME}: #1", "null", "007", ""],
        "data.sizes": [[1, 2], [3]],
        "train.weight_decay": [1e-05, 0.0],
    }
    space["data.meshes"][0] = "a: b #1"
    sweep = read_sweep(sweep_file(space=space, search="grid", samples=None))
    workload, base = check(sweep)
    opened = create(sweep, base, toy / "runs")
    plan = SweepPlan.of(opened.folder, sweep.spec, workload, list(workload.stages(base)), ())
    seen = []
    for index, point in enumerate(points_of(sweep.spec, sweep.axes) or ()):
        (trial,) = trials_of(index, point, (0,))
        config = to_plain(plan.load(trial))
        seen.append(config["data"]["meshes"])
        assert config["data"]["sizes"] == point["data.sizes"]
        assert config["train"]["weight_decay"] == point["train.weight_decay"]
    assert list(dict.fromkeys(seen)) == ["a: b #1", "null", "007", ""]


def test_a_trial_is_known_again_from_its_file(toy: Path) -> None:
    folder = SweepFolder(toy / "runs" / "s" / "sweep-20261126-000000-abcd")
    for many in (False, True):
        for point in ({"train.lr": 0.123456}, {"data.seed": 4, "a": [1, 2]}, {"a": "x" * 900}):
            trial = Trial(number=7, point=point, seed=4, many_seeds=many)
            folder.write_trial(first_record(trial))
            record = folder.trial(trial.id)
            assert record is not None
            assert trial_of(record) == trial
