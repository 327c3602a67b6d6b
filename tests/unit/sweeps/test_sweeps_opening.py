"""Making a sweep's folder and taking one over: what may change, who may, and when it is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from trial_records import record_of

from gimbal.errors import ConfigError
from gimbal.experiment.sweep_record import SweepFolder, SweepStatus, TrialStatus
from gimbal.sweeps import opening
from gimbal.sweeps.opening import Opened
from gimbal.sweeps.spec import read_sweep
from gimbal.sweeps.trials import check, points_of, trials_of

WriteSweep = Callable[..., Path]


def create(path: Path) -> Opened:
    sweep = read_sweep(path)
    return opening.create(sweep, check(sweep)[1], Path("runs"))


def resume(path: Path, *overrides: str, retry: bool = False, **changes: Any) -> Opened:
    sweep = read_sweep(path, changes, overrides)
    return opening.resume(sweep, check(sweep)[1], Path("runs"), retry_failed=retry)


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
