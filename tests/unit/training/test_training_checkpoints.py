"""Checkpoints are whole or not there, and a damaged one costs only itself."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from gimbal.errors import StorageError
from gimbal.training import checkpoints


def put(out_dir: Path, step: int, **metrics: float) -> checkpoints.Checkpoint:
    state = {"step": step, "model": {"w": torch.full((100,), float(step))}}
    return checkpoints.save(out_dir, state, card={"seed": 1}, metrics=metrics)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = put(tmp_path, 7, loss=0.5)
    assert saved.path.name == "step-00000007"
    assert sorted(path.name for path in saved.path.iterdir()) == ["checkpoint.json", "state.pt"]
    state = checkpoints.load(saved.path)
    assert state["step"] == 7 and torch.equal(state["model"]["w"], torch.full((100,), 7.0))
    (found,) = checkpoints.listed(tmp_path)
    assert (found.step, found.sha256, found.metrics) == (7, saved.sha256, {"loss": 0.5})


@pytest.mark.parametrize("harm", ["truncate", "flip", "no card", "empty card", "no state"])
def test_a_damaged_one_is_named_set_aside_and_the_one_before_is_used(
    tmp_path: Path, harm: str
) -> None:
    put(tmp_path, 1)
    bad = put(tmp_path, 2).path
    state, card = bad / "state.pt", bad / "checkpoint.json"
    if harm == "truncate":
        state.write_bytes(state.read_bytes()[:-50])
    elif harm == "flip":
        data = bytearray(state.read_bytes())
        data[len(data) // 2] ^= 1
        state.write_bytes(data)
    elif harm == "no card":
        card.unlink()
    elif harm == "empty card":
        card.write_text("")
    else:
        state.unlink()
    newest, complaints = checkpoints.newest_whole(tmp_path)
    assert newest is not None and newest.step == 1
    assert len(complaints) == 1 and "step-00000002" in complaints[0]
    assert [path.name[:21] for path in checkpoints.folder_of(tmp_path).glob("damaged-*")] == [
        "damaged-step-00000002"
    ]
    assert checkpoints.newest_whole(tmp_path) == (newest, [])


def test_loading_a_damaged_one_names_the_file(tmp_path: Path) -> None:
    path = put(tmp_path, 1).path
    (path / "state.pt").write_bytes(b"half")
    with pytest.raises(StorageError, match=r"state\.pt is damaged") as caught:
        checkpoints.load(path)
    assert caught.value.remedy


@pytest.mark.parametrize("fails", ["state.pt", "checkpoint.json"])
def test_a_full_disk_is_said_clearly_and_costs_no_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    put(tmp_path, 1)
    real = os.fsync

    def full(handle: int) -> None:
        if fails in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        put(tmp_path, 2)
    assert "free some space" in caught.value.remedy
    monkeypatch.undo()
    newest, complaints = checkpoints.newest_whole(tmp_path)
    assert newest is not None and newest.step == 1 and not complaints
    assert [path.name for path in checkpoints.folder_of(tmp_path).iterdir()] == ["step-00000001"]


def test_a_disk_that_fills_up_within_the_archive_is_said_clearly(tmp_path: Path) -> None:
    """The error comes out of torch's own writer: only the device's words may reach the user."""

    class Full:
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    class FullPath:
        def open(self, mode: str) -> Full:
            return Full()

    with pytest.raises(OSError, match="No space left"):
        checkpoints._write_state(FullPath(), {"w": torch.zeros(10)})  # type: ignore[arg-type]


def test_old_ones_go_only_beyond_the_newest_and_the_best(tmp_path: Path) -> None:
    for step in range(1, 6):
        put(tmp_path, step)
        checkpoints.retire(tmp_path, keep=2, spare=[2])
    assert [found.step for found in checkpoints.listed(tmp_path)] == [2, 4, 5]


def test_the_index_lists_what_is_kept_and_names_the_best(tmp_path: Path) -> None:
    put(tmp_path, 1, loss=0.1)
    put(tmp_path, 2, loss=0.2)
    checkpoints.write_index(tmp_path, 1)
    assert checkpoints.best(tmp_path) == checkpoints.folder_of(tmp_path) / "step-00000001"


def test_no_best_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        checkpoints.best(tmp_path)
    put(tmp_path, 1)
    checkpoints.write_index(tmp_path, None)
    with pytest.raises(StorageError, match="no best checkpoint"):
        checkpoints.best(tmp_path)


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    put(tmp_path, 3, loss=1.0)
    put(tmp_path, 3, loss=2.0)
    (found,) = checkpoints.listed(tmp_path)
    assert found.metrics == {"loss": 2.0} and checkpoints.damage(found) is None


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    put(tmp_path, 1)
    left = checkpoints.folder_of(tmp_path) / ".step-00000002.writing-abcd"
    left.mkdir()
    (left / "state.pt").write_bytes(b"half")
    assert [found.step for found in checkpoints.listed(tmp_path)] == [1]
    checkpoints.clean(tmp_path)
    assert not left.exists()
