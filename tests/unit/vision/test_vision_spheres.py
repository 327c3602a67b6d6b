"""Directions on the sphere are deterministic and evenly spread."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal_vision import spheres
from gimbal_vision.errors import CameraError


@pytest.mark.parametrize("n", [1, 2, 3, 64, 1000])
def test_fibonacci_points_are_unit_and_balanced(n):
    points = spheres.fibonacci_sphere(n)
    assert points.shape == (n, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), 1, atol=1e-12)
    assert abs(points[:, 2].mean()) < 1e-12
    np.testing.assert_array_equal(points, spheres.fibonacci_sphere(n))


def test_fibonacci_spacing_is_even():
    """Neighbour distances of 64 views within 20 % of each other, and no hole on the sphere."""
    points = spheres.fibonacci_sphere(64)
    nearest = spheres.nearest_neighbours(points, 1)[:, 0]
    gaps = spheres.angular_distances(points, points)[np.arange(64), nearest]
    assert gaps.max() / gaps.min() < 1.2
    probe = np.random.default_rng(0).normal(size=(4000, 3))
    probe /= np.linalg.norm(probe, axis=-1, keepdims=True)
    assert np.degrees(spheres.angular_distances(probe, points).min(axis=1).max()) < 20


def test_ring_has_one_elevation_and_equal_steps():
    azimuth, elevation = spheres.angles(spheres.ring(8, elevation_deg=30.0, start_deg=10.0))
    np.testing.assert_allclose(np.degrees(elevation), 30.0)
    np.testing.assert_allclose(np.degrees(np.unwrap(azimuth)), 10 + 45.0 * np.arange(8))


def test_angles_invert_directions():
    points = spheres.fibonacci_sphere(100)
    again = spheres.directions_from_angles(*spheres.angles(points))
    np.testing.assert_allclose(again, points, atol=1e-12)


def test_angular_distance_keeps_its_digits_at_the_ends():
    """The arc cosine loses half of them there."""
    tiny = 1e-9
    a = np.array([[1.0, 0, 0]])
    b = np.array([[np.cos(tiny), np.sin(tiny), 0], [-1, 0, 0]])
    np.testing.assert_allclose(spheres.angular_distances(a, b), [[tiny, np.pi]], rtol=1e-6)


def test_neighbours_are_sorted_and_never_oneself():
    points = spheres.fibonacci_sphere(50)
    found = spheres.nearest_neighbours(points, 6)
    distance = np.take_along_axis(spheres.angular_distances(points, points), found, axis=1)
    assert (np.diff(distance, axis=1) >= 0).all()
    assert (found != np.arange(50)[:, None]).all()


def test_sphere_cameras_look_at_the_origin():
    cameras = spheres.sphere_cameras(7 * spheres.fibonacci_sphere(64), 1.5, 42.0, 96, 96)
    uv, z = cameras.project(np.zeros((1, 3)))
    np.testing.assert_allclose(uv, 48.0, atol=1e-9)
    np.testing.assert_allclose(z, 1.5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: spheres.fibonacci_sphere(0),
        lambda: spheres.ring(0),
        lambda: spheres.nearest_neighbours(spheres.fibonacci_sphere(3), 3),
        lambda: spheres.sphere_cameras([[0, 0, 0]], 1.0, 42.0, 8, 8),
        lambda: spheres.sphere_cameras([[0, 0, 1]], -1.0, 42.0, 8, 8),
        lambda: spheres.sphere_cameras([[0, np.nan, 1]], 1.0, 42.0, 8, 8),
    ],
)
def test_impossible_spheres_are_refused(call):
    with pytest.raises(CameraError) as caught:
        call()
    assert caught.value.remedy
