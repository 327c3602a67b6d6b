"""The hashes of a stage's files: results are in, what is written later or is large is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.experiment import stage_files
from gimbal.experiment.fingerprint import Fingerprint
from gimbal.experiment.stage_files import altered_files, file_hashes
from gimbal.experiment.stage_store import StageKey, StageStore


def test_only_small_files_that_stay_as_they_are_get_a_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_files, "MAX_BYTES", 3)
    for name in ("samples.json", "metrics.jsonl", "stage.json", "packages.json", "manifest.json"):
        (tmp_path / name).write_text("{}")
    for name in (".progress.json", "a.lock", ".x.writing-12"):
        (tmp_path / name).write_text("x")
    (tmp_path / "large.bin").write_bytes(b"1234")
    (tmp_path / "blocks").mkdir()
    (tmp_path / "link.json").symlink_to("samples.json")
    assert list(file_hashes(tmp_path)) == ["metrics.jsonl", "samples.json"]


def test_a_committed_stage_names_every_file_that_changed(tmp_path: Path) -> None:
    store, key = StageStore(tmp_path), StageKey("toy", "judge", Fingerprint.of({"a": 1}))
    folder = store.begin(key)
    for name in ("a.json", "b.json", "c.json"):
        (folder / name).write_text("1")
    store.commit(key, folder, metrics={}, seconds=1.0)
    stored = store.finished(key)
    assert stored is not None
    files = stored.record.files
    assert list(altered_files(folder, files)) == []
    (folder / "a.json").write_text("2")
    (folder / "b.json").unlink()
    altered, gone = altered_files(folder, files)
    assert f"{folder / 'a.json'} was altered" in altered
    assert gone == f"{folder / 'b.json'} is gone"
    (strange,) = altered_files(folder, {"a\0b": "0"})
    assert "is gone" in strange
