"""The outbox is the only memory of an outage: no crash may make it unreadable."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from gimbal.tracking import outbox
from gimbal.tracking.outbox import Outbox, read_entries
from gimbal.tracking.records import Finish, LogMetrics, from_line, to_line


def metrics(step: int) -> LogMetrics:
    return LogMetrics(at_ms=step, run="train", values={"loss": step / 2}, step=step)


def test_what_is_appended_is_read_back_from_any_offset(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    for step in range(3):
        box.append(metrics(step))
    entries = list(read_entries(box.path, 0))
    assert [entry.record for entry in entries] == [metrics(0), metrics(1), metrics(2)]
    assert [e.record for e in read_entries(box.path, entries[0].end)] == [metrics(1), metrics(2)]


def test_nan_survives_the_file() -> None:
    record = from_line(to_line(LogMetrics(at_ms=1, values={"loss": math.nan})))
    assert isinstance(record, LogMetrics)
    assert math.isnan(record.values["loss"])


def test_a_line_torn_by_a_crash_spoils_only_itself(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    box.append(metrics(0))
    box.close()
    with box.path.open("ab") as file:
        file.write(b'{"at_ms": 1, "op": "met')
    assert len(list(read_entries(box.path, 0))) == 1, "an unfinished line waits"
    Outbox(tmp_path).append(metrics(2))
    records = [entry.record for entry in read_entries(box.path, 0)]
    assert records == [metrics(0), None, metrics(2)]


def test_a_full_disk_tears_one_record_and_the_next_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Outbox(tmp_path)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
        with pytest.raises(OSError, match="part of a record"):
            box.append(metrics(0))
    box.append(metrics(1))
    assert [entry.record for entry in read_entries(box.path, 0)] == [None, metrics(1)]


def test_a_record_of_a_newer_version_is_stepped_over(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    with box.path.open("ab") as file:
        file.write(b'{"at_ms": 1, "op": "teleport"}\n{"at_ms": 2, "op": "finish", "status": ')
        file.write(b'"finished", "colour": "red"}\n')
    records = [entry.record for entry in read_entries(box.path, 0)]
    assert records == [None, Finish(at_ms=2, status="finished")]


def test_counting_what_waits(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    box.append(metrics(0))
    box.append(metrics(1))
    first = next(read_entries(box.path, 0))
    assert outbox.count_lines(box.path, first.end) == 1
    assert outbox.count_lines(tmp_path / "none", 0) == 0
