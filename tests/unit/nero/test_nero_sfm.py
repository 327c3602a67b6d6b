"""Photographs without poses: structure from motion finds those they were taken from."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.prepare import prepare
from gimbal_nero.preparing.settings import PrepareSettings
from gimbal_nero.preparing.sfm import by_focal_factor
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.poses import look_at
from gimbal_vision.spheres import directions_from_angles

CAMERA = Pinhole(fx=300.0, fy=300.0, cx=160.0, cy=120.0, height=240, width=320)


def _textures():
    rng = np.random.default_rng(5)
    noise = [rng.normal(size=(3, 400, 400)) for _ in range(2)]
    mixed = gaussian_filter(noise[0], (0, 1.5, 1.5)) * 3 + gaussian_filter(noise[1], (0, 6, 6)) * 12
    return np.clip(128 + 60 * mixed, 0, 255)


def _corner_picture(pose, textures):
    """Three walls that meet at the origin, each with a texture of 100 pixels a length."""
    rays = CAMERA.rays() @ pose[:3, :3].T
    eye = pose[:3, 3]
    with np.errstate(divide="ignore"):
        distance = np.where(rays < 0, -eye / rays, np.inf)
    wall = distance.argmin(axis=-1)
    points = eye + rays * distance.min(axis=-1)[..., None]
    grey = np.zeros(wall.shape)
    for axis in range(3):
        at = points[wall == axis][:, [k for k in range(3) if k != axis]] * 100
        grey[wall == axis] = map_coordinates(textures[axis], at.T, order=1, mode="grid-wrap")
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)


def _write(folder, count=10):
    azimuth = np.radians(np.linspace(25, 65, count))
    elevation = np.radians(35 + 8 * np.cos(np.arange(count)))
    target = np.array([0.5, 0.5, 0.5])
    poses = look_at(target + 4 * directions_from_angles(azimuth, elevation), target)
    folder.mkdir()
    textures = _textures()
    for k, pose in enumerate(poses):
        Image.fromarray(_corner_picture(pose, textures)).save(folder / f"{k:02d}.png")
    return poses


@pytest.mark.slow
def test_poses_of_bare_photographs_are_found(tmp_path):
    """Camera centres agree with the true ones up to a similarity, to 1 % of the distance."""
    poses = _write(tmp_path / "photos")
    report = prepare(tmp_path / "photos", PrepareSettings(), tmp_path / "out", lambda *_: None)
    assert report.layout == "sfm"
    assert len(report.capture.views) == len(poses)
    found = np.stack([view.cam2world[:3, 3] for view in report.capture.views])
    true = poses[:, :3, 3]
    a, b = found - found.mean(0), true - true.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    scale = (b * (a @ turn)).sum() / (a**2).sum()
    assert np.abs(scale * a @ turn - b).max() < 0.04
    assert report.metrics["reprojection_px"] < 1.0
    assert np.degrees(np.arccos(turn[2, 2])) < 3, "up is found from level horizons"


@pytest.mark.slow
def test_photographs_of_nothing_are_named(tmp_path):
    folder = tmp_path / "blank"
    folder.mkdir()
    for k in range(8):
        Image.new("RGB", (64, 48), (90, 90, 90)).save(folder / f"{k}.png")
    with pytest.raises(CaptureError, match="structure from motion found no poses"):
        prepare(folder, PrepareSettings(), tmp_path / "out", lambda *_: None)


def test_the_focal_prior_is_the_diagonal_whatever_the_shape(tmp_path):
    """COLMAP multiplies it with the longer side; upright and level photographs share one."""
    sizes = {"a.png": (40, 30), "b.png": (30, 40), "c.png": (32, 32)}
    for name, size in sizes.items():
        Image.new("RGB", size).save(tmp_path / name)
    files = [tmp_path / name for name in sizes]
    apart = by_focal_factor(files, shared=False)
    assert list(apart.values()) == [["a.png", "b.png"], ["c.png"]]
    np.testing.assert_allclose(list(apart), [50 / 40, np.sqrt(2)])
    assert by_focal_factor(files[:2], shared=True) == {50 / 40: ["a.png", "b.png"]}
