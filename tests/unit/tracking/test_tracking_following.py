"""A training file is sent once, whatever a resumed training run does to it."""

from __future__ import annotations

import json
from pathlib import Path

from gimbal.tracking.following import FollowState, Point, read_new


def line(step: int, value: float = 0.0, time_s: float = 0.0, name: str = "loss") -> str:
    return json.dumps({"step": step, "time_s": time_s, "values": {name: value}}) + "\n"


def steps(points: tuple[Point, ...]) -> list[int]:
    return [point.step for point in points]


START = FollowState(base_ms=1000)


def test_only_new_complete_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(0) + line(1) + line(2)[:10])
    first = read_new(path, START, 100)
    assert steps(first.points) == [0, 1]
    path.write_text(line(0) + line(1) + line(2))
    second = read_new(path, first.state, 100)
    assert steps(second.points) == [2]
    assert read_new(path, second.state, 100).points == ()


def test_reading_stops_at_the_limit_and_goes_on_from_there(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(line(step) for step in range(10)))
    first = read_new(path, START, 4)
    assert steps(first.points) == [0, 1, 2, 3]
    assert steps(read_new(path, first.state, 100).points) == [4, 5, 6, 7, 8, 9]


def test_a_file_cut_back_by_a_resume_sends_no_step_twice(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(line(step) for step in range(10)))
    state = read_new(path, START, 100).state
    path.write_text("".join(line(step) for step in range(5)))
    cut = read_new(path, state, 100)
    assert cut.points == ()
    with path.open("a") as file:
        file.writelines(line(step, time_s=99.0) for step in range(5, 13))
    assert steps(read_new(path, cut.state, 100).points) == [10, 11, 12]


def test_a_file_rewritten_beyond_the_old_offset_between_two_looks(tmp_path: Path) -> None:
    """Its size alone would not show that it was cut back."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(line(step) for step in range(10)))
    state = read_new(path, START, 100).state
    path.write_text("".join(line(step, time_s=7.125) for step in range(30)))
    assert steps(read_new(path, state, 100).points) == list(range(10, 30))


def test_metrics_of_one_step_may_come_in_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(5) + line(5, name="val/auc"))
    assert [p.name for p in read_new(path, START, 100).points] == ["loss", "val/auc"]


def test_times_may_be_dates_or_seconds_since_the_start(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(0, time_s=2.5) + line(1, time_s=1.8e9))
    assert [p.at_ms for p in read_new(path, START, 100).points] == [3500, 1_800_000_000_000]


def test_lines_that_are_no_metrics_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("nonsense\n[]\n" + '{"step": 1}\n' + line(2))
    assert steps(read_new(path, START, 100).points) == [2]


def test_a_missing_file_has_nothing_new(tmp_path: Path) -> None:
    reading = read_new(tmp_path / "none", START, 100)
    assert (reading.points, reading.state) == ((), START)
