"""The diagnostics on the command line: what they refuse, what they print, how they exit."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gimbal.errors import CannotTell, ConfigError, Drift, GateFailed
from gimbal.experiment.files import ensure_folder
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus, StageState, StageStatus
from gimbal.pipeline.events import SilentObserver
from gimbal.pipeline.plan import make_plan
from gimbal_nbv import diagnosing
from gimbal_nbv.cli import app
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.diagnosing import Diagnosed, Diagnosing, DiagnosingWorkload, diagnose, examined
from gimbal_nbv.diagnosis_commands import lines_of, report
from gimbal_nbv.diagnostics.registry import DIAGNOSTICS
from gimbal_nbv.stages.diagnosing import diagnose_stage

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"
RUNNER = CliRunner()

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes runs that call some stages finished; their records are empty."""

    def make(*stages: str, experiment: str = "smoke") -> RunFolder:
        _, settings = load_experiment(SMOKE, [f"experiment={experiment}"])
        run = RunFolder.create(tmp_path / "runs", settings, ["gimbal", "run"])
        for name in stages:
            folder = ensure_folder(tmp_path / "stored" / run.id / name)
            (folder / "stage.json").write_text("{}")
            run.link_stage(name, folder)
            run.set_stage(name, StageState(status=StageStatus.FINISHED, fingerprint="ab" * 32))
        run.finish(RunStatus.FINISHED)
        return run

    return make


def ask(**given: Any) -> Diagnosed:
    return diagnose(Diagnosing(name="oracle-test", **given), ("gimbal",), SilentObserver())


def record(verdict: str, **changes: Any) -> dict[str, Any]:
    checks = [
        {
            "name": "wins",
            "verdict": "PASS",
            "value": 0.95,
            "op": ">=",
            "threshold": 0.9,
            "hint": "",
        },
        {
            "name": "spread",
            "verdict": verdict,
            "value": None if verdict == "NOT CHECKABLE" else 0.1,
            "op": ">=",
            "threshold": 0.2,
            "hint": "use harder objects",
        },
    ]
    given = {"name": "oracle-test", "verdict": verdict, "answer": "So it is.", "checks": checks}
    return given | changes


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_every_diagnostic_has_a_command_that_says_how_it_exits(name: str) -> None:
    result = RUNNER.invoke(app, [name, "--help"])
    assert result.exit_code == 0
    for said in ("Examples:", "Exit status:", "8 NOT CHECKABLE", "--config", "--run"):
        assert said in result.output, said


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_every_diagnostic_has_a_module_and_a_stage_after_the_workloads_own(name: str) -> None:
    entry = DIAGNOSTICS[name]
    assert find_spec(entry.module) is not None
    _, settings = load_experiment(SMOKE)
    assert isinstance(settings, NbvConfig)
    stages = DiagnosingWorkload(diagnose_stage(name, settings)).stages(settings)
    plan = make_plan(stages, only=name)
    assert plan.stages[-1].name == name
    assert {*entry.needs} <= {stage.name for stage in plan.stages}


@pytest.mark.parametrize("given", [{}, {"run": "latest", "config": SMOKE}])
def test_exactly_one_of_run_and_config(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="exactly one of --run and --config"):
        ask(**given)


def test_a_finished_run_cannot_be_changed(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("meshes", "views", "oracle")
    with pytest.raises(ConfigError, match=r"cannot be changed by 'seed=3'"):
        ask(run=run.id, runs_dir=tmp_path / "runs", overrides=("seed=3",))


def test_what_a_run_lacks_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("meshes", "views")
    with pytest.raises(ConfigError, match="no finished stage 'oracle'"):
        ask(run=run.id, runs_dir=tmp_path / "runs")


def test_a_run_made_by_other_code_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("meshes", "views", "oracle")
    with pytest.raises(Drift, match="oracle: its record"):
        ask(run=run.id, runs_dir=tmp_path / "runs")


def test_an_allowed_drift_is_in_the_stage_and_nothing_of_the_run_is_touched(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("meshes", "views", "oracle")
    before = sorted(path.name for path in run.path.rglob("*"))
    seen: list[Any] = []

    def stop(workload: Any, settings: Any, options: Any, observer: Any) -> None:
        seen.extend((workload.stages(settings), settings, options))
        raise InterruptedError

    monkeypatch.setattr(diagnosing, "run_experiment", stop)
    with pytest.raises(InterruptedError):
        ask(run=run.id, runs_dir=tmp_path / "runs", allow_drift=True, objects=5)
    (stage,), settings, options = seen
    assert stage.name == "oracle-test" and stage.settings.objects == 5
    assert stage.drift and stage.about == run.id
    assert set(options.given) == {"meshes", "views", "oracle"}
    assert settings.experiment == "smoke-oracle-test"
    assert settings.platform.runs_dir == tmp_path / "runs"
    assert sorted(path.name for path in run.path.rglob("*")) == before


def test_a_run_is_read_as_far_as_it_came(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One missing stage must not hide the others."""
    run = make_run("meshes", "views", "oracle", "train")
    seen: list[Any] = []

    def stop(workload: Any, settings: Any, options: Any, observer: Any) -> None:
        seen.extend(options.given)
        raise InterruptedError

    monkeypatch.setattr(diagnosing, "run_experiment", stop)
    monkeypatch.setattr(diagnosing, "_drift", lambda *_: ())
    asked = Diagnosing(name="gradient-report", run=run.id, runs_dir=tmp_path / "runs")
    with pytest.raises(InterruptedError):
        diagnose(asked, ("gimbal",), SilentObserver())
    assert set(seen) == {"meshes", "views", "oracle", "train"}


@pytest.mark.parametrize(
    ("name", "changes", "trained"),
    [
        ("gradient-report", [], {"train"}),
        ("landscape", [], {"train", "constant"}),
        ("view-sensitivity", [], set()),
        ("view-sensitivity", ["completion={}"], {"completion"}),
        ("oracle-test", [], set()),
    ],
)
def test_a_config_builds_all_that_a_diagnostic_reads(
    name: str, changes: list[str], trained: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out would go unchecked, and the rest would pass."""
    seen: list[Any] = []

    def stop(workload: Any, settings: Any, options: Any, observer: Any) -> None:
        seen.extend(make_plan(workload.stages(settings), only=options.only).stages)
        raise InterruptedError

    monkeypatch.setattr(diagnosing, "run_experiment", stop)
    asked = Diagnosing(name=name, config=SMOKE, overrides=tuple(changes))
    with pytest.raises(InterruptedError):
        diagnose(asked, ("gimbal",), SilentObserver())
    planned = {stage.name for stage in seen}
    assert planned & {"train", "constant", "completion"} == trained
    assert {*DIAGNOSTICS[name].needs} | trained <= {*seen[-1].inputs}


def test_latest_is_the_newest_run_that_has_what_is_needed(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """A diagnosis is recorded as a run; it must not be what the next one examines."""
    whole = make_run("meshes", "views", "oracle", "constant", "train", "rollouts")
    make_run("oracle-test", experiment="smoke-oracle-test")
    found = examined(tmp_path / "runs", "latest", DIAGNOSTICS["blind-control"])
    assert found.id == whole.id


def test_config_errors_show_no_traceback(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    result = RUNNER.invoke(app, ["landscape", "--config", str(missing)])
    assert isinstance(result.exception, ConfigError)
    assert str(missing) in str(result.exception)


def test_people_read_a_line_a_check_then_the_verdict() -> None:
    lines = lines_of(record("FAIL"))
    assert lines[0].split() == ["✓", "PASS", "wins", "0.95", "(wanted", ">=", "0.9)"]
    assert lines[1].split() == ["✗", "FAIL", "spread", "0.1", "(wanted", ">=", "0.2)"]
    assert lines[2:] == ["So it is.", "✗ FAIL  oracle-test"]
    assert lines_of(record("NOT CHECKABLE"))[1].startswith("– NOT CHECKABLE spread  –")


@pytest.mark.parametrize(
    ("verdict", "error"), [("PASS", None), ("FAIL", GateFailed), ("NOT CHECKABLE", CannotTell)]
)
def test_json_is_one_object_and_the_verdict_the_exit_status(
    verdict: str, error: type[Exception] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnosed = Diagnosed(record=record(verdict), page=Path("p.html"), run_dir=Path("r"))
    if error is None:
        report(diagnosed, as_json=True)
    else:
        with pytest.raises(error, match="use harder objects") as raised:
            report(diagnosed, as_json=True)
        assert raised.value.exit_code == {"FAIL": 4, "NOT CHECKABLE": 8}[verdict]
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["verdict"] == verdict and said["page"] == "p.html"
    assert "wins" in err and out.count("\n") == 1
