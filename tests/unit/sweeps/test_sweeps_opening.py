"""Making a sweep's folder and taking one over: what may change, who may, and when it is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from trial_records import record_of

from gimbal.errors import ConfigError, Drift, StorageError
from gimbal.experiment.provenance import leave_origin
from gimbal.experiment.sweep_record import SweepFolder, SweepStatus, TrialStatus
from gimbal.sweeps import opening
from gimbal.sweeps.opening import Opened, Resumption
from gimbal.sweeps.queue import TrialQueue
from gimbal.sweeps.spec import read_sweep
from gimbal.sweeps.trials import check, points_of, trials_of

WriteSweep = Callable[..., Path]


def create(path: Path) -> Opened:
    sweep = read_sweep(path)
    return opening.create(sweep, check(sweep)[1], Path("runs"))


def resume(
    path: Path,
    *overrides: str,
    retry: bool = False,
    sweep_id: str | None = None,
    allow_drift: bool = False,
    **changes: Any,
) -> Opened:
    sweep = read_sweep(path, changes, overrides)
    how = Resumption(retry_failed=retry, sweep_id=sweep_id, allow_drift=allow_drift)
    return opening.resume(sweep, check(sweep)[1], Path("runs"), how)


def ended(folder: SweepFolder, status: SweepStatus = SweepStatus.INTERRUPTED) -> None:
    folder.write(folder.record().model_copy(update={"status": status, "owner": None}))


def run_all(opened: Opened, path: Path, status: TrialStatus = TrialStatus.FINISHED) -> None:
    sweep = read_sweep(path)
    for index, point in enumerate(points_of(sweep.spec, sweep.axes) or ()):
        for trial in trials_of(index, point, sweep.spec.seeds):
            opened.folder.write_trial(record_of(trial, status, metric=1.0))
    ended(opened.folder, SweepStatus.FINISHED)


def test_a_new_sweep_is_owned_by_this_process(sweep_file: WriteSweep) -> None:
    opened = create(sweep_file())
    record = opened.folder.record()
    assert (record.status, record.starts, record.axes) == (
        SweepStatus.RUNNING,
        1,
        ("train.lr", "data.count"),
    )
    assert not opened.resumed
    assert create(sweep_file()).folder.path != opened.folder.path


def test_resuming_takes_the_newest_over_with_what_may_change(sweep_file: WriteSweep) -> None:
    ended(create(sweep_file()).folder)
    opened = create(sweep_file())
    newest = max(opened.folder.path.parent.glob("sweep-*"), key=lambda path: path.name)
    ended(SweepFolder(newest))
    path = sweep_file(budget_s=60, concurrent=5, samples=9, set={"resources.workers": 2})
    found = resume(path, "platform.tracking.enabled=false")
    assert found.folder.path == newest
    assert found.resumed
    assert not found.ended
    record = found.folder.record()
    assert (record.status, record.starts, record.samples) == (SweepStatus.RUNNING, 2, 9)
    assert "workers: 2" in (newest / "base.yaml").read_text()


@pytest.mark.parametrize(
    ("keys", "overrides", "words"),
    [
        ({"mode": "min"}, (), "mode: max → min"),
        ({"search_seed": 4}, (), "search_seed: 0 → 4"),
        ({"seeds": [1]}, (), "seeds: [0] → [1]"),
        (
            {"space": {"train.lr": [0.1, 0.3], "data.count": {"randint": [1, 100]}}},
            (),
            "space.train.lr: [0.1, 0.2] → [0.1, 0.3]",
        ),
        (
            {"space": {"data.count": {"randint": [1, 100]}, "train.lr": [0.1, 0.2]}},
            (),
            "order of keys train.lr, data.count → data.count, train.lr",
        ),
        ({"set": {"train.steps": 50}}, (), "train.steps: 100 → 50"),
        ({}, ("data.kind=fancy",), "data.kind: plain → fancy"),
        ({"base": "data: {share: 0.25}\n"}, (), "data.share: 0.5 → 0.25"),
    ],
)
def test_what_changes_a_trial_is_named_and_nothing_is_touched(
    sweep_file: WriteSweep, keys: dict[str, Any], overrides: tuple[str, ...], words: str
) -> None:
    folder = create(sweep_file()).folder
    ended(folder)
    before = {path: path.read_bytes() for path in folder.path.glob("*.*")}
    with pytest.raises(ConfigError) as error:
        resume(sweep_file(**keys), *overrides)
    assert words in error.value.message
    assert "start a new sweep" in (error.value.remedy or "")
    assert before == {path: path.read_bytes() for path in folder.path.glob("*.*")}


def test_there_is_nothing_to_resume(sweep_file: WriteSweep) -> None:
    with pytest.raises(ConfigError, match="no sweep 'question'"):
        resume(sweep_file())


def test_a_running_sweep_is_not_taken_over(sweep_file: WriteSweep) -> None:
    path = sweep_file()
    create(path)
    with pytest.raises(ConfigError, match="is being run by process"):
        resume(path)


def test_of_two_that_resume_one_is_refused(sweep_file: WriteSweep) -> None:
    path = sweep_file()
    folder = create(path).folder
    ended(folder)
    with (
        FileLock(folder.path / ".claim"),
        pytest.raises(ConfigError, match="another process is resuming"),
    ):
        resume(path)
    assert folder.record().starts == 1


def test_a_finished_sweep_is_done_until_more_is_asked_for(sweep_file: WriteSweep) -> None:
    path = sweep_file()
    opened = create(path)
    run_all(opened, path)
    assert resume(path).ended
    assert opened.folder.record().starts == 1
    assert not resume(path, samples=7).ended
    assert opened.folder.record().starts == 2


def test_a_finished_grid_is_done(sweep_file: WriteSweep) -> None:
    path = sweep_file(search="grid", samples=None, space={"train.lr": [0.1, 0.2]})
    run_all(create(path), path)
    assert resume(path).ended


def test_failed_trials_are_tried_again_only_when_asked(sweep_file: WriteSweep) -> None:
    path = sweep_file()
    opened = create(path)
    run_all(opened, path, TrialStatus.FAILED)
    assert resume(path).ended
    assert not resume(path, retry=True).ended
    trials = opened.folder.trials()
    assert {trial.status for trial in trials} == {TrialStatus.WAITING}
    assert {trial.metric for trial in trials} == {None}


def test_an_older_sweep_is_taken_over_by_its_id(sweep_file: WriteSweep) -> None:
    first, second = (create(sweep_file()).folder for _ in range(2))
    ended(first)
    ended(second)
    assert resume(sweep_file(), sweep_id=first.path.name).folder.path == first.path
    ended(first)
    assert resume(sweep_file(), sweep_id=f"question/{first.path.name}").folder.path == first.path
    with pytest.raises(ConfigError, match="no sweep 'sweep-1' of question") as error:
        resume(sweep_file(), sweep_id="sweep-1")
    assert first.path.name in error.value.remedy


def test_a_grid_that_lacks_a_point_or_a_whole_file_is_not_done(sweep_file: WriteSweep) -> None:
    path = sweep_file(search="grid", samples=None, space={"train.lr": [0.1, 0.2]})
    opened = create(path)
    assert opened.folder.record().samples == 2
    run_all(opened, path)
    assert resume(path).ended
    (opened.folder.path / "trials" / "00001.json").write_text("{")
    found = resume(path)
    assert not found.ended
    assert TrialQueue(read_sweep(path).spec, read_sweep(path).axes, found.folder.trials()).left == 1


def began_with(folder: SweepFolder, digest: str | None = None) -> None:
    """Leave word of the code as the first start does, here with another hash."""
    file = folder.path / "code-1.json"
    leave_origin(file, ["gimbal"])
    if digest is not None:
        file.write_text(json.dumps({**json.loads(file.read_text()), "digest": digest}))


def test_the_same_code_goes_on_without_a_word(sweep_file: WriteSweep) -> None:
    folder = create(sweep_file()).folder
    began_with(folder)
    ended(folder)
    found = resume(sweep_file())
    assert found.drift == ""
    assert found.folder.record().drift == ()


def test_other_code_is_refused_until_allowed_and_then_recorded(sweep_file: WriteSweep) -> None:
    folder = create(sweep_file()).folder
    began_with(folder, "0123456789abcdef")
    ended(folder)
    with pytest.raises(Drift, match="the code of gimbal has changed") as error:
        resume(sweep_file())
    assert "--allow-drift" in error.value.remedy
    assert folder.record().starts == 1
    found = resume(sweep_file(), allow_drift=True)
    assert found.drift.startswith("start 2: the code of gimbal is ")
    assert found.drift.endswith("it was 0123456789ab")
    assert folder.record().drift == (found.drift,)
    leave_origin(folder.path / "code-2.json", ["gimbal"])
    ended(folder)
    assert resume(sweep_file()).drift == "", "this code is on record now"


def test_other_code_is_no_matter_where_nothing_is_left_to_run(sweep_file: WriteSweep) -> None:
    path = sweep_file()
    opened = create(path)
    began_with(opened.folder, "0123456789abcdef")
    run_all(opened, path, TrialStatus.FAILED)
    assert resume(path).ended
    with pytest.raises(Drift):
        resume(path, retry=True)
    assert {trial.status for trial in opened.folder.trials()} == {TrialStatus.FAILED}


def test_a_damaged_file_of_the_sweep_is_named(sweep_file: WriteSweep) -> None:
    path = sweep_file()
    folder = create(path).folder
    ended(folder)
    for name in ("base.yaml", "sweep.yaml"):  # the later one is looked at first
        for text in ("", "[1]", "a: ["):
            (folder.path / name).write_text(text)
            with pytest.raises(StorageError, match=f"{name} is damaged"):
                resume(path)
        (folder.path / name).write_text("space: 3")
        with pytest.raises(ConfigError, match="have changed"):
            resume(path)
