"""Pinhole cameras: pixel centres, projection and its inverse, changes of size."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal_vision.cameras import (
    PinholeCameras,
    from_integer_centres,
    look_at,
    to_integer_centres,
)
from gimbal_vision.errors import CameraError
from gimbal_vision.spheres import fibonacci_sphere, sphere_cameras


@pytest.fixture
def cameras() -> PinholeCameras:
    """Four poses, off-centre principal point, fx != fy, not square."""
    K = np.array([[110.0, 0, 30.25], [0, 95.0, 27.5], [0, 0, 1]])
    return PinholeCameras(K, look_at(3 * fibonacci_sphere(4)), height=48, width=64)


def test_pixel_centres_lie_at_a_half(cameras):
    """Row i, column j is seen at (u, v) = (j + .5, i + .5): half a pixel off costs .7 of depth."""
    points = cameras.unproject(np.full((4, 48, 64), 2.0))
    for n in range(4):
        uv, z = cameras[n].project(points[n].reshape(-1, 3))
        expected = np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5), axis=-1)
        np.testing.assert_allclose(uv[0].reshape(48, 64, 2), expected, atol=1e-9)
        np.testing.assert_allclose(z, 2.0)


def test_rays_have_unit_z_so_that_t_is_depth(cameras):
    origins, directions = cameras.rays(np.float64)
    camera_space = np.einsum("nhwi,nij->nhwj", directions, cameras.cam2world[:, :3, :3])
    np.testing.assert_allclose(camera_space[..., 2], 1.0, atol=1e-12)
    np.testing.assert_array_equal(origins, cameras.positions)
    single = cameras.rays()[1]
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, directions, atol=3e-7)


def test_optical_axis_meets_the_principal_point(cameras):
    uv, z = cameras.project(np.zeros((1, 3)))
    np.testing.assert_allclose(uv[:, 0], [[30.25, 27.5]] * 4, atol=1e-9)
    np.testing.assert_allclose(z[:, 0], 3.0)


def test_points_behind_have_no_pixel(cameras):
    uv, z = cameras.project(2 * cameras.positions[:1])
    assert z[0, 0] < 0
    assert np.isnan(uv[0, 0]).all()


def test_pixels_without_depth_become_nan(cameras):
    depth = np.zeros((4, 48, 64))
    depth[0, 5, 7] = 1.5
    depth[1, 0, 0] = np.inf
    points = cameras.unproject(depth)
    assert np.isfinite(points).all(axis=-1).sum() == 1


def test_resizing_and_cropping_keep_what_is_seen(cameras):
    """A point's pixel moves exactly as the image does."""
    point = np.random.default_rng(0).normal(scale=0.2, size=(9, 3))
    uv, _ = cameras.project(point)
    resized, _ = cameras.resized(96, 32).project(point)
    np.testing.assert_allclose(resized, uv * [0.5, 2.0], atol=1e-9)
    cropped = cameras.cropped(top=4, left=-3, height=20, width=80)
    np.testing.assert_allclose(cropped.project(point)[0], uv - [-3, 4], atol=1e-9)
    assert (cropped.height, cropped.width) == (20, 80)


def test_field_of_view_spans_the_height():
    camera = sphere_cameras(np.array([[1.0, 0, 0]]), 2.0, 60.0, 100, 50)
    edge = 2.0 * np.tan(np.radians(30.0))
    uv, _ = camera.project(np.array([[0.0, 0, edge], [0, 0, -edge]]))
    np.testing.assert_allclose(uv[0], [[25, 0], [25, 100]], atol=1e-9)


def test_integer_pixel_centres_shift_by_half_a_pixel():
    K = np.array([[100.0, 0, 31.5], [0, 100, 23.5], [0, 0, 1]])
    ours = from_integer_centres(K)
    assert (ours[0, 2], ours[1, 2]) == (32.0, 24.0)
    np.testing.assert_array_equal(to_integer_centres(ours), K)


def test_indexing_always_gives_a_batch(cameras):
    assert [len(cameras[i]) for i in (2, slice(1, 3), [0, 3], np.int64(1))] == [1, 2, 2, 1]
    np.testing.assert_array_equal(cameras[-1].positions[0], cameras.positions[3])


IDENTITY = np.eye(4)[None]
GOOD_K = np.array([[10.0, 0, 5], [0, 10, 5], [0, 0, 1]])


@pytest.mark.parametrize(
    ("K", "pose", "height"),
    [
        (GOOD_K[:2], IDENTITY, 10),
        (GOOD_K * [[-1], [1], [1]], IDENTITY, 10),
        (GOOD_K + np.eye(3, k=1), IDENTITY, 10),
        (GOOD_K * np.nan, IDENTITY, 10),
        (GOOD_K, 2 * IDENTITY, 10),
        (GOOD_K, IDENTITY * [[[-1], [1], [1], [1]]], 10),
        (GOOD_K, IDENTITY[0, :3], 10),
        (GOOD_K, IDENTITY, 0),
    ],
    ids=["shape", "negative-focal", "skew", "nan", "scaled", "mirrored", "pose-3x4", "no-rows"],
)
def test_impossible_cameras_are_refused(K, pose, height):
    with pytest.raises(CameraError) as caught:
        PinholeCameras(K, pose, height, 10)
    assert caught.value.remedy


def test_impossible_angle_of_view_is_refused():
    with pytest.raises(CameraError, match="180"):
        PinholeCameras.from_fov(IDENTITY, 180.0, 10, 10)


def test_depth_of_another_size_is_refused(cameras):
    with pytest.raises(CameraError, match="does not fit"):
        cameras.unproject(np.ones((4, 64, 48)))
