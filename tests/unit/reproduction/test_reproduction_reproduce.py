"""`gimbal reproduce`: the recorded code in a worktree, every number compared, git left clean."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from reproduction_study import Lab, edit_json, git, make_lab

from gimbal.errors import CannotTell, GimbalError
from gimbal.experiment.process_identity import this_process
from gimbal.experiment.run_folder import RunFolder
from gimbal.reproduction.place import Place, claimed_place
from gimbal.reproduction.recorded_code import recorded_code, textual
from gimbal.reproduction.reproducible import recipe_of
from gimbal.reproduction.worktree import GitFailed, run_git


def reproduced(lab: Lab, run: Path, *options: str, **variables: str) -> tuple[int, Any, str]:
    code, out, err = lab.call("reproduce", run.name, *options, "--json", **variables)
    return code, json.loads(out) if out else None, err


def worktrees(lab: Lab) -> int:
    return len(git(lab.repository, "worktree", "list").splitlines())


def git_files(lab: Lab) -> dict[str, str]:
    """What git says that the user would notice if it changed."""
    told = {name: git(lab.repository, *name.split()) for name in ("status -s", "branch -a")}
    told |= {"stash": git(lab.repository, "stash", "list"), "log": git(lab.repository, "log")}
    return told | {"worktrees": git(lab.repository, "worktree", "list")}


def test_a_run_comes_out_again_and_git_is_as_it_was(lab: Lab, run: Path) -> None:
    before = git_files(lab)
    code, report, err = reproduced(lab, run, "--check")
    assert code == 0, err
    assert report["matches"] is True
    assert report["differences"] == report["parts"] == report["libraries"] == []
    # learn: loss and two curve points; judge: score, objects, two samples, two of evaluation.json;
    # rows: five counts. Times are in all of them, and in a column of the rows.
    assert (report["stages"], report["numbers"], report["rows"]) == (4, 13, 1)
    assert report["reproduced"] is None
    assert list((lab.runs / ".reproduced").glob("2*")) == []
    assert git_files(lab) == before


@pytest.mark.slow
def test_numbers_that_differ_are_named_and_the_new_run_is_kept(lab: Lab, run: Path) -> None:
    code, report, _ = reproduced(lab, run, "--check", STUDY_NOISE="0.25")
    assert code == 7
    found = {(d["stage"], d["number"]): d for d in report["differences"]}
    assert found.keys() == {
        *(("rows", "column value"), ("learn", "loss"), ("judge", "samples.score.b"))
    }
    assert found["learn", "loss"]["recorded"] == 0.5
    assert found["learn", "loss"]["reproduced"] == 0.75
    assert (Path(report["reproduced"]) / "run.json").exists()
    assert worktrees(lab) == 1
    code, report, _ = reproduced(lab, run, "--check", "--rtol", "0.9", STUDY_NOISE="0.25")
    assert [d["number"] for d in report["differences"]] == ["column value"]
    assert sorted(p.name[-2:] for p in (lab.runs / ".reproduced").glob("2*")) == ["-1", "-2"]


@pytest.mark.slow
def test_a_stopped_one_leaves_no_worktree_and_is_continued(
    lab: Lab, run: Path, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    process = lab.gimbal("reproduce", run.name, "--check", STUDY_HOLD=str(hold))
    deadline = time.monotonic() + 60
    while not Path(f"{hold}.reached").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    assert worktrees(lab) == 2
    code, _, err = lab.call("reproduce", run.name, "--check")
    assert code == 1
    assert f"is being reproduced already, by process {process.pid}" in err

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again: it continues" in err
    assert worktrees(lab) == 1
    (place,) = (lab.runs / ".reproduced").glob("2*")
    (stopped,) = (place / "runs" / "study").glob("2*")

    hold.unlink()
    code, report, err = reproduced(lab, run, "--check", "--keep")
    assert code == 0, err
    assert report["reproduced"] == str(stopped), "the same run, in the same folder"
    assert json.loads((stopped / "run.json").read_text())["attempts"] == 2
    assert Path(report["code"]).is_dir()
    git(lab.repository, "worktree", "remove", "--force", report["code"])


@pytest.mark.slow
def test_uncommitted_changes_and_untracked_sources_come_along(tmp_path: Path) -> None:
    """A dirty tree is recorded as a diff; a source git does not track is found by the digest."""
    lab = make_lab(tmp_path)
    helper = lab.repository / "platform" / "gimbal" / "extra_helper.py"
    helper.write_text("HALF = 0.5\n")
    dirty = lab.module.read_text().replace("0.5 + NOISE", "HALF + NOISE")
    lab.module.write_text(f"from gimbal.extra_helper import HALF\n{dirty}")
    run = lab.run()
    git(lab.repository, "add", "workloads")
    git(lab.repository, "commit", "-qm", "Second")
    lab.module.write_text("raise SystemExit('edited since')")

    code, report, err = reproduced(lab, run, "--check")
    assert code == 0, err
    assert report["matches"] is True
    assert lab.module.read_text() == "raise SystemExit('edited since')"

    helper.write_text("HALF = 0.6\n")
    code, _, err = reproduced(lab, run, "--check")
    assert code == 8
    assert "did not track" in err
    assert "platform/gimbal/extra_helper.py" in err
    assert worktrees(lab) == 1


@pytest.mark.slow
def test_an_outside_file_that_changed_is_refused_by_name(lab: Lab, run: Path) -> None:
    (lab.desk / "outside.txt").write_text("something else")
    code, _, err = reproduced(lab, run)
    assert code == 7
    assert "outside.txt holds something else than what stage rows read" in err
    assert worktrees(lab) == 1
    assert list((lab.runs / ".reproduced").glob("2*")) == [], "nothing was begun"


def repositories(record: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = record["code"]["repositories"]
    return found


UNREPRODUCIBLE = [
    (lambda r: r["code"].update(repositories=[{"unavailable": "git is not installed"}]), "git is"),
    (lambda r: r["code"].update(repositories=[], submitted="/tmp/x"), "submitted as a folder"),
    (lambda r: repositories(r)[0].update(diff_cut=True), "too large"),
    (lambda r: r.pop("code"), "names no code"),
]


@pytest.mark.parametrize(("change", "said"), UNREPRODUCIBLE)
def test_code_that_git_cannot_give_back_is_refused(run: Path, change: Any, said: str) -> None:
    edit_json(run / "provenance.json", change)
    with pytest.raises(CannotTell, match=said) as caught:
        recipe_of(RunFolder(run))
    assert caught.value.exit_code == 8
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["run.json", "provenance.json", "stages/learn/stage.json"])
def test_damaged_records_are_refused(run: Path, name: str) -> None:
    (run / name).resolve().write_text("{")
    with pytest.raises(CannotTell, match="damaged"):
        recipe_of(RunFolder(run))


def test_an_evaluation_of_another_run_names_the_run_to_reproduce(run: Path) -> None:
    def forget(state: dict[str, Any]) -> None:
        del state["stages"]["learn"]

    edit_json(run / "run.json", forget)
    with pytest.raises(CannotTell, match="read learn from another run") as caught:
        recipe_of(RunFolder(run))
    assert run.name in caught.value.remedy


@pytest.mark.slow
def test_a_run_of_a_workloads_own_command_is_refused(lab: Lab, run: Path) -> None:
    edit_json(run / "provenance.json", lambda r: r.update(workload="study_workload:Judging"))
    code, _, err = reproduced(lab, run)
    assert code == 8
    assert "stages came from study_workload:Judging" in err
    assert worktrees(lab) == 1


@pytest.mark.slow
def test_code_that_does_not_start_is_named(lab: Lab, run: Path, tmp_path: Path) -> None:
    """The workload's package is gone from this environment."""
    shutil.rmtree(lab.desk / "site")
    code, _, err = reproduced(lab, run)
    assert code == 3
    assert "there is no workload 'study'" in err


@pytest.mark.slow
def test_a_commit_that_is_nowhere_says_so(lab: Lab, run: Path) -> None:
    edit_json(run / "provenance.json", lambda r: repositories(r)[0].update(commit="0" * 40))
    code, _, err = reproduced(lab, run)
    assert code == 8
    assert "no repository here holds the commit 000000000000" in err


def test_only_where_a_run_is_kept_is_changed(run: Path, tmp_path: Path) -> None:
    recipe = recipe_of(RunFolder(run))
    kept = [f"platform.runs_dir={tmp_path}", "platform.tracking.enabled=false"]
    assert recipe.overrides(tmp_path) == kept
    config = run / "config.yaml"
    text = config.read_text()
    assert "\nsweep: null\n" in text
    config.write_text(text.replace("\nsweep: null\n", "\nsweep: {id: a/b, trial: c}\n"))
    assert recipe.overrides(tmp_path) == [*kept, "sweep=null"]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (["gimbal", "run", "x.yaml"], []),
        (["gimbal", "run", "x.yaml", "--stage", "rows"], ["--stage", "rows"]),
        (["gimbal", "run", "--stage=rows", "x.yaml"], ["--stage=rows"]),
    ],
)
def test_a_run_of_some_stages_is_run_that_far(
    run: Path, command: list[str], options: list[str]
) -> None:
    edit_json(run / "run.json", lambda s: s.update(command=command))
    assert recipe_of(RunFolder(run)).options() == options


def test_packages_belong_to_the_innermost_repository(tmp_path: Path) -> None:
    outer, inner = str(tmp_path), str(tmp_path / "inner")
    entries = [{"root": root, "commit": "a" * 40, "untracked": []} for root in (outer, inner)]
    packages = {"one": f"{outer}/one", "two": f"{inner}/src/two", "far": "/usr/lib/far"}
    code = recorded_code({"code": {"digest": "d", "packages": packages, "repositories": entries}})
    assert [dict(r.packages) for r in code.repositories] == [
        {"one": Path("one")},
        {"two": Path("src/two")},
    ]


def test_a_diff_is_taken_apart_file_by_file() -> None:
    text = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+diff --git c\n"
    binary = (
        "diff --git a/p.png b/p.png\nindex 1..2 100644\nBinary files a/p.png and b/p.png differ\n"
    )
    assert textual(text + binary) == (text, ("p.png",))
    assert textual(binary + text) == (text, ("p.png",))
    assert textual("") == ("", ())


def test_two_processes_do_not_share_a_place_and_a_dead_ones_is_taken(run: Path) -> None:
    runs, folder = run.parents[1], RunFolder(run)
    with claimed_place(runs, folder) as first:
        with pytest.raises(GimbalError, match="is being reproduced already"):
            claimed_place(runs, folder).__enter__()
        dead = this_process().model_copy(update={"began": 1.0})
        first.note_child(dead)
        record = json.loads((first.path / "reproduction.json").read_text())
        assert [worker["began"] for worker in record["workers"]][1] == 1.0
    with claimed_place(runs, folder) as second:
        assert second == Place(first.path, continued=True)
        second.end(ended=True)
    with claimed_place(runs, folder) as third:
        assert third.path.name == f"{run.name}-2"


@pytest.mark.slow
def test_a_worktree_whose_making_was_killed_is_replaced(lab: Lab, run: Path) -> None:
    """Locked and half there, as SIGKILL within `git worktree add` leaves it."""
    place = lab.runs / ".reproduced" / f"{run.name}-1"
    git(lab.repository, "worktree", "add", "-q", "--detach", "--lock", str(place / "code"))
    shutil.rmtree(place / "code" / "workloads")
    dead = this_process().model_copy(update={"began": 1.0}).model_dump()
    record = {"run": str(run), "workers": [dead], "ended": False}
    (place / "reproduction.json").write_text(json.dumps(record))
    code, report, err = reproduced(lab, run, "--check")
    assert code == 0, err
    assert report["matches"] is True
    assert worktrees(lab) == 1


def test_git_is_not_led_astray_by_its_own_variables(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    top = run_git(lab.repository, "rev-parse", "--show-toplevel").strip()
    assert os.path.realpath(top) == os.path.realpath(lab.repository)
    with pytest.raises(GitFailed, match="not a git repository"):
        run_git(tmp_path, "status")
