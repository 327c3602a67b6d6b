"""Atomic writes: a full disk, a missing right or a crash never leaves half a file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from gimbal.errors import StorageError
from gimbal.experiment.files import (
    atomic_symlink,
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    atomic_writer,
    ensure_folder,
    read_json,
)

_SMALL_DISK = 256 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system with 256 KiB of space."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", str(place)]
    if os.geteuid() != 0 or mount is None or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_keeps_the_old_file_and_leaves_no_rubbish(small_disk: Path) -> None:
    file = small_disk / "kept.bin"
    atomic_write_bytes(file, b"old" * 1000)
    with pytest.raises(StorageError) as caught:
        atomic_write_bytes(file, b"x" * (2 * _SMALL_DISK))
    assert str(file) in caught.value.message
    assert "No space left" in caught.value.message
    assert "free some space" in caught.value.remedy
    assert file.read_bytes() == b"old" * 1000
    assert [item.name for item in small_disk.iterdir()] == ["kept.bin"]
    atomic_write_bytes(file, b"new")
    assert file.read_bytes() == b"new"


def test_a_limit_on_file_size_is_told_and_cleaned_up(tmp_path: Path) -> None:
    """The same without root: the process may only write small files."""
    script = textwrap.dedent("""
        import resource, signal, sys
        from gimbal.errors import StorageError
        from gimbal.experiment.files import atomic_write_bytes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            atomic_write_bytes(sys.argv[1], b"x" * 100_000)
        except StorageError as error:
            print(error)
    """)
    file = tmp_path / "big.bin"
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True
    )
    assert f"cannot write {file}: File too large" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_the_old_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    atomic_write_json(file, {"step": 1})
    script = textwrap.dedent("""
        import os, signal, sys
        from gimbal.experiment.files import atomic_writer
        with atomic_writer(sys.argv[1]) as out:
            out.write(b"half of it")
            out.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_json(file) == {"step": 1}


def test_the_callers_own_error_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    atomic_write_text(file, "old")
    with pytest.raises(ZeroDivisionError), atomic_writer(file) as out:
        out.write(b"new")
        raise ZeroDivisionError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for attempt in (
        lambda: ensure_folder(tmp_path / "file"),
        lambda: ensure_folder(tmp_path / "file" / "below"),
        lambda: atomic_write_text(tmp_path / "file" / "a.txt", ""),
    ):
        with pytest.raises(StorageError) as caught:
            attempt()
        assert str(tmp_path / "file") in caught.value.message
        assert "choose another folder" in caught.value.remedy


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    """As an ordinary user, since root may write anywhere."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.seteuid(65534)
            atomic_write_text(locked / "a.txt", "x")
        except StorageError as error:
            code = 0 if "permissions" in error.remedy and str(locked) in error.message else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_json_is_written_whole_and_damaged_json_is_named(tmp_path: Path) -> None:
    file = atomic_write_json(tmp_path / "a.json", {"name": "ö", "x": [1.5, None]})
    assert json.loads(file.read_text("utf-8")) == {"name": "ö", "x": [1.5, None]}
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(StorageError, match="is damaged"):
        read_json(file)
    with pytest.raises(StorageError, match="cannot read"):
        read_json(tmp_path / "none.json")
    with pytest.raises(TypeError):
        atomic_write_json(file, {"x": object()})


def test_links_are_relative_and_replaced_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "store" / name).mkdir(parents=True)
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / "stage"
    atomic_symlink(link, tmp_path / "store" / "one")
    atomic_symlink(link, tmp_path / "store" / "two")
    assert link.readlink() == Path("../store/two")
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert (moved / "run" / "stage").resolve() == (moved / "store" / "two").resolve()
