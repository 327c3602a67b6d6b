"""A policy is judged by what it was trained with, or the results say that it was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from gimbal.errors import Drift, StorageError
from gimbal.experiment.files import read_json
from gimbal.experiment.fingerprint import stage_fingerprint
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus, StageState, StageStatus
from gimbal.experiment.stage_store import StageKey, StageStore
from gimbal.pipeline.events import SilentObserver
from gimbal.pipeline.runner import RunOptions
from gimbal.training import checkpoints
from gimbal.training.ledger_lines import LEDGER_FILE, Ledger, Saved
from gimbal_nbv import judging
from gimbal_nbv.cli import app
from gimbal_nbv.report.build import render
from gimbal_nbv.report.sample import sample_evaluation, sample_run
from gimbal_nbv.workload import NbvWorkload

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"


@pytest.fixture
def trained(tmp_path: Path) -> RunFolder:
    """A finished run as the store holds it, with a checkpoint and its line in the ledger."""
    _, settings = load_experiment(SMOKE, [f"platform.runs_dir={tmp_path / 'runs'}"])
    run = RunFolder.create(tmp_path / "runs", settings, ["gimbal", "run"])
    store = StageStore(tmp_path / "runs")
    for stage in NbvWorkload().stages(settings):
        if stage.name not in ("states", "train", "constant"):
            continue
        inputs = dict.fromkeys(stage.inputs, "ab" * 32)
        key = StageKey("nbv", stage.name, stage_fingerprint(stage, inputs))
        folder = store.begin(key)
        if stage.name == "train":
            with_checkpoint(folder)
        stored = store.commit(key, folder, metrics={}, seconds=1.0)
        run.link_stage(stage.name, folder)
        run.set_stage(
            stage.name, StageState(status=StageStatus.FINISHED, fingerprint=stored.identity)
        )
    run.finish(RunStatus.FINISHED)
    return run


def with_checkpoint(train_dir: Path) -> None:
    facts = {"samples_seen": 320, "global_batch": 8, "seed": 0, "world_size": 1}
    saved = checkpoints.save(
        train_dir, {"step": 40, "model": {"w": torch.ones(3)}}, card=facts, metrics={}
    )
    checkpoints.write_index(train_dir, 40)
    size = int(saved.card["bytes"])
    line = Saved(
        attempt=0, step=40, sha256=saved.sha256, bytes=size, lr={"all": 0.1}, at=1.0, **facts
    )
    Ledger(train_dir).append(line)


Asked = list[tuple[Any, RunOptions]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What would have been run: nothing is."""
    calls: Asked = []

    def note(workload: Any, settings: Any, options: RunOptions, observer: Any) -> None:
        calls.append((workload.stages(settings), options))

    monkeypatch.setattr(judging, "run_experiment", note)
    return calls


def judge(run: RunFolder, *, allow_drift: bool = False) -> None:
    request = judging.Judging(
        reference=run.id,
        meshes=run.path,
        runs_dir=run.path.parent.parent,
        allow_drift=allow_drift,
    )
    judging.evaluate_run(request, ["gimbal"], SilentObserver())


def edit_record(run: RunFolder, stage: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Let a stage have been made otherwise than this checkout would make it."""
    path = run.stages / stage / "stage.json"
    record = read_json(path)
    change(record["parts"])
    path.write_text(json.dumps(record | {"fingerprint": "00" * 32}))


def test_a_run_of_this_very_code_is_judged_without_a_word(trained: RunFolder, asked: Asked) -> None:
    judge(trained)
    stages, options = asked[0]
    assert options.drift == ()
    assert next(stage for stage in stages if stage.name == "evaluate").drift == ()


def test_judging_a_trial_of_a_sweep_is_no_trial(
    trained: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = trained.config_file.read_text()
    place = "sweep:\n  id: nbv/sweep-20261126-120000-ab12\n  trial: seed=1\n"
    trained.config_file.write_text(text.replace("sweep: null\n", place))
    found: list[Any] = []
    monkeypatch.setattr(
        judging, "run_experiment", lambda _, settings, *rest: found.append(settings)
    )
    judge(trained)
    assert load_experiment(trained.config_file)[1].sweep is not None
    assert found[0].sweep is None


def other_code(parts: dict[str, Any]) -> None:
    parts["code"]["gimbal_nbv/scorer.py"] = "00" * 32


def other_library(parts: dict[str, Any]) -> None:
    parts["libraries"]["torch"] = "2.12.0"


def no_target(parts: dict[str, Any]) -> None:
    del parts["settings"]["target"]


@pytest.mark.parametrize(
    ("stage", "change", "named"),
    [
        ("train", other_code, "train: code: gimbal_nbv/scorer.py changed"),
        ("train", other_library, "train: library torch 2.12.0 → "),
        ("states", no_target, "states: settings.target is new: coverage"),
    ],
)
def test_each_difference_is_refused_by_name(
    trained: RunFolder, asked: Asked, stage: str, change: Callable[..., None], named: str
) -> None:
    edit_record(trained, stage, change)
    with pytest.raises(Drift, match="--allow-drift") as caught:
        judge(trained)
    assert caught.value.exit_code == 7
    assert named in caught.value.message
    assert "gimbal reproduce" in caught.value.remedy
    assert asked == [], "something ran"


def test_an_edited_config_is_drift_and_its_key_is_named(trained: RunFolder, asked: Asked) -> None:
    text = trained.config_file.read_text()
    trained.config_file.write_text(text.replace("temperature: 0.1", "temperature: 0.3"))
    with pytest.raises(Drift, match=r"settings\.model\.temperature: 0\.1 → 0\.3"):
        judge(trained)


def test_every_changed_source_is_named(trained: RunFolder, asked: Asked) -> None:
    """An explanation of a rerun stops after five; here each may be the one that matters."""

    def many(parts: dict[str, Any]) -> None:
        parts["code"] = dict.fromkeys(parts["code"], "00" * 32)

    edit_record(trained, "constant", many)
    judge(trained, allow_drift=True)
    count = len(read_json(trained.stages / "constant" / "stage.json")["parts"]["code"])
    assert len(asked[0][1].drift) == count > 20


def test_a_missing_record_cannot_be_compared(trained: RunFolder, asked: Asked) -> None:
    (trained.stages / "states" / "stage.json").unlink()
    with pytest.raises(Drift, match=r"states: its record stage\.json is missing"):
        judge(trained)


def test_no_source_of_the_report_counts(trained: RunFolder) -> None:
    for stage in ("states", "train", "constant"):
        code = read_json(trained.stages / stage / "stage.json")["parts"]["code"]
        assert code
        counted = [f for f in code if f.startswith(("gimbal_nbv/report/", "gimbal/cli/"))]
        assert not counted
        assert "gimbal_nbv/stages/reporting.py" not in code


def test_allowed_drift_is_said_by_options_stages_and_notice(
    trained: RunFolder, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[str] = []
    monkeypatch.setattr(SilentObserver, "notice", lambda _, words: notices.append(words))
    edit_record(trained, "train", other_code)
    judge(trained, allow_drift=True)
    stages, options = asked[0]
    expected = ("train: code: gimbal_nbv/scorer.py changed",)
    assert options.drift == expected
    assert next(stage for stage in stages if stage.name == "evaluate").drift == expected
    assert "gimbal_nbv/scorer.py" in notices[0]


def test_a_damaged_checkpoint_is_refused_at_once_whatever_is_allowed(
    trained: RunFolder, asked: Asked
) -> None:
    state = trained.stages / "train" / "checkpoints" / "step-00000040" / "state.pt"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    with pytest.raises(StorageError, match="is damaged: its sha256"):
        judge(trained, allow_drift=True)
    assert asked == []


def test_a_checkpoint_put_in_its_place_is_drift(trained: RunFolder, asked: Asked) -> None:
    """Whole by its own card, but not what the training saved."""
    train_dir = trained.stages / "train"
    state = {"step": 40, "model": {"w": torch.zeros(3)}}
    checkpoints.save(train_dir, state, card={}, metrics={})
    with pytest.raises(Drift, match="step-00000040 is not a checkpoint that its ledger tells of"):
        judge(trained)
    (train_dir / LEDGER_FILE).unlink()
    judge(trained)
    assert len(asked) == 1, "a training older than ledgers is judged as ever"


def test_the_command_ends_with_status_7_and_goes_on_when_told(
    trained: RunFolder, asked: Asked
) -> None:
    edit_record(trained, "train", other_code)
    command = ["evaluate", "--run", trained.id, "--meshes", str(trained.path)]
    command += ["--runs-dir", str(trained.path.parent.parent)]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, Drift)
    CliRunner().invoke(app, [*command, "--allow-drift"])
    assert len(asked) == 1


def test_the_report_says_it_on_top_and_in_full_below() -> None:
    drift = ["train: code: gimbal_nbv/scorer.py changed", "states: library numba 0.67 → 0.68"]
    evaluation = sample_evaluation()
    assert "trained with other code" not in render(evaluation, sample_run(), None)
    page = render({**evaluation, "drift": drift}, sample_run(), None)
    assert "The policy was trained with other code, settings or libraries" in page
    assert "2 differences between training and this evaluation" in page
    assert "library numba 0.67 → 0.68" in page
