"""`gimbal runs rm`: what nobody needs goes; all else stays, and nothing outside is touched."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock
from reproduction_study import Lab, edit_json, git

from gimbal.errors import ConfigError, GimbalError
from gimbal.experiment.process_identity import this_process
from gimbal.experiment.run_finding import list_runs
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.sweep_record import (
    SweepFolder,
    SweepRecord,
    SweepStatus,
    TrialRecord,
    TrialStatus,
)
from gimbal.reproduction.place import claimed_place
from gimbal.reproduction.removal_plan import Removal, plan_removal
from gimbal.reproduction.removing import remove

SECOND = "20991231-235959-ffff"
SWEEP = "sweep-20261126-000000-abcd"


def again(run: Path, name: str = SECOND) -> Path:
    """Another run that uses the same stages."""
    other = run.with_name(name)
    shutil.copytree(run, other, symlinks=True)
    edit_json(other / "run.json", lambda s: s.update(id=name))
    return other


def planned(lab: Lab, *references: str, stages: bool = True) -> Removal:
    return plan_removal(lab.runs, references, stages=stages)


def store(lab: Lab) -> set[str]:
    return {path.parent.name for path in lab.runs.glob(".stages/*/*-g*")}


def make_sweep(lab: Lab, run: Path, status: SweepStatus = SweepStatus.FINISHED) -> SweepFolder:
    folder = SweepFolder(run.with_name(SWEEP))
    now = datetime.now(UTC)
    fields = {"metric": "judge.score", "mode": "max", "axes": (), "seeds": (0,)}
    fields |= {"search": "grid", "scheduler": "none", "samples": 2, "owner": this_process()}
    folder.write(
        SweepRecord(
            id=SWEEP, name="study", workload="study", status=status, started_at=now, **fields
        )
    )
    folder.write_trial(
        TrialRecord(
            id="a",
            number=0,
            name="a",
            overrides={},
            seed=0,
            status=TrialStatus.FINISHED,
            run_dir=str(run),
        )
    )
    other = again(run)
    edit_json(other / "run.json", lambda s: s.update(sweep=f"study/{SWEEP}"))
    again(run, "20991231-235959-eeee")  # a run of its own
    return folder


def test_a_run_goes_and_its_stages_stay_unless_asked(lab: Lab, run: Path) -> None:
    plan = planned(lab, run.name, stages=False)
    assert plan.size_bytes > 0
    remove(plan)
    assert not run.exists()
    assert store(lab) == {"study.rows", "study.learn", "study.judge"}
    assert list_runs(lab.runs) == []


def test_stages_go_with_their_last_run(lab: Lab, run: Path) -> None:
    second = again(run)
    removed = remove(planned(lab, run.name))
    assert removed.stages == ()
    assert {why for _, why in removed.kept} == {f"study/{SECOND} uses it"}
    assert store(lab) == {"study.rows", "study.learn", "study.judge"}
    assert len(remove(planned(lab, second.name)).stages) == 3
    assert store(lab) == set()


def test_a_stage_that_another_run_only_read_stays(lab: Lab, run: Path) -> None:
    """An evaluation of the policy links to no `learn`, but read it."""
    second = again(run)
    (second / "stages" / "learn").unlink()
    remove(planned(lab, run.name))
    assert "study.learn" in store(lab)


def test_a_stage_being_built_stays(lab: Lab, run: Path) -> None:
    plan = planned(lab, run.name)
    folder = (run / "stages" / "learn").resolve()
    with FileLock(folder.parent / f"{folder.name.rpartition('-g')[0]}.lock"):
        removed = remove(plan)
    assert removed.kept == ((folder, "it is being built"),)
    assert store(lab) == {"study.learn"}


def test_a_stage_taken_into_use_after_the_question_stays(lab: Lab, run: Path) -> None:
    plan = planned(lab, run.name)
    again(run)
    assert remove(plan).stages == ()
    assert len(store(lab)) == 3


def test_a_running_run_is_refused_also_if_it_starts_meanwhile(lab: Lab, run: Path) -> None:
    plan = planned(lab, run.name)
    owner = this_process().model_dump()
    edit_json(run / "run.json", lambda s: s.update(status="running", owner=owner))
    with pytest.raises(GimbalError, match="is running"):
        planned(lab, run.name)
    with pytest.raises(GimbalError, match="is running"):
        remove(plan)
    with FileLock(run / ".claim"), pytest.raises(GimbalError, match="taken up again"):
        remove(plan)
    assert run.exists()


def test_a_damaged_run_can_be_removed(lab: Lab, run: Path) -> None:
    (run / "run.json").write_text("{")
    remove(planned(lab, run.name))
    assert not run.exists()


def test_a_sweep_goes_with_its_trials_and_no_other_run(lab: Lab, run: Path) -> None:
    sweep = make_sweep(lab, run)
    plan = planned(lab, f"study/{SWEEP}", stages=False)
    assert {path.name for path in plan.runs} == {run.name, SECOND}
    remove(plan)
    assert not sweep.path.exists()
    assert [entry.folder.id for entry in list_runs(lab.runs)] == ["20991231-235959-eeee"]


def test_a_sweep_that_is_resumed_meanwhile_keeps_its_trials(lab: Lab, run: Path) -> None:
    sweep = make_sweep(lab, run)
    plan = planned(lab, f"study/{SWEEP}", stages=False)
    with FileLock(sweep.path / ".claim"), pytest.raises(GimbalError, match="is being resumed"):
        remove(plan)
    sweep.write(sweep.record().model_copy(update={"status": SweepStatus.RUNNING}))
    with pytest.raises(GimbalError, match="is running"):
        remove(plan)
    assert run.exists()


def test_a_running_sweep_is_refused(lab: Lab, run: Path) -> None:
    sweep = make_sweep(lab, run, SweepStatus.RUNNING)
    with pytest.raises(GimbalError, match="is running"):
        planned(lab, SWEEP)
    assert sweep.path.exists()


@pytest.mark.parametrize("reference", ["study", "study/", "nothing", "", ".", "..", "/", "2"])
def test_what_names_no_single_run_is_refused(lab: Lab, run: Path, reference: str) -> None:
    again(run)
    with pytest.raises(ConfigError):
        planned(lab, reference)


def test_a_link_is_never_followed_out_of_the_runs_folder(
    lab: Lab, run: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(run.parent, elsewhere / "study", symlinks=True)
    (lab.runs / "linked").symlink_to(elsewhere / "study")
    shutil.rmtree(run)
    with pytest.raises(ConfigError, match="not a folder right below"):
        planned(lab, f"linked/{run.name}")
    assert (elsewhere / "study" / run.name / "run.json").exists()


def test_links_inside_go_as_links(lab: Lab, run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (run / "stages" / "mine").symlink_to(precious)
    (run / "link").symlink_to(precious)
    remove(planned(lab, run.name))
    assert (precious / "file").read_text() == "x"


def test_a_command_killed_half_way_leaves_no_half_run(lab: Lab, run: Path) -> None:
    second = again(run)
    run.rename(run.with_name(f".removing-{run.name}-0000"))
    assert [entry.folder.id for entry in list_runs(lab.runs)] == [SECOND]
    remove(planned(lab, second.name))
    assert not run.parent.exists(), "the leftovers went with the next removal"


def test_what_reproducing_left_goes_too_and_git_forgets_its_worktree(
    lab: Lab, run: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "small"
    repository.mkdir()
    git(repository, "init", "-q")
    (repository / "a").write_text("a")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "a")
    with claimed_place(lab.runs, RunFolder(run)) as place:
        git(repository, "worktree", "add", "-q", "--detach", str(place.code))
        assert planned(lab, run.name).reproductions == (), "it is in use"
    remove(planned(lab, run.name))
    assert not place.path.exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_without_a_terminal_it_says_what_to_write(lab: Lab, run: Path) -> None:
    code, _, err = lab.call("runs", "rm", run.name, "--stages")
    assert (code, run.exists()) == (2, True)
    assert "add --yes" in err
    assert f"study/{run.name}" in err
    code, out, _ = lab.call("runs", "rm", run.name, "--stages", "--yes", "--json")
    assert (code, run.exists()) == (0, False)
    assert f'"removed": ["{run}"]' in out


def test_the_desk_is_as_it_was(lab: Lab, run: Path) -> None:
    before = subprocess.run(["ls", str(lab.desk)], capture_output=True, check=True).stdout
    remove(planned(lab, run.name))
    assert subprocess.run(["ls", str(lab.desk)], capture_output=True, check=True).stdout == before
