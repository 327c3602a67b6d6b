"""Content fingerprints: what files hold, whatever their place; fast the second time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.content import ContentHashes, content_fingerprint


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    folder = tmp_path / "meshes"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.obj").write_text("v 0 0 0\n")
    (folder / "sub" / "b.obj").write_text("v 1 1 1\n")
    old = time.time() - 100
    for file in folder.rglob("*.obj"):
        os.utime(file, (old, old))
    return folder


def test_moving_or_touching_changes_nothing(meshes: Path) -> None:
    before = content_fingerprint(meshes)
    os.utime(meshes / "a.obj")
    moved = meshes.rename(meshes.with_name("elsewhere"))
    (moved / ".hidden").write_text("x")
    assert content_fingerprint(moved) == before


def test_every_change_of_content_or_name_changes_it(meshes: Path) -> None:
    seen = {content_fingerprint(meshes)}
    (meshes / "a.obj").write_text("v 0 0 1\n")
    seen.add(content_fingerprint(meshes))
    (meshes / "a.obj").rename(meshes / "c.obj")
    seen.add(content_fingerprint(meshes))
    (meshes / "sub" / "d.obj").write_text("")
    seen.add(content_fingerprint(meshes))
    assert len(seen) == 4


def test_a_change_within_the_clocks_grain_is_seen(meshes: Path) -> None:
    """Same size, same time: a fresh file is never trusted to its time."""
    hashes = ContentHashes()
    file = meshes / "a.obj"
    file.write_text("one")
    now = time.time()
    os.utime(file, (now, now))
    before = content_fingerprint(file, hashes)
    file.write_text("two")
    os.utime(file, (now, now))
    assert content_fingerprint(file, hashes) != before


def test_hashes_are_kept_between_processes(meshes: Path, tmp_path: Path) -> None:
    store = tmp_path / "hashes.json"
    first = ContentHashes(store)
    expected = content_fingerprint(meshes, first)
    first.save()
    file = meshes / "a.obj"
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_text("V 0 0 0\n")
    os.utime(file, ns=times)
    assert content_fingerprint(meshes, ContentHashes(store)) == expected, "the store was not used"
    store.write_text("[]")
    assert content_fingerprint(meshes, ContentHashes(store)) != expected


def test_a_missing_folder_suggests_near_names(meshes: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        content_fingerprint(meshes.with_name("mehses"))
    assert "mehses" in caught.value.message
    assert "did you mean meshes?" in caught.value.remedy


def test_folders_that_link_to_themselves_end(meshes: Path) -> None:
    before = content_fingerprint(meshes)
    (meshes / "sub" / "again").symlink_to(meshes)
    assert content_fingerprint(meshes) == before
