"""Point maps, and the way of a cloud through four pinholes into a panorama and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gimbal_vision.cameras import (
    Cylindrical,
    Equirectangular,
    Pinhole,
    point_map,
)
from gimbal_vision.errors import CameraError
from gimbal_vision.lie import so3_exp

CAMERAS = [
    Pinhole(fx=20.0, fy=22.0, cx=15.0, cy=11.0, height=24, width=32),
    Equirectangular.from_vfov(24, 96, 180.0),
    Cylindrical.from_vfov(24, 96, 90.0),
]


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.camera_model)
def test_points_lie_at_their_range_on_their_ray(camera):
    ranges = np.random.default_rng(0).uniform(0.1, 80.0, (2, camera.height, camera.width))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = so3_exp(np.array([0.3, -1.1, 0.4])), (10.0, -2.0, 7.0)
    own, world = point_map(camera, ranges), point_map(camera, ranges, pose)
    assert own.depth_along_ray.shape == (2, camera.height, camera.width, 1)
    pixels, distance = camera.project(own.points[1])
    centres = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    np.testing.assert_allclose(pixels, np.stack(centres, axis=-1), atol=1e-4)
    np.testing.assert_allclose(distance, ranges[1], rtol=1e-6)
    np.testing.assert_allclose(world.points, own.points @ pose[:3, :3].T + pose[:3, 3], atol=1e-4)
    np.testing.assert_array_equal(world.rays, own.rays)


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.camera_model)
def test_images_of_one_camera_share_rays_that_nobody_can_spoil(camera):
    ranges = np.ones((camera.height, camera.width))
    first, second = point_map(camera, ranges), point_map(replace(camera), ranges)
    assert first.rays is second.rays
    with pytest.raises(ValueError, match="read-only"):
        first.rays[0] = 0.0
    other = point_map(replace(camera, fy=2.0 * camera.fy), ranges)
    assert not np.array_equal(other.rays, first.rays), "another geometry has rays of its own"


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.camera_model)
def test_unknown_ranges_are_never_nan(camera):
    """M024: whatever stands for "unknown" in a file, a network is given finite numbers."""
    ranges = np.full((camera.height, camera.width), 5.0, np.float32)
    ranges[0, :5] = 0.0, -1.0, np.nan, np.inf, -np.inf
    pose = np.eye(4)
    pose[:3, 3] = 1.0, 2.0, 3.0
    for result, centre in (
        (point_map(camera, ranges), 0.0),
        (point_map(camera, ranges, pose), pose[:3, 3]),
    ):
        assert not result.known[0, :5].any()
        assert result.known.sum() == ranges.size - 5
        for array in (result.rays, result.points, result.depth_along_ray):
            assert np.isfinite(array).all()
            assert array.dtype == np.float32
        np.testing.assert_array_equal(result.points[0, :5], np.broadcast_to(centre, (5, 3)))


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.camera_model)
def test_depths_of_another_size_are_refused(camera):
    """M026: transposed and flattened depth maps fit nowhere by accident."""
    for shape in ((camera.width, camera.height), (camera.height * camera.width,)):
        with pytest.raises(CameraError, match="do not fit"):
            point_map(camera, np.ones(shape))
    with pytest.raises(CameraError, match="world_from_camera"):
        point_map(camera, np.ones((camera.height, camera.width)), 2 * np.eye(4))


def test_depth_and_range_of_a_pinhole():
    """R = z sqrt(1 + ((u - cx) / fx)^2 + ((v - cy) / fy)^2)."""
    u, v = np.meshgrid(np.arange(32) + 0.5, np.arange(24) + 0.5)
    expected = np.sqrt(1 + ((u - 15) / 20) ** 2 + ((v - 11) / 22) ** 2)
    np.testing.assert_allclose(CAMERAS[0].range_per_depth(), expected, rtol=1e-6)


@pytest.mark.parametrize("model", [Equirectangular, Cylindrical])
def test_a_cube_of_points_survives_four_pinholes_and_the_panorama(model):
    """M022: cloud -> nearest pixel of four pinholes -> panorama -> back, less than one pixel off.

    Each point is kept as the pixel it falls into and its z-depth there, as a depth image keeps it.
    """
    pinhole = Pinhole(
        fx=335.639852470912, fy=335.639852470912, cx=400, cy=300, height=600, width=800
    )
    panorama = model.from_vfov(252, 1008, 60.0)
    side = np.linspace(-20.0, 20.0, 41)
    cube = np.stack(np.meshgrid(side, side, side), axis=-1).reshape(-1, 3)
    cube = cube[np.abs(cube).max(axis=1) == 20.0]
    wanted, _ = panorama.project(cube)
    seen = np.zeros(len(cube), np.int64)
    per_depth = pinhole.range_per_depth()
    rays = pinhole.rays()
    for yaw in np.radians([0.0, 100.0, -100.0, 180.0]):
        R = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        local = cube @ R
        pixel, _ = pinhole.project(local)
        inside = (pixel >= 0).all(axis=1) & (pixel < (800, 600)).all(axis=1)
        column, row = np.floor(pixel[inside]).astype(np.int64).T
        kept = rays[row, column] * (local[inside, 2] * per_depth[row, column])[:, None]
        there, distance = panorama.project(kept @ R.T)
        error = there - wanted[inside]
        error[:, 0] = (error[:, 0] + 504) % 1008 - 504
        assert np.abs(error).max() < 1.0
        back, _ = pinhole.project(kept)
        assert np.linalg.norm(back - pixel[inside], axis=1).max() < 1.0
        np.testing.assert_allclose(distance, np.linalg.norm(cube[inside], axis=1), rtol=5e-3)
        seen[inside] += 1
    in_panorama = (wanted[:, 1] >= 0) & (wanted[:, 1] < 252)
    assert in_panorama.any()
    assert (seen[in_panorama] > 0).mean() > 0.999
