"""`gimbal compare`: its table, its JSON, its refusals."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gimbal.cli.compare_command import compare
from gimbal.errors import ConfigError
from gimbal.experiment.run_state import RunStatus
from gimbal.testing.stored_runs import PROTOCOL, MadeRun, make_run, make_sweep

RUNS = [
    MadeRun(number=2 * i + seed, seed=seed, config={"lr": lr}, mean=0.5 + 0.1 * i)
    for i, lr in enumerate((0.001, 0.01))
    for seed in range(2)
]


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    make_sweep(tmp_path, RUNS, ["lr"])
    return tmp_path


def gimbal_compare(runs_dir: Path, *runs: str, **options: object) -> None:
    plain: dict[str, object] = {
        "sweep": None, "metric": None, "mode": None, "baseline": None,
        "across_protocols": False, "html": None, "as_json": False,
    }  # fmt: skip
    compare(list(runs), runs_dir=runs_dir, **(plain | options))  # type: ignore[arg-type]


def test_a_sweep_is_compared_and_its_page_stands_in_its_folder(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gimbal_compare(runs_dir, sweep="made")
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0].startswith("lr=0.01 has the highest evaluate.score")
    page = next(runs_dir.glob("made/sweep-*/comparison.html"))
    assert lines[-1] == f"page    {page}"
    assert any(line.startswith("lr=0.001 ") and "0.0" in line for line in lines)


def test_json_is_one_object_and_words_go_to_stderr(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = runs_dir / "mine.html"
    gimbal_compare(runs_dir, sweep="made", as_json=True, html=page)
    said = capsys.readouterr()
    read = json.loads(said.out)
    assert read["groups"][0]["label"] == "lr=0.01"
    assert read["html"] == str(page)
    assert page.is_file()
    assert not list(runs_dir.glob("made/sweep-*/comparison.html"))
    assert "lr=0.01 has the highest" in said.err


def test_runs_are_found_by_id_prefix_path_and_experiment(runs_dir: Path) -> None:
    first, second = RUNS[0].run_id, RUNS[2].run_id
    for names in (
        (first, second),
        (first[:15], second[:15]),
        (str(runs_dir / "made" / first), f"made/{second}"),
        (first, "made"),
        (first, "latest"),
    ):
        gimbal_compare(runs_dir, *names)
        page = runs_dir / "comparison.html"
        assert "1 run in" not in page.read_text()
        assert "2 runs in 2 groups" in page.read_text()


def test_an_unusual_question_leaves_the_sweeps_own_page_alone(runs_dir: Path) -> None:
    gimbal_compare(runs_dir, sweep="made", metric="evaluate.error")
    assert (runs_dir / "comparison.html").is_file()
    assert not list(runs_dir.glob("made/sweep-*/comparison.html"))


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        ((), {}, "nothing says what to compare"),
        (("made",), {"sweep": "made"}, "both given"),
        ((), {"sweep": "mad"}, "there is no sweep"),
        (("nowhere",), {}, "there is no run"),
        ((), {"sweep": "made", "mode": "best"}, "--mode best"),
        ((), {"sweep": "made", "metric": "evaluate.scor"}, "no run has the metric"),
        ((), {"sweep": "made", "baseline": "nowhere"}, "there is no run"),
    ],
)
def test_a_wrong_word_is_an_error_with_status_two(
    runs: tuple[str, ...], options: dict[str, object], message: str, runs_dir: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        gimbal_compare(runs_dir, *runs, **options)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    assert not (runs_dir / "comparison.html").exists()


def test_the_page_replaces_nothing_but_a_file(runs_dir: Path) -> None:
    """As root a device would be replaced by the page, and every program on the machine breaks."""
    pipe = runs_dir / "pipe"
    os.mkfifo(pipe)
    (runs_dir / "link").symlink_to(pipe)
    (runs_dir / "file").write_text("old")
    kind = "a device, a pipe or a socket"
    for html, message in (
        (pipe, kind),
        (runs_dir / "link", kind),
        (runs_dir / "made", "is a folder"),
        (Path(), "is a folder"),
        (runs_dir / "none" / "page.html", "there is no folder"),
        (runs_dir / "file" / "page.html", "there is no folder"),
        (runs_dir / ("x" * 300), "name too long"),
    ):
        with pytest.raises(ConfigError, match=f"(?i){message}") as caught:
            gimbal_compare(runs_dir, sweep="made", html=html)
        assert caught.value.exit_code == 2
    assert pipe.is_fifo()
    assert not (runs_dir / "none").exists()
    gimbal_compare(runs_dir, sweep="made", html=runs_dir / "file")
    assert "lr=0.01" in (runs_dir / "file").read_text()


def test_other_protocols_are_refused_with_status_two(runs_dir: Path) -> None:
    other = MadeRun(number=9, config={"lr": 1.0}, protocol={**PROTOCOL, "candidates": 128})
    make_run(runs_dir, other)
    with pytest.raises(ConfigError, match="candidates: 64 / 128") as caught:
        gimbal_compare(runs_dir, RUNS[0].run_id, other.run_id)
    assert caught.value.exit_code == 2
    gimbal_compare(runs_dir, RUNS[0].run_id, other.run_id, across_protocols=True)
    assert "Different evaluation protocols" in (runs_dir / "comparison.html").read_text()


def test_a_broken_run_is_named_with_its_reason_and_no_markup_is_read(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = replace(RUNS[0], number=8, status=RunStatus.FAILED, message="[red]lost[/] a worker")
    make_run(runs_dir, failed)
    (runs_dir / "made" / RUNS[1].run_id / "run.json").write_text("{")
    gimbal_compare(runs_dir, RUNS[0].run_id, RUNS[1].run_id, failed.run_id)
    said = capsys.readouterr().out
    assert f"failed: made/{failed.run_id}: [red]lost[/] a worker" in said
    assert f"damaged: made/{RUNS[1].run_id}" in said


def test_a_damaged_trial_is_named_everywhere(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = next(runs_dir.glob("made/sweep-*/sweep.json")).with_name("comparison.html")
    (page.parent / "trials" / "00003.json").write_text("[]")
    gimbal_compare(runs_dir, sweep="made", as_json=True)
    said = capsys.readouterr()
    note = "trials/00003.json is damaged: that trial is left out."
    assert json.loads(said.out)["notes"] == [note]
    assert len(json.loads(said.out)["runs"]) == 3
    assert note in said.err
    assert note in page.read_text()
