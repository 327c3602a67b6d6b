"""Preparing: the unit sphere, up, splits, lenses, bad views, and captures on disk."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from capture_folders import (
    BALL,
    CAMERA,
    ball_picture,
    ring_of_cameras,
    write_colmap,
    write_glossy,
    write_transforms,
)
from PIL import Image

from gimbal_nero.capture import View
from gimbal_nero.capture_files import load_capture
from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.axes import normalisation_to, up_from_cameras
from gimbal_nero.preparing.bounding import Ball, Posed, axes_meet, ball_of_frusta, ball_of_masks
from gimbal_nero.preparing.checks import exposure_numbers, sphere_numbers
from gimbal_nero.preparing.cropping import cropped_to_sphere
from gimbal_nero.preparing.prepare import prepare
from gimbal_nero.preparing.settings import PrepareSettings, SplitSettings
from gimbal_nero.preparing.splitting import split_views
from gimbal_vision.cameras.pinhole import Pinhole

SETTINGS = PrepareSettings()
POINTS = np.random.default_rng(3).normal(size=(30, 3)) * 0.3


def _prepare(root: Path, **options):
    return prepare(root, PrepareSettings(**options), root.parent / "out", lambda *_: None)


def _views(poses, centre=(0.0, 0.0, 0.0), masks=True, gain=None):
    pictures = [ball_picture(pose, centre) for pose in poses]
    gains = np.ones(len(poses)) if gain is None else gain
    return [
        View(
            name=str(k),
            image=np.clip(picture[..., :3] * gains[k], 0, 255).astype(np.uint8),
            camera=CAMERA,
            cam2world=pose,
            mask=picture[..., 3] > 127 if masks else None,
        )
        for k, (pose, picture) in enumerate(zip(poses, pictures, strict=True))
    ]


def test_glossy_is_only_turned(tmp_path):
    """Its y becomes z, and a saved capture is read back to the bit."""
    poses = ring_of_cameras(up=(0, 1.0, 0))
    report = _prepare(write_glossy(tmp_path / "in", poses))
    place = report.capture.normalisation
    assert place.scale == 1.0
    np.testing.assert_allclose(place.points([0.0, 1.0, 0.0]), [0, 0, 1.0], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(place.rotation), 1.0)
    again = load_capture(tmp_path / "out")
    for view, kept in zip(again.views, report.capture.views, strict=True):
        np.testing.assert_array_equal(view.image, kept.image)
        np.testing.assert_array_equal(view.mask, kept.mask)
        np.testing.assert_array_equal(view.cam2world, kept.cam2world)
        assert view.camera == kept.camera
    assert again.splits == report.capture.splits


def test_masks_bring_a_shifted_ball_into_the_sphere(tmp_path):
    """The ball is held whole by the unit sphere, and fills most of it."""
    centre = np.array([2.0, -1.0, 0.5])
    poses = ring_of_cameras(16, target=centre)
    report = _prepare(write_transforms(tmp_path / "in", poses, centre))
    assert report.bound == "masks"
    middle = report.capture.normalisation.points(centre)
    radius = report.capture.normalisation.scale * BALL
    assert np.linalg.norm(middle) + radius <= 1.0
    assert radius > 0.8
    assert report.metrics["sphere"]["object_inside"] == 1.0


def test_frusta_give_the_ball_that_cameras_see_whole():
    """All cameras look at one point: the nearest side of each frustum is the ball's radius."""
    target = np.array([1.0, 2.0, 3.0])
    views = [Posed(camera=CAMERA, cam2source=p) for p in ring_of_cameras(20, 3.0, target)]
    ball = ball_of_frusta(views)
    np.testing.assert_allclose(ball.centre, target, atol=1e-9)
    half = min(np.arctan(CAMERA.cy / CAMERA.fy), np.arctan((CAMERA.width - CAMERA.cx) / CAMERA.fx))
    assert ball.radius == pytest.approx(3.0 * np.sin(half))


def test_cameras_that_look_the_same_way_are_refused():
    pose = ring_of_cameras(1)[0]
    with pytest.raises(CaptureError, match="same way"):
        axes_meet(np.stack([pose, pose]))


def test_masks_that_contradict_poses_are_named():
    poses = ring_of_cameras(8)
    mask = np.zeros((CAMERA.height, CAMERA.width), bool)
    with pytest.raises(CaptureError, match="masks and poses disagree"):
        ball_of_masks([Posed(camera=CAMERA, cam2source=p, mask=mask) for p in poses])


def test_normalisation_round_trip_and_up():
    """Poses map points to the same pixels before and after; up becomes z."""
    up = np.array([1.0, 2.0, -0.5]) / np.linalg.norm([1.0, 2.0, -0.5])
    place = normalisation_to(Ball(centre=np.array([3.0, 1, 2]), radius=2.5), 0.9, up, None)
    points = np.random.default_rng(0).normal(3.0, size=(50, 3))
    np.testing.assert_allclose(place.undo_points(place.points(points)), points, atol=1e-9)
    np.testing.assert_allclose(place.rotation @ up, [0, 0, 1], atol=1e-12)
    pose = ring_of_cameras(1, 9.0, (3.0, 1, 2))[0]
    unit = place.poses(pose)
    before = CAMERA.project((points - pose[:3, 3]) @ pose[:3, :3])[0]
    after = CAMERA.project((place.points(points) - unit[:3, 3]) @ unit[:3, :3])[0]
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_up_is_found_from_level_horizons_seen_from_above():
    """All cameras look down steeply: their mean image up is far off, the horizons are not."""
    up = np.array([0.3, -0.8, 0.5]) / np.linalg.norm([0.3, -0.8, 0.5])
    poses = ring_of_cameras(15, up=up)
    np.testing.assert_allclose(up_from_cameras(poses), up, atol=1e-6)


def test_the_split_is_neros_shuffle():
    names = [str(k) for k in range(128)]
    random.seed(6033)
    expected = list(names)
    random.shuffle(expected)
    splits = split_views(names, SplitSettings())
    assert splits["validate"] == (int(expected[0]),)
    assert len(splits["train"]) == 127


def test_explicit_splits_and_their_mistakes():
    names = ["a", "b", "c", "d"]
    splits = split_views(names, SplitSettings(test=("b",), validate_views=("d",)))
    assert splits == {"train": (0, 2), "validate": (3,), "test": (1,)}
    with pytest.raises(CaptureError, match="no view z"):
        split_views(names, SplitSettings(test=("z",)))
    with pytest.raises(CaptureError, match="two splits"):
        split_views(names, SplitSettings(test=("a",), validate_views=("a",)))


def test_resized_images_keep_their_camera(tmp_path):
    """A scaled view sees the ball where the scaled camera says, to a tenth of a pixel."""
    report = _prepare(write_glossy(tmp_path / "in", ring_of_cameras(up=(0, 1.0, 0))), max_side=24)
    view = report.capture.views[0]
    assert view.image.shape[:2] == (view.camera.height, view.camera.width) == (20, 24)
    share = (view.image[..., 0].astype(float) - 90) / (230 - 90)
    rows, columns = np.mgrid[0:20, 0:24] + 0.5
    found = [(share * at).sum() / share.sum() for at in (columns, rows)]
    np.testing.assert_allclose(found, (view.camera.cx, view.camera.cy), atol=0.1)


def test_a_crop_keeps_the_sphere_and_nothing_that_matters_moves():
    wide = Pinhole(fx=60.0, fy=62.0, cx=90.5, cy=60.0, height=120, width=160)
    pose = ring_of_cameras(3, 3.0, (0.4, 0.2, 0.0))[1]
    image = ball_picture(pose, radius=1.0, camera=wide)
    view = View(
        name="a",
        image=np.ascontiguousarray(image[..., :3]),
        camera=wide,
        cam2world=pose,
        mask=image[..., 3] > 127,
    )
    small = cropped_to_sphere(view)
    assert small.mask.sum() == view.mask.sum()
    assert small.image.shape[:2] == (small.camera.height, small.camera.width)
    assert small.mask.any(axis=0)[[0, -1]].all()
    assert small.mask.any(axis=1)[[0, -1]].all()
    np.testing.assert_array_equal(small.image, _ball_rgb(pose, small.camera))


def _ball_rgb(pose, camera):
    return ball_picture(pose, radius=1.0, camera=camera)[..., :3]


def test_bad_views_are_left_out_with_reasons(tmp_path):
    write_colmap(tmp_path / "in", ring_of_cameras(10), points=POINTS, off={2: 3.0})
    Image.new("RGB", (48, 40)).save(tmp_path / "in" / "images" / "stray.png")
    report = _prepare(tmp_path / "in")
    reasons = {view.name: view.reason for view in report.dropped}
    assert reasons.keys() == {"2.png", "stray.png"}
    assert "4.24 pixels off" in reasons["2.png"]
    assert "no pose for it" in reasons["stray.png"]
    written = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert {entry["name"] for entry in written["dropped"]} == reasons.keys()


def test_cropped_points_touch_the_unit_sphere(tmp_path):
    """NeRO's rule: the box's middle becomes the origin and the furthest point gets radius 1."""
    import trimesh

    write_colmap(tmp_path / "in", ring_of_cameras(9))
    cloud = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0.5, 0.2]])
    trimesh.PointCloud(cloud).export(tmp_path / "in" / "object_point_cloud.ply")
    report = _prepare(tmp_path / "in")
    assert report.bound == "points"
    inside = report.capture.normalisation.points(cloud)
    assert np.linalg.norm(inside, axis=-1).max() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(
        report.capture.normalisation.centre_source, [0.5, 0.25, 0.1], atol=1e-6
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: [p.unlink() for p in sorted(d.glob("*.pkl"))[:6]], "6 usable views, 8 are"),
        (lambda d: Image.new("RGB", (30, 30)).save(d / "3.png"), "mixed sizes"),
        (lambda d: (d / "3.png").write_bytes(b"\x89PNG junk"), r"3\.png cannot be decoded"),
        (lambda d: [p.unlink() for p in d.glob("*.pkl")], None),
    ],
)
def test_bad_folders_are_named(tmp_path, spoil, words):
    folder = write_glossy(tmp_path / "in", ring_of_cameras(12))
    spoil(folder)
    if words is None:
        for path in sorted(folder.glob("*.png"))[3:]:
            path.unlink()
        words = "no poses and 3 photographs"
    with pytest.raises(CaptureError, match=words):
        _prepare(folder)
    assert not (tmp_path / "out" / "capture.json").exists()


def test_an_image_that_does_not_fit_its_colmap_camera_is_named(tmp_path):
    write_colmap(tmp_path / "in", ring_of_cameras(9))
    Image.new("RGB", (40, 48)).save(tmp_path / "in" / "images" / "5.png")
    with pytest.raises(CaptureError, match="poses and images disagree"):
        _prepare(tmp_path / "in")


def test_an_altered_capture_is_refused(tmp_path):
    _prepare(write_glossy(tmp_path / "in", ring_of_cameras()))
    Image.new("RGB", (48, 40)).save(tmp_path / "out" / "images" / "0003.png")
    with pytest.raises(CaptureError, match=r"0003\.png was altered"):
        load_capture(tmp_path / "out")


def test_the_checks_see_a_scene_that_was_not_normalised():
    """Scaled up, the object sticks out; shifted, the cameras look past it; scaled down, too far."""
    poses = ring_of_cameras(12)
    good = sphere_numbers(_views(poses))
    assert good["object_inside"] == 1.0
    assert good["axes_miss"] < 1e-9
    large = poses.copy()
    large[:, :3, 3] *= 4
    assert sphere_numbers(_views(large, (0, 0, 0)))["fill"] < 0.3
    small = poses.copy()
    small[:, :3, 3] *= 0.35
    assert sphere_numbers(_views(small, masks=False))["fill"] > 3
    shifted = poses.copy()
    shifted[:, :3, 3] += (1.5, 0, 0)
    numbers = sphere_numbers(_views(shifted, (1.5, 0, 0)))
    assert numbers["axes_miss"] == pytest.approx(1.5)
    assert numbers["object_inside"] < 0.5


def test_exposure_drift_is_measured_in_stops():
    """Grey views whose pixels grow by 2 stops from first to last; without, nothing is found."""
    poses = ring_of_cameras(24)[np.random.default_rng(0).permutation(24)]
    steady = exposure_numbers(_views(poses, masks=False))
    assert steady["drift_ev"] < 0.2
    linear = 2.0 ** np.linspace(-2, 0, 24)
    drifting = exposure_numbers(_views(poses, masks=False, gain=linear ** (1 / 2.4)))
    assert 1.0 < drifting["drift_ev"] < 2.5
