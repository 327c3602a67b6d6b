"""Remap tables on disk: found again, never stale, never half read."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from panorama_support import nominal_rig, panorama, pinhole

from gimbal_vision.cameras import Cylindrical, Equirectangular
from gimbal_vision.panoramas import table_cache
from gimbal_vision.panoramas.model import BuildOptions
from gimbal_vision.panoramas.rig import Rig, RigCamera
from gimbal_vision.panoramas.table import RemapTable, make_table, table_key
from gimbal_vision.panoramas.table_cache import cached_table, table_path

RIG, CAMERA, OPTIONS = nominal_rig(), panorama(), BuildOptions()


def same(a: RemapTable, b: RemapTable) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(RemapTable))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    cached_table(RIG, CAMERA, OPTIONS, tmp_path)
    return table_path(tmp_path, table_key(RIG, CAMERA, OPTIONS))


def test_a_stored_table_is_read_and_not_made(tmp_path, stored, monkeypatch, caplog):
    expected = make_table(RIG, CAMERA, OPTIONS)
    monkeypatch.setattr(table_cache, "make_table", None)
    with caplog.at_level(logging.INFO):
        found = cached_table(RIG, CAMERA, OPTIONS, tmp_path)
    assert same(found, expected)
    assert table_key(RIG, CAMERA, OPTIONS) in caplog.text and "read from" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == [stored.name]


def test_whatever_a_table_depends_on_changes_its_key():
    moved = RIG.cameras[0].car_from_camera.copy()
    moved[0, 3] += 1e-3
    first = RIG.cameras[0]
    rigs = [
        Rig((RigCamera(first.name, first.camera, moved), *RIG.cameras[1:])),
        Rig((replace(first, camera=pinhole(160, 120, 101.0)), *RIG.cameras[1:])),
        RIG.only(RIG.names[:3]),
    ]
    cameras = [panorama(44), panorama(42, 254), panorama(42, 252, 61.0)]
    cameras.append(replace(CAMERA, cy=20.0))
    cameras.append(Cylindrical(height=42, width=252, fy=CAMERA.fy, cy=CAMERA.cy))
    options = [
        BuildOptions(blend="nearest"),
        BuildOptions(feather_px=23.0),
        BuildOptions(min_cos_view_angle=0.06),
    ]
    keys = [table_key(rig, CAMERA, OPTIONS) for rig in rigs]
    keys += [table_key(RIG, camera, OPTIONS) for camera in cameras]
    keys += [table_key(RIG, CAMERA, option) for option in options]
    assert len({table_key(RIG, CAMERA, OPTIONS), *keys}) == 1 + len(keys)


def test_what_a_table_does_not_depend_on_shares_it():
    for option in (BuildOptions(warp="splat"), BuildOptions(max_range_m=100.0)):
        assert table_key(RIG, CAMERA, option) == table_key(RIG, CAMERA, OPTIONS)
    near, far = (BuildOptions(blend="nearest", feather_px=f) for f in (1.0, 50.0))
    assert table_key(RIG, CAMERA, near) == table_key(RIG, CAMERA, far)
    wobbled = RIG.cameras[0].car_from_camera + np.eye(4, k=3) * 1e-9
    rig = Rig((RigCamera("camera0", RIG.cameras[0].camera, wobbled), *RIG.cameras[1:]))
    assert table_key(rig, CAMERA, OPTIONS) == table_key(RIG, CAMERA, OPTIONS)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def other_size(path: Path) -> None:
    table = make_table(RIG, panorama(20, 100), OPTIONS)
    np.savez(path, **{f.name: getattr(table, f.name) for f in fields(RemapTable)})


def unknown_camera(path: Path) -> None:
    table = make_table(RIG, CAMERA, OPTIONS)
    arrays = {f.name: getattr(table, f.name) for f in fields(RemapTable)}
    np.savez(path, **{**arrays, "extra_camera": np.full_like(table.extra_camera, 9)})


def far_pixel(path: Path) -> None:
    table = make_table(RIG, CAMERA, OPTIONS)
    arrays = {f.name: getattr(table, f.name) for f in fields(RemapTable)}
    np.savez(path, **{**arrays, "extra_pixel": table.extra_pixel + 10**6})


def far_coordinate(path: Path) -> None:
    table = make_table(RIG, CAMERA, OPTIONS)
    arrays = {f.name: getattr(table, f.name) for f in fields(RemapTable)}
    np.savez(path, **{**arrays, "x": table.x + 500})


def missing_array(path: Path) -> None:
    np.savez(path, x=np.zeros(3))


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        empty,
        flipped,
        other_size,
        unknown_camera,
        far_pixel,
        far_coordinate,
        missing_array,
    ],
)
def test_a_damaged_file_is_said_and_made_again(damage, tmp_path, stored, caplog):
    damage(stored)
    again = cached_table(RIG, CAMERA, OPTIONS, tmp_path)
    assert same(again, make_table(RIG, CAMERA, OPTIONS))
    assert "is damaged and made again" in caplog.text and stored.name in caplog.text
    caplog.clear()
    assert same(cached_table(RIG, CAMERA, OPTIONS, tmp_path), again) and not caplog.text


def test_many_writers_at_once_leave_one_whole_file(tmp_path):
    camera = Equirectangular.from_vfov(12, 72, 60.0)
    expected = make_table(RIG, camera, OPTIONS)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(cached_table, RIG, camera, OPTIONS, tmp_path) for _ in range(32)]
        assert all(same(job.result(), expected) for job in jobs)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_to_costs_only_time(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    table = cached_table(RIG, CAMERA, OPTIONS, blocked / "tables")
    assert same(table, make_table(RIG, CAMERA, OPTIONS))
    assert "cannot be written" in caplog.text
    assert blocked.read_text() == "not a folder"
