"""CARLA's poses become proper OpenCV poses: order and signs of the angles, handedness, inverses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gimbal_multicar.opv2v import axes
from gimbal_vision.cameras import Pinhole
from gimbal_vision.poses import invert_pose, is_rigid, matrix_to_quaternion, transform_points

EXACT = 1e-12
metres = st.floats(-500, 500, allow_subnormal=False)
half_turn = st.floats(-180, 180, allow_subnormal=False)
slope = st.floats(-89.9, 89.9, allow_subnormal=False)
poses = st.tuples(metres, metres, metres, half_turn, half_turn, slope)
fast = settings(max_examples=40, deadline=None)


def explicit(roll, yaw, pitch):
    """The matrix of multicar.md B4, from the three elementary rotations."""
    r, y, p = np.radians([-roll, yaw, -pitch])
    Rx = np.array([[1, 0, 0], [0, np.cos(r), -np.sin(r)], [0, np.sin(r), np.cos(r)]])
    Ry = np.array([[np.cos(p), 0, np.sin(p)], [0, 1, 0], [-np.sin(p), 0, np.cos(p)]])
    Rz = np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
    return Rz @ Ry @ Rx


@fast
@given(poses)
def test_the_rotation_is_intrinsic_zyx_with_pitch_and_roll_negated(pose):
    T = axes.x_to_world(pose)
    roll, yaw, pitch = pose[3:]
    scipy = Rotation.from_euler("ZYX", [yaw, -pitch, -roll], degrees=True).as_matrix()
    np.testing.assert_allclose(T[:3, :3], scipy, atol=EXACT)
    np.testing.assert_allclose(T[:3, :3], explicit(roll, yaw, pitch), atol=EXACT)
    np.testing.assert_array_equal(T[:3, 3], pose[:3])


def test_the_sources_euler_code_would_be_degrees_off_on_a_slope():
    """Lower-case 'zyx' with [yaw, pitch, roll] has the wrong order and the wrong signs."""
    ours = axes.x_to_world([0, 0, 0, 0, 30, 2])[:3, :3]
    theirs = Rotation.from_euler("zyx", [30, 2, 0], degrees=True).as_matrix()
    assert np.degrees(Rotation.from_matrix(ours.T @ theirs).magnitude()) == pytest.approx(
        3.9, abs=0.15
    )


@pytest.mark.parametrize(
    ("angles", "tip", "moved"),
    [
        ((0, 90, 0), (1, 0, 0), (0, 1, 0)),  # yaw turns the nose to the right
        ((0, 0, 90), (1, 0, 0), (0, 0, 1)),  # pitch lifts the nose
        ((90, 0, 0), (0, 1, 0), (0, 0, -1)),  # roll lowers the right side
    ],
)
def test_each_angle_turns_the_way_unreal_means_it(angles, tip, moved):
    R = axes.x_to_world([0, 0, 0, *angles])[:3, :3]
    np.testing.assert_allclose(R @ np.array(tip, float), moved, atol=EXACT)


@fast
@given(poses)
def test_poses_survive_a_round_trip(pose):
    T = axes.x_to_world(pose)
    again = axes.world_to_x(T)
    np.testing.assert_allclose(axes.x_to_world(again), T, atol=1e-9)
    difference = (again[3:] - np.array(pose[3:]) + 180) % 360 - 180
    np.testing.assert_allclose(difference, 0, atol=1e-5)


@pytest.mark.parametrize("pitch", [90.0, -90.0])
@pytest.mark.parametrize("roll", [0.0, 25.0, -170.0])
def test_a_vertical_nose_still_gives_the_same_rotation(pitch, roll):
    T = axes.x_to_world([1, 2, 3, roll, 40, pitch])
    pose = axes.world_to_x(T)
    assert pose[3] == 0
    np.testing.assert_allclose(axes.x_to_world(pose), T, atol=1e-9)


@fast
@given(poses, poses)
def test_conjugated_poses_are_proper_and_compose(a, b):
    """Only then do quaternions exist, and relative poses mean the same in both systems."""
    A, C = axes.x_to_world(a), axes.x_to_world(b)
    assert is_rigid(axes.to_opencv(A), 1e-9)
    relative = axes.to_opencv(invert_pose(A) @ C)
    np.testing.assert_allclose(
        relative, invert_pose(axes.to_opencv(A)) @ axes.to_opencv(C), atol=1e-8
    )
    np.testing.assert_allclose(axes.to_unreal(axes.to_opencv(A)), A, atol=EXACT)
    one_sided = axes.B @ A[:3, :3]
    assert np.linalg.det(one_sided) == pytest.approx(-1), "a reflection: no quaternion has it"
    quaternion = matrix_to_quaternion(relative[:3, :3])
    assert np.linalg.norm(quaternion) == pytest.approx(1)


@fast
@given(poses, st.tuples(metres, metres, metres))
def test_points_and_poses_change_axes_together(pose, point):
    T = axes.x_to_world(pose)
    moved = transform_points(T, np.array([point], float))
    there = transform_points(axes.to_opencv(T), axes.points_to_opencv(np.array([point], float)))
    np.testing.assert_allclose(axes.points_to_opencv(moved), there, atol=1e-9)
    np.testing.assert_array_equal(axes.points_to_unreal(axes.points_to_opencv(point)), point)


def test_what_is_on_the_cars_right_is_on_the_right_of_the_image():
    """Handedness: a camera 2 m ahead on a car that looks east; a lamp ahead, right and above."""
    car = axes.x_to_world([100, 50, 0, 0, 90, 0])
    camera = car @ axes.x_to_world([2, 0, 1, 0, 0, 0])
    lamp = transform_points(car, np.array([[12.0, 3.0, 4.0]]))
    camera_from_world = invert_pose(axes.to_opencv(camera))
    seen = transform_points(camera_from_world, axes.points_to_opencv(lamp))
    np.testing.assert_allclose(seen, [[3, -3, 10]], atol=1e-9)
    pixel, _ = Pinhole(fx=50, fy=50, cx=50, cy=40, height=80, width=100).project(seen)
    np.testing.assert_allclose(pixel, [[65, 25]], atol=1e-9)


def test_the_samples_extrinsic_is_camera_from_lidar():
    """The camera 3.0 m ahead of and .9 m below the LiDAR: translation (-3, 0, +.9)."""
    lidar = axes.x_to_world([-0.5, 0, 1.9, 0, 0, 0])
    camera = axes.x_to_world([2.5, 0, 1.0, 0, 0, 0])
    np.testing.assert_allclose((invert_pose(camera) @ lidar)[:3, 3], [-3, 0, 0.9], atol=EXACT)


def test_extents_change_order_but_never_sign():
    np.testing.assert_array_equal(axes.extent_to_opencv([2.4, 1.0, 0.7]), [1.0, 0.7, 2.4])
    np.testing.assert_array_equal(axes.extent_to_unreal([1.0, 0.7, 2.4]), [2.4, 1.0, 0.7])


def test_batches_and_single_poses_agree_and_float32_points_stay_small():
    rng = np.random.default_rng(0)
    batch = rng.uniform(-80, 80, (3, 5, 6))
    T = axes.x_to_world(batch)
    assert T.shape == (3, 5, 4, 4)
    np.testing.assert_array_equal(T[1, 2], axes.x_to_world(batch[1, 2]))
    np.testing.assert_allclose(axes.world_to_x(T), batch, atol=1e-9)
    assert axes.points_to_opencv(np.zeros((4, 3), np.float32)).dtype == np.float32
