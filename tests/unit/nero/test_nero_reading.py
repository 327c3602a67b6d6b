"""Readers of photographs: what a layout says arrives, and what is damaged is named."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
from capture_folders import (
    CAMERA,
    ring_of_cameras,
    write_colmap,
    write_glossy,
    write_transforms,
)

from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.opening import open_source
from gimbal_nero.preparing.settings import PrepareSettings
from gimbal_nero.readers.colmap import colmap_model, holds_model, read_colmap
from gimbal_nero.readers.glossy_synthetic import read_glossy_synthetic
from gimbal_nero.readers.images import read_image
from gimbal_nero.readers.masks import Masks
from gimbal_nero.readers.pickles import load_arrays
from gimbal_nero.readers.transforms import read_transforms

POINTS = np.random.default_rng(3).normal(size=(30, 3)) * 0.3


def test_glossy_poses_and_names(tmp_path):
    """World-to-camera in the pickle becomes camera-to-world; 2 comes before 10."""
    poses = ring_of_cameras(12)
    source = read_glossy_synthetic(write_glossy(tmp_path, poses))
    assert [photo.name for photo in source.photos] == [str(k) for k in range(12)]
    for photo, pose in zip(source.photos, poses, strict=True):
        np.testing.assert_allclose(photo.cam2source, pose, atol=1e-12)
    assert source.photos[0].lens.params == (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickles_of_arrays_are_read_in_every_protocol(tmp_path, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps((np.eye(3), np.arange(6.0).reshape(2, 3)), protocol=protocol))
    first, second = load_arrays(path)
    np.testing.assert_array_equal(first, np.eye(3))
    np.testing.assert_array_equal(second, np.arange(6.0).reshape(2, 3))


class _Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_calls_functions_is_refused_and_calls_none(tmp_path):
    target = tmp_path / "made"
    path = tmp_path / "0-camera.pkl"
    path.write_bytes(pickle.dumps(_Attack(str(target))))
    with pytest.raises(CaptureError, match="mkdir"):
        load_arrays(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [(np.eye(3), np.eye(3)), (2 * np.eye(4)[:3], CAMERA.K), (np.eye(4)[:3], np.ones((3, 3))), 7],
)
def test_a_pickle_that_is_no_camera_is_named(tmp_path, content):
    write_glossy(tmp_path, ring_of_cameras(4))
    (tmp_path / "2-camera.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(CaptureError, match=r"2-camera\.pkl holds no camera"):
        read_glossy_synthetic(tmp_path)


def test_glossy_reports_images_without_cameras_and_cameras_without_images(tmp_path):
    write_glossy(tmp_path, ring_of_cameras(5))
    (tmp_path / "1.png").unlink()
    (tmp_path / "3-camera.pkl").unlink()
    source = read_glossy_synthetic(tmp_path)
    assert [photo.name for photo in source.photos] == ["0", "2", "4"]
    assert {view.name for view in source.dropped} == {"1", "3"}


def test_transforms_poses_and_missing_images(tmp_path):
    poses = ring_of_cameras(6)
    write_transforms(tmp_path, poses)
    (tmp_path / "train" / "r_4.png").unlink()
    source = read_transforms(tmp_path)
    assert len(source.photos) == 5
    np.testing.assert_allclose(source.photos[0].cam2source, poses[0], atol=1e-12)
    assert [view.name for view in source.dropped] == ["train/r_4"]
    assert "r_4" in source.dropped[0].reason


def test_a_frame_whose_own_mask_is_missing_is_left_out(tmp_path):
    """Its alpha is not taken instead in silence; where masks are not asked for, it stays."""
    write_transforms(tmp_path, ring_of_cameras(3))
    path = tmp_path / "transforms.json"
    content = json.loads(path.read_text())
    content["frames"][0]["mask_path"] = "train/r_0.png"
    content["frames"][1]["mask_path"] = "cut/r_1.png"
    path.write_text(json.dumps(content))
    source = read_transforms(tmp_path)
    masks = {photo.name: photo.mask_path for photo in source.photos}
    assert masks == {"train/r_0": tmp_path / "train" / "r_0.png", "train/r_2": None}
    assert [view.name for view in source.dropped] == ["train/r_1"]
    assert "cut/r_1.png is not there" in source.dropped[0].reason
    assert len(read_transforms(tmp_path, own_masks=False).photos) == 3


def test_transforms_of_splits_keep_them(tmp_path):
    write_transforms(tmp_path, ring_of_cameras(4))
    whole = json.loads((tmp_path / "transforms.json").read_text())
    (tmp_path / "transforms.json").unlink()
    for name, part in (("train", slice(0, 3)), ("test", slice(3, 4))):
        content = {**whole, "frames": whole["frames"][part]}
        (tmp_path / f"transforms_{name}.json").write_text(json.dumps(content))
    splits = read_transforms(tmp_path).splits
    assert splits == {"train": ("train/r_0", "train/r_1", "train/r_2"), "test": ("train/r_3",)}


def test_transforms_angle_gives_the_focal_length(tmp_path):
    write_transforms(tmp_path, ring_of_cameras(3))
    path = tmp_path / "transforms.json"
    content = json.loads(path.read_text())
    for key in ("fl_x", "fl_y", "cx", "cy"):
        del content[key]
    angle = 2 * np.arctan(0.5 * CAMERA.width / 60.0)
    path.write_text(json.dumps({**content, "camera_angle_x": angle}))
    lens = read_transforms(tmp_path).photos[0].lens
    np.testing.assert_allclose(lens.params, (60.0, 60.0, CAMERA.width / 2, CAMERA.height / 2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fl_x": "wide"}, "fl_x = 'wide' is no number"),
        ({"frames": 3}, "no list `frames`"),
        ({"frames": [{"transform_matrix": []}]}, r"frames\[0\] has no file_path"),
    ],
)
def test_wrong_transforms_are_named(tmp_path, change, words):
    write_transforms(tmp_path, ring_of_cameras(3))
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CaptureError, match=words):
        read_transforms(tmp_path)


@pytest.mark.parametrize("text", [True, False])
def test_colmap_text_and_binary_with_any_lens(tmp_path, text):
    poses = ring_of_cameras(5)
    params = [60.0, 62.0, 24.5, 20.0, 0.05, 0.01, 0.001, -0.002]
    write_colmap(tmp_path, poses, model="OPENCV", params=params, text=text, points=POINTS)
    source = read_colmap(tmp_path, tmp_path / "sparse" / "0", tmp_path / "images")
    assert source.photos[0].lens.model == "OPENCV"
    np.testing.assert_allclose(source.photos[0].lens.params, params)
    np.testing.assert_allclose(source.photos[3].cam2source, poses[3], atol=1e-9)
    assert source.photos[0].points_seen == len(POINTS)
    assert source.photos[0].reprojection_px == pytest.approx(0.0, abs=1e-6)
    assert source.points.shape == POINTS.shape


def test_colmap_observations_that_are_off_are_measured(tmp_path):
    write_colmap(tmp_path, ring_of_cameras(4), points=POINTS, off={2: 3.0})
    source = read_colmap(tmp_path, tmp_path / "sparse" / "0", tmp_path / "images")
    errors = [photo.reprojection_px for photo in source.photos]
    np.testing.assert_allclose(errors, [0, 0, 3 * np.sqrt(2), 0], atol=1e-6)


def test_colmap_and_images_that_disagree_are_named(tmp_path):
    write_colmap(tmp_path, ring_of_cameras(3))
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    with pytest.raises(CaptureError, match="disagree"):
        read_colmap(tmp_path, tmp_path / "sparse" / "0", elsewhere)


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ("colmap", {"the COLMAP model has no pose for it"}),
        (
            "sfm",
            {
                "structure from motion did not place it",
                "structure from motion takes photographs of one folder, and it lies in another",
            },
        ),
    ],
)
def test_what_has_no_pose_is_said_and_masks_are_no_photographs(tmp_path, layout, words):
    """Photographs lie beside sparse/ and masks/ here; nobody lost a view that is a mask."""
    write_colmap(tmp_path, ring_of_cameras(3))
    for path in (tmp_path / "images").iterdir():
        path.rename(tmp_path / path.name)
    (tmp_path / "images").rmdir()
    for name in ("masks", "cut", "more"):
        (tmp_path / name).mkdir()
    for name in ("masks/0.png", "cut/1.png", "stray.png", "more/2.png"):
        (tmp_path / name).write_bytes((tmp_path / "0.png").read_bytes())
    source = read_colmap(
        tmp_path, tmp_path / "sparse" / "0", tmp_path, tmp_path / "cut", layout=layout
    )
    assert {view.name for view in source.dropped} == {"stray.png", "more/2.png"}
    assert {view.reason for view in source.dropped} == words
    assert [photo.mask_path for photo in source.photos] == [None, tmp_path / "cut" / "1.png", None]


def test_a_damaged_colmap_model_is_named(tmp_path):
    write_colmap(tmp_path, ring_of_cameras(3), text=True)
    model = tmp_path / "sparse" / "0"
    (model / "cameras.txt").write_text("1 NO_SUCH_LENS 4 4 1 2\n")
    with pytest.raises(CaptureError, match="cannot be read as a COLMAP model"):
        read_colmap(tmp_path, model, tmp_path / "images")


@pytest.mark.parametrize(
    ("text", "lost", "words"),
    [
        (False, ["points3D.bin"], r"lacks points3D\.bin"),
        (True, ["images.txt"], r"lacks images\.txt"),
        (False, ["cameras.bin", "images.bin"], r"lacks cameras\.bin and images\.bin"),
    ],
)
def test_half_a_colmap_model_is_named_and_not_taken_for_none(tmp_path, text, lost, words):
    """Poses that are there must not be found anew by structure from motion, in silence."""
    write_colmap(tmp_path / "in", ring_of_cameras(3), text=text)
    for name in lost:
        (tmp_path / "in" / "sparse" / "0" / name).unlink()
    for settings in (PrepareSettings(), PrepareSettings(colmap_dir="sparse/0")):
        with pytest.raises(CaptureError, match=words):
            open_source(tmp_path / "in", settings, tmp_path / "sfm")


def test_a_folder_without_any_file_of_a_model_has_none(tmp_path):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    assert colmap_model(tmp_path) is None
    assert not holds_model(tmp_path)


@pytest.mark.parametrize(
    ("mask", "of"),
    [
        ("cam1/0001.jpg.png", "cam1/0001.jpg"),
        ("cam2/0001.png", "cam2/0001.jpg"),
        ("0002.png", "cam2/0002.jpg"),
        ("0002.jpg.png", "cam2/0002.jpg"),
        ("0001.png", None),
        ("0001.jpg.png", None),
        ("both.png", None),
        ("both.jpg.png", "both.jpg"),
    ],
)
def test_a_mask_lies_where_its_photograph_does(tmp_path, mask, of):
    """A name without folders serves only where one photograph has it; no mask is used twice."""
    images = tmp_path / "images"
    names = ("cam1/0001.jpg", "cam2/0001.jpg", "cam2/0002.jpg", "both.jpg", "both.png")
    (tmp_path / "masks" / mask).parent.mkdir(parents=True)
    (tmp_path / "masks" / mask).touch()
    masks = Masks(
        folder=tmp_path / "masks", bases=(images,), files=tuple(images / name for name in names)
    )
    found = {name: masks.of(images / name) for name in names}
    assert found == {name: tmp_path / "masks" / mask if name == of else None for name in names}


def test_a_photograph_elsewhere_is_not_its_own_mask(tmp_path):
    """`../images/a.png` seen from the folder of masks would be the photograph itself."""
    image = tmp_path / "poses" / ".." / "images" / "a.png"
    (tmp_path / "images").mkdir()
    (tmp_path / "poses" / "masks").mkdir(parents=True)
    image.touch()
    root = tmp_path / "poses"
    assert Masks(folder=root / "masks", bases=(root,), files=(image,)).of(image) is None


def test_a_truncated_image_is_named(tmp_path):
    write_glossy(tmp_path, ring_of_cameras(1))
    path = tmp_path / "0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CaptureError, match=r"0\.png cannot be decoded"):
        read_image(path)
