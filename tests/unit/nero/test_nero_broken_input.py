"""What a breaker found: one bad view among good ones, and files that only look finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from capture_folders import ring_of_cameras, write_colmap
from nero_ball import ball_capture
from PIL import Image

from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.checks import exposure_numbers, sphere_numbers
from gimbal_nero.preparing.developing import require_fit
from gimbal_nero.readers.colmap import read_colmap
from gimbal_nero.readers.source import Lens, Photo
from gimbal_nero.stages.preparing import GATES
from gimbal_nero.synthesis.writing import is_finished


def views(count=4):
    return list(ball_capture().views[:count])


def failed(numbers):
    return {gate.name for gate in GATES if gate.name.endswith("sphere")} & {
        gate.name for gate in GATES if not gate.check({"sphere": numbers}).passed
    }


def test_one_view_that_looks_away_is_named_and_not_hidden_by_many_others():
    many = [replace(view, name=f"{view.name}-{k}") for k in range(10) for view in views()]
    assert "every_view_sees_sphere" not in failed(sphere_numbers(many))
    lens = replace(many[7].camera, cx=1e4)
    numbers = sphere_numbers([*many[:7], replace(many[7], camera=lens), *many[8:]])
    assert numbers["object_inside"] > 0.95, "the mean hides it"
    assert numbers["worst_view"] == many[7].name
    assert "every_view_sees_sphere" in failed(numbers)


def test_a_mask_that_shows_nothing_says_nothing_for_the_object():
    good = views()
    empty = [replace(view, mask=np.zeros_like(view.mask)) for view in good]
    assert sphere_numbers(empty)["object_inside"] == 0.0
    assert "every_view_sees_sphere" in failed(sphere_numbers([*good[1:], empty[0]]))


def test_brightness_of_masked_and_whole_pictures_is_not_mixed():
    good = views()
    mixed = [replace(good[0], mask=None), *good[1:]]
    bare = [replace(view, mask=None) for view in good]
    assert exposure_numbers(mixed) == exposure_numbers(bare)


@pytest.mark.parametrize(("start", "broken"), [(-60, [0.0] * 4), (-28, [np.nan])])
def test_a_pose_of_a_colmap_model_that_is_none_leaves_its_view_out(tmp_path, start, broken):
    """A rotation of length 0, or a place that is not a number; model files of the older layout."""
    folder = write_colmap(tmp_path / "in", ring_of_cameras(8))
    model = folder / "sparse" / "0"
    for newer in ("frames.bin", "rigs.bin"):
        (model / newer).unlink(missing_ok=True)
    content = bytearray((model / "images.bin").read_bytes())
    place = content.index(b"3.png") + start
    content[place : place + 8 * len(broken)] = np.array(broken).tobytes()
    (model / "images.bin").write_bytes(content)
    source = read_colmap(folder, model, folder / "images")
    assert "3.png" not in {photo.name for photo in source.photos}
    assert any(view.name == "3.png" and "pose" in view.reason for view in source.dropped)


def test_a_view_is_finished_only_when_its_pictures_are_whole(tmp_path):
    for name in ("0.png", "0-depth.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name)
    assert not is_finished(tmp_path, 0)
    (tmp_path / "0-camera.pkl").write_bytes(b"there")
    assert is_finished(tmp_path, 0)
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(whole[:30])
    assert not is_finished(tmp_path, 0)
    (tmp_path / "0.png").write_bytes(whole)
    (tmp_path / "0-depth.png").unlink()
    assert not is_finished(tmp_path, 0)


@pytest.mark.parametrize(
    ("size", "words"),
    [((24, 20), None), ((20, 24), "a quarter"), ((24, 24), "but its camera is for 20x24")],
)
def test_photographs_that_do_not_fit_their_camera_are_told_how(size, words):
    lens = Lens(model="PINHOLE", params=(1.0, 1.0, 1.0, 1.0), height=24, width=20)
    photo = Photo(name="p", path=Path("p.png"), lens=lens, cam2source=np.eye(4))
    if words is None:
        require_fit(photo, size)
    else:
        with pytest.raises(CaptureError, match=words):
            require_fit(photo, size)


def test_square_photographs_are_not_taken_for_turned_ones():
    lens = Lens(model="PINHOLE", params=(1.0, 1.0, 1.0, 1.0), height=96, width=96)
    require_fit(Photo(name="p", path=Path("p.png"), lens=lens, cam2source=np.eye(4)), (96, 96))
