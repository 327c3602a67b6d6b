"""The sweep file: what is wrong with one is said with its line before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.yaml_reading import read_yaml
from gimbal.sweeps.driver import SweepRequest, run_sweep
from gimbal.sweeps.spec import read_sweep
from gimbal.sweeps.trials import check, load_base, points_of

WriteSweep = Callable[..., Path]
ASHA = {"kind": "asha", "metric": "loss", "mode": "min", "grace_steps": 10}


def refused(path: Path, toy: Path, *overrides: str, **changes: Any) -> ConfigError:
    """Run the sweep, which is refused and leaves nothing behind."""
    with pytest.raises(ConfigError) as error:
        run_sweep(SweepRequest(file=path, changes=changes, overrides=overrides))
    assert not (toy / "runs").exists(), "nothing is written before everything is checked"
    return error.value


@pytest.mark.parametrize(
    ("keys", "line", "words"),
    [
        ({"sampels": 3}, "sampels", "samples"),
        ({"mode": None}, "", "mode"),
        ({"mode": "biggest"}, "mode", "'max' or 'min'"),
        ({"base": None}, "", "base"),
        ({"base": "bse.yaml"}, "", "base.yaml"),
        ({"space": {}}, "", "name at least one key that varies"),
        ({"space": {"train.lr": {"unifrom": [1, 2]}}}, "space", "did you mean uniform"),
        ({"space": {"train.lrr": [1, 2]}}, "space", "lr"),
        ({"space": {"trian.lr": [1, 2]}}, "space", "train"),
        ({"space": {"train lr": [1, 2]}}, "space", "names joined by dots"),
        ({"space": {"seed": [1, 2]}}, "space", "list the seeds under `seeds`"),
        ({"space": {"workload": ["a", "b"]}}, "space", "one sweep a workload"),
        ({"space": {"experiment": ["a", "b"]}}, "space", "experiment of its trials"),
        ({"space": {"sweep.id": ["a", "b"]}}, "space", "by the sweep itself"),
        ({"space": {"resources.workers": [1, 2]}}, "space", "how fast a trial runs"),
        ({"space": {"platform.runs_dir": ["a", "b"]}}, "space", "where a trial runs"),
        ({"space": {"data.count": {"randint": [1, 2000]}}}, "space", "1000"),
        ({"space": {"data.count": {"randint": [0, 20]}}}, "space", "1"),
        ({"space": {"data.share": {"uniform": [0.5, 1.5]}}}, "space", "1"),
        ({"space": {"data.kind": ["plain", "fancier"]}}, "space", "fancy"),
        ({"space": {"train.lr": {"normal": [0, 1]}}}, "space", "0"),
        ({"space": {"data.count": {"uniform": [16, 64]}}}, "space", "a whole number"),
        (
            {"search": "tpe", "space": {"data.count": {"uniform": [16, 64]}}},
            "space",
            "a whole number",
        ),
        (
            {"search": "tpe", "space": {"data.count": {"quniform": [16, 64, 0.5]}}},
            "space",
            "a whole number",
        ),
        ({"space": {"data.count": {"lograndint": [1, 2**70]}}}, "space", "whole numbers up to"),
        ({"space": {"train.lr": {"uniform": [-1.7e308, 1.7e308]}}}, "space", "can be drawn from"),
        (
            {"search": "tpe", "space": {"train.lr": {"uniform": [-1.7e308, 1.7e308]}}},
            "space",
            "uniform",
        ),
        ({"set": {"train.lr": 0.1}}, "set", "drop one of the two"),
        ({"set": {"train": {"lr": 0.1}}}, "set", "drop one of the two"),
        ({"space": {"data": [{"count": 1}], "data.count": [2]}}, "space", "write one axis"),
        ({"space": {"data.count": [2], "data": [{"count": 1}]}}, "space", "write one axis"),
        ({"set": {"sweep.id": "a/b"}}, "set", "by the sweep itself"),
        ({"set": {"seed": 3}}, "set", "seeds"),
        ({"set": {"data.shaer": 3}}, "set", "share"),
        ({"set": {"data.share": 0}}, "set", "greater than 0"),
        ({"set": {"data..count": 3}}, "set", "names joined by dots"),
        ({"metric": "value"}, "metric", "STAGE.NUMBER"),
        ({"metric": "scroe.value"}, "", "did you mean score"),
        ({"samples": None}, "", "search: random needs samples"),
        ({"samples": 0}, "samples", "1"),
        ({"search": "grid", "space": {"train.lr": [1, 2]}}, "", "no effect with search: grid"),
        ({"search": "grid", "samples": None}, "space", "list its values"),
        ({"search": "tpe", "space": {"train.lr": {"normal": [1, 1]}}}, "space", "uniform"),
        ({"seeds": [1, 1]}, "", "seeds names a seed twice"),
        ({"seeds": []}, "seeds", "1"),
        ({"seeds": [-1]}, "seeds", "0"),
        ({"concurrent": 0}, "concurrent", "1"),
        ({"budget_s": 0}, "budget_s", "0"),
        ({"scheduler": "asha"}, "scheduler", "grace_steps: 100"),
        ({"scheduler": {"kind": "asha", "metric": "loss"}}, "scheduler", "grace_steps"),
        ({"scheduler": {**ASHA, "reduction": 1}}, "scheduler", "1"),
        ({"scheduler": {**ASHA, "grace_steps": 100}}, "", "grace_steps below its steps"),
        ({"scheduler": ASHA, "set": {"train.validate_every": None}}, "", "validate_every"),
        ({"scheduler": ASHA, "set": {"train.validate_every": 100}}, "", "below its 100 steps"),
        ({"scheduler": ASHA, "set": {"trains": False}}, "", "write scheduler: none"),
        ({"name": "a b"}, "name", "a b"),
        ({"name": "mlruns"}, "", "mlruns"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(
    keys: dict[str, Any], line: str, words: str, sweep_file: WriteSweep, toy: Path
) -> None:
    path = sweep_file(**keys)
    error = refused(path, toy)
    assert words in f"{error.message} {error.remedy}"
    if line:
        lines = path.read_text().split("\n")
        number = next(n for n, text in enumerate(lines, 1) if text.startswith(f"{line}:"))
        assert f"{path}, line {number}" in error.message


def test_a_wrong_override_and_a_wrong_base_are_named(sweep_file: WriteSweep, toy: Path) -> None:
    path = sweep_file()
    error = refused(path, toy, "data.share=0")
    assert "override 'data.share=0'" in error.message
    path = sweep_file(base="data: {cuont: 3}\n")
    error = refused(path, toy)
    assert "base.yaml, line 3" in error.message
    assert (
        "--samples has no effect"
        in refused(
            sweep_file(search="grid", samples=None, space={"train.lr": [1, 2]}), toy, samples=3
        ).message
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed=7", "list the seeds under `seeds`"),
        ("experiment=foo", "write `name` in the sweep file"),
        ("workload=nbv", "write one sweep a workload"),
        ("sweep.id=a/b", "by the sweep itself"),
        ("train.lr=0.3", "drop one of the two"),
        ("train={lr: 0.3}", "drop one of the two"),
        ("data=null", "drop one of the two"),
    ],
)
def test_an_override_that_would_be_ignored_is_refused(
    override: str, words: str, sweep_file: WriteSweep, toy: Path
) -> None:
    error = refused(sweep_file(), toy, override)
    assert repr(override) in error.message
    assert words in error.remedy


def test_what_does_not_meet_an_axis_may_be_set(sweep_file: WriteSweep) -> None:
    sweep = read_sweep(
        sweep_file(set={"train": {"steps": 50}, "resources.workers": 2}),
        None,
        ["data={kind: fancy}", "platform.runs_dir=elsewhere", "train.steps=60"],
    )
    assert load_base(sweep)[1].train.steps == 60  # type: ignore[attr-defined]


def test_a_wrong_option_is_named_and_no_line_of_the_file(sweep_file: WriteSweep, toy: Path) -> None:
    error = refused(sweep_file(concurrent=3), toy, concurrent=1001)
    assert error.message.startswith("option --concurrent")


def test_a_file_that_is_no_mapping_or_not_there(toy: Path) -> None:
    assert "there is no config" in refused(toy / "none.yaml", toy).message
    (toy / "list.yaml").write_text("- 1\n")
    assert "is not a mapping" in refused(toy / "list.yaml", toy).message


def test_a_pair_of_good_values_that_do_not_go_together_is_refused(
    sweep_file: WriteSweep, toy: Path
) -> None:
    """Each value fits the base config; one point of the grid does not."""
    space = {"train.warmup_steps": [0, 150], "train.steps": [100, 200]}
    keys = {"search": "grid", "samples": None}
    path = sweep_file(base="train: {steps: 200}\n", space=space, **keys)
    error = refused(path, toy)
    assert "warmup" in error.message


def test_what_a_good_file_says(sweep_file: WriteSweep, toy: Path) -> None:
    path = sweep_file(set={"train.steps": 50}, scheduler=ASHA, seeds=[3, 1])
    sweep = read_sweep(path, {"samples": 9, "concurrent": None}, ["data.kind=fancy"])
    assert sweep.spec.name == "question"
    assert (sweep.spec.samples, sweep.spec.concurrent, sweep.spec.seeds) == (9, 2, (3, 1))
    assert [axis.key for axis in sweep.axes] == ["train.lr", "data.count"]
    workload, base = check(sweep)
    assert workload.name == "sweeptoy"
    assert base.experiment == "question"
    assert (base.train.steps, base.data.kind) == (50, "fancy")  # type: ignore[attr-defined]
    assert load_base(sweep)[1] == base
    assert len(points_of(sweep.spec, sweep.axes) or ()) == 9
    assert not (toy / "runs").exists()


def test_every_sweep_that_is_shipped_fits_its_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Path(__file__).parents[3]
    monkeypatch.chdir(repository)
    files = sorted((repository / "configs" / "sweeps").glob("*.yaml"))
    assert len(files) >= 4
    for file in files:
        sweep = read_sweep(file)
        _, base = check(sweep)
        assert base.experiment == sweep.spec.name
        assert read_yaml(file).data["metric"] == sweep.spec.metric
