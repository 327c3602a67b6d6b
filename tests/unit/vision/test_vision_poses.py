"""Poses obey the algebra of rotations and rigid motions, in numpy and torch alike."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from gimbal_vision import conventions, lie, poses
from gimbal_vision.errors import PoseError

TOLERANCE = 1e-12
unit_interval = st.floats(-1, 1, allow_subnormal=False)
quaternions = hnp.arrays(np.float64, (5, 4), elements=unit_interval).filter(
    lambda q: np.linalg.norm(q, axis=-1).min() > 1e-3
)
translations = hnp.arrays(np.float64, (5, 3), elements=st.floats(-10, 10))
rotation_vectors = hnp.arrays(np.float64, (5, 3), elements=st.floats(-1.8, 1.8))
fast = settings(max_examples=40, deadline=None)


@st.composite
def rigid(draw):
    return poses.make_pose(poses.quaternion_to_matrix(draw(quaternions)), draw(translations))


@fast
@given(rigid(), rigid(), rigid())
def test_poses_form_a_group(a, b, c):
    """Closure, identity, inverse, associativity."""
    assert poses.is_rigid(poses.compose(a, b), 1e-9)
    np.testing.assert_allclose(poses.compose(a, poses.invert_pose(a)), np.eye(4) + 0 * a, atol=1e-9)
    np.testing.assert_allclose(poses.compose(a, np.eye(4)), a)
    left = poses.compose(poses.compose(a, b), c)
    np.testing.assert_allclose(left, poses.compose(a, poses.compose(b, c)), atol=1e-9)
    np.testing.assert_allclose(a @ poses.relative_pose(a, b), b, atol=1e-9)


@fast
@given(quaternions, quaternions)
def test_quaternions_agree_with_matrices_and_scipy(p, q):
    """The order xyzw, the Hamilton product and the matrix product are one and the same thing."""
    R = poses.quaternion_to_matrix(q)
    np.testing.assert_allclose(R, Rotation.from_quat(q).as_matrix(), atol=TOLERANCE)
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=TOLERANCE)
    product = poses.multiply_quaternions(
        poses.normalise_quaternion(p), poses.normalise_quaternion(q)
    )
    both = poses.quaternion_to_matrix(p) @ R
    np.testing.assert_allclose(poses.quaternion_to_matrix(product), both, atol=TOLERANCE)
    again = poses.quaternion_to_matrix(poses.matrix_to_quaternion(R))
    np.testing.assert_allclose(again, R, atol=TOLERANCE)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 0.0999, 0.1001, 1.0, np.pi - 1e-9, np.pi])
@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -1, 1), (0.1, 2, -0.3)])
def test_rotation_log_and_exp_invert_each_other_at_every_angle(angle, axis):
    """The hard angles: zero, the seam of the series, half a turn."""
    v = angle * np.array(axis) / np.linalg.norm(axis)
    R = lie.so3_exp(v)
    np.testing.assert_allclose(R, Rotation.from_rotvec(v).as_matrix(), atol=1e-14)
    np.testing.assert_allclose(lie.so3_exp(lie.so3_log(R)), R, atol=1e-9)
    assert np.linalg.norm(lie.so3_log(R)) == pytest.approx(angle, abs=1e-12)


@fast
@given(translations, rotation_vectors)
def test_twist_round_trip(rho, w):
    """se3_log(se3_exp(x)) = x as long as the angle stays below pi."""
    w = np.where(np.linalg.norm(w, axis=-1, keepdims=True) < 3.1, w, 0.5 * w)
    twist = np.concatenate([rho, w], axis=-1)
    np.testing.assert_allclose(lie.se3_log(lie.se3_exp(twist)), twist, atol=1e-7)
    np.testing.assert_allclose(
        lie.se3_exp(-twist), poses.invert_pose(lie.se3_exp(twist)), atol=1e-10
    )


def test_se3_exp_is_the_matrix_exponential():
    rng = np.random.default_rng(0)
    twist = rng.normal(size=6)
    generator = np.zeros((4, 4))
    generator[:3, :3], generator[:3, 3] = lie.skew(twist[3:]), twist[:3]
    power, total = np.eye(4), np.eye(4)
    for k in range(1, 60):
        power = power @ generator / k
        total = total + power
    np.testing.assert_allclose(lie.se3_exp(twist), total, atol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 0.0999, 0.5, 3.0])
def test_gradients_are_right_also_at_the_identity(scale):
    """A zero update is where every pose optimisation starts; NaN there ends it."""
    torch.manual_seed(0)
    twist = (scale * torch.nn.functional.normalize(torch.randn(2, 6), dim=-1)).double()
    twist.requires_grad_()
    assert torch.autograd.gradcheck(lie.se3_exp, twist)
    assert torch.autograd.gradcheck(lambda x: lie.se3_log(lie.se3_exp(x)), twist, atol=1e-5)
    R = lie.so3_exp(twist[:, 3:])
    assert torch.autograd.grad(poses.matrix_to_quaternion(R).sum(), twist)[0].isfinite().all()


@pytest.mark.parametrize(
    "function",
    [
        lambda q, t: poses.make_pose(poses.quaternion_to_matrix(q), t),
        lambda q, t: poses.matrix_to_quaternion(poses.quaternion_to_matrix(q)),
        lambda q, t: poses.invert_pose(poses.make_pose(poses.quaternion_to_matrix(q), t)),
        lambda q, t: lie.se3_log(poses.make_pose(poses.quaternion_to_matrix(q), t)),
        lambda q, t: poses.multiply_quaternions(q, q[..., [1, 0, 3, 2]]),
        lambda q, t: lie.rotation_angle(
            poses.quaternion_to_matrix(q), poses.quaternion_to_matrix(q[..., [1, 0, 3, 2]])
        ),
        lambda q, t: poses.transform_points(
            poses.make_pose(poses.quaternion_to_matrix(q), t), t[..., None, :]
        ),
    ],
)
def test_torch_and_numpy_agree(function):
    rng = np.random.default_rng(1)
    q, t = rng.normal(size=(2, 7, 4)), rng.normal(size=(2, 7, 3))
    from_torch = function(torch.from_numpy(q), torch.from_numpy(t))
    np.testing.assert_allclose(function(q, t), from_torch.numpy(), atol=1e-12)


def test_float32_tensors_stay_float32():
    pose = lie.se3_exp(torch.zeros(3, 6))
    assert pose.dtype == torch.float32
    assert poses.invert_pose(pose).dtype == torch.float32


@pytest.mark.parametrize(
    "eye", [(0, 0, 2), (0, 0, -2), (2, 0, 0), (-1, 3, 0.5), (1e-13, 0, 2), (0, -1e-7, -3)]
)
def test_look_at_points_at_the_target_even_from_the_poles(eye):
    pose = poses.look_at(np.array(eye))
    assert poses.is_rigid(pose, 1e-12)
    x, y, z = poses.transform_points(poses.invert_pose(pose), np.zeros((1, 3)))[0]
    assert (x, y) == pytest.approx((0, 0), abs=1e-12)
    assert z == pytest.approx(np.linalg.norm(eye))
    if np.hypot(eye[0], eye[1]) > 1e-3:
        assert pose[2, 1] < 0, "world up must point up in the image (camera y is down)"


@pytest.mark.parametrize(
    "arguments",
    [
        {"eye": (0, 0, 0)},
        {"eye": (np.nan, 0, 1)},
        {"eye": (1, 0, 0), "up": (0, 0, 0)},
        {"eye": (np.inf, 0, 0)},
    ],
)
def test_look_at_refuses_what_has_no_answer(arguments):
    with pytest.raises(PoseError):
        poses.look_at(**arguments)


def test_zero_quaternion_is_refused():
    with pytest.raises(PoseError, match="zero"):
        poses.quaternion_to_matrix(np.zeros((1, 4)))


def test_opengl_and_pytorch3d_describe_the_same_camera():
    """The same point has the coordinates each convention promises."""
    rng = np.random.default_rng(2)
    cam2world = poses.look_at(rng.normal(size=(6, 3)), target=rng.normal(size=3))
    point = rng.normal(size=(1, 3))
    ours = poses.transform_points(poses.invert_pose(cam2world), point)[:, 0]
    gl = conventions.opencv_to_opengl(cam2world)
    in_gl = poses.transform_points(poses.invert_pose(gl), point)[:, 0]
    np.testing.assert_allclose(in_gl, ours * [1, -1, -1], atol=TOLERANCE)
    np.testing.assert_allclose(conventions.opengl_to_opencv(gl), cam2world)
    R, T = conventions.opencv_to_pytorch3d(cam2world)
    np.testing.assert_allclose((point @ R)[:, 0] + T, ours * [-1, -1, 1], atol=TOLERANCE)
    np.testing.assert_allclose(conventions.pytorch3d_to_opencv(R, T), cam2world, atol=TOLERANCE)


def test_errors_survive_a_process_border():
    """Ray pickles exceptions; message and remedy must arrive."""
    error = pickle.loads(pickle.dumps(PoseError("what", "remedy")))
    assert (error.message, error.remedy) == ("what", "remedy")
    assert str(error) == "what\n  → remedy"
