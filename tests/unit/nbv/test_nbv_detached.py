"""The detached route: its value by brute force, its gradient by finite differences, its one way."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from gimbal_nbv.building import build_oracle, render_depth
from gimbal_nbv.errors import PolicyError
from gimbal_nbv.objectives.detached import (
    DetachedSettings,
    DetachedStates,
    NewViews,
    chamfer_to,
    chamfer_with,
    detached_step,
)
from gimbal_nbv.objectives.detached_inputs import MeshDepths, candidate_chamfers, detached_states
from gimbal_nbv.objectives.look_at import look_at_pose, rotation_between
from gimbal_nbv.objectives.pose_gradient import GradientFlow
from gimbal_nbv.reconstruction.base import SurfacePoints
from gimbal_nbv.reconstruction.fusion import DepthFusion, decimated
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.shapes.primitives import ellipsoid
from gimbal_nbv.states import States
from gimbal_vision.meshes import Mesh, normalise
from gimbal_vision.pointclouds import chamfer_squared
from gimbal_vision.poses import look_at

ROLLS = ("transported", "world_up")
RAW = DetachedSettings(normalise="none")


def directions(count: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)).double()
    return torch.nn.functional.normalize(drawn, dim=-1)


@pytest.fixture(scope="module")
def mug(small_protocol):
    mesh = make_shape("mug", 3)
    return mesh, render_depth(mesh, small_protocol)


@pytest.fixture(scope="module")
def one_view(mug, mug_oracle):
    """Three states with one view each."""
    states = States(mug_oracle, np.array([[2], [9], [13]], np.int32))
    return states, detached_states(states, mug[1])


@dataclass
class OnePicture:
    """A renderer that always answers with the same pictures, and remembers what it was asked."""

    depth: Tensor
    intrinsics: Tensor
    asked: Tensor | None = None

    def render(self, objects, poses: Tensor) -> tuple[Tensor, Tensor]:
        self.asked = poses
        return self.depth, self.intrinsics


# --- fusion


@pytest.mark.parametrize("stride", [1, 3])
def test_fusion_is_the_unprojection_of_the_cameras(mug, small_protocol, stride):
    depth, cameras = mug[1][:4], small_protocol.cameras[slice(0, 4)]
    expected = cameras.unproject(depth)[:, ::stride, ::stride]
    expected = expected[np.isfinite(expected[..., 0])]
    found = DepthFusion(stride=stride).reconstruct(
        torch.from_numpy(depth), torch.from_numpy(cameras.cam2world), torch.from_numpy(cameras.K)
    )
    assert found.weights is None
    np.testing.assert_allclose(found.points.numpy(), expected, rtol=0, atol=1e-15)
    small, K = decimated(torch.from_numpy(depth), torch.from_numpy(cameras.K), stride)
    again = DepthFusion().reconstruct(small, torch.from_numpy(cameras.cam2world), K)
    np.testing.assert_allclose(again.points.numpy(), expected, rtol=0, atol=1e-15)


def test_fusion_gradient_in_the_poses_equals_finite_differences(mug, small_protocol):
    cameras = small_protocol.cameras[slice(0, 2)]
    depth, K = torch.from_numpy(mug[1][:2, ::10, ::10]), torch.from_numpy(cameras.K)
    poses = torch.from_numpy(cameras.cam2world).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: DepthFusion().reconstruct(depth, p, K).points, (poses,), fast_mode=True
    )


def test_a_stride_of_zero_is_refused():
    with pytest.raises(PolicyError, match="stride"):
        DepthFusion(stride=0)


# --- poses


@pytest.mark.parametrize("roll", ROLLS)
def test_poses_equal_the_numpy_ones_poles_included(roll):
    d = directions(50)
    d[0], d[1] = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, -1.0])
    expected = look_at(1.5 * d.numpy())
    np.testing.assert_allclose(look_at_pose(3 * d, 1.5, roll).numpy(), expected, atol=1e-14)


def test_world_up_gradient_equals_finite_differences():
    d = (directions(4) * 1.7).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: look_at_pose(x, 1.5, "world_up"), (d,))


@pytest.mark.parametrize("place", [(0.0, 0.0, 1.0), (1e-6, 0.0, -1.0), (0.6, 0.0, 0.8)])
def test_transported_steps_turn_without_roll_and_know_no_pole(place):
    """d(pose) is the rotation that carries the direction along a great circle, anywhere."""
    d = torch.nn.functional.normalize(torch.tensor([place], dtype=torch.float64), dim=-1)
    jacobian = torch.autograd.functional.jacobian(lambda x: look_at_pose(x, 1.5)[0], d)[:, :, 0]
    pose = look_at_pose(d, 1.5)[0]
    for step in torch.linalg.qr(torch.cat([d.T, torch.eye(3).double()], dim=1))[0].T[1:]:
        moved = look_at_pose(d + 1e-6 * step, 1.5)[0, :3, 3] - pose[:3, 3]
        slope = jacobian @ step
        torch.testing.assert_close(slope[:3, 3], moved / 1e-6, atol=1e-5, rtol=0)
        spin = slope[:3, :3] @ pose[:3, :3].T
        axis = torch.linalg.cross(d[0], step)
        torch.testing.assert_close(spin @ axis, torch.zeros(3).double(), atol=1e-12, rtol=0)
        torch.testing.assert_close(spin.norm(), torch.tensor(2.0).double().sqrt())


def test_rotation_between_turns_one_direction_into_the_other():
    first, second = directions(20, 1), directions(20, 2)
    turned = (rotation_between(first, second) @ first[..., None])[..., 0]
    torch.testing.assert_close(turned, second)


# --- the loss


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("sums", [False, True])
def test_chamfer_equals_brute_force(squared, sums):
    ours, truth = directions(40, 1), directions(70, 2)
    weights = torch.rand(40, generator=torch.Generator().manual_seed(0)).double()
    settings = DetachedSettings(squared=squared, sums=sums, normalise="none")
    pairs = torch.from_numpy(cdist(ours, truth)) ** (2 if squared else 1)
    near, far = pairs.min(dim=1).values, pairs.min(dim=0).values
    plain = near.sum() + far.sum() if sums else near.mean() + far.mean()
    torch.testing.assert_close(chamfer_to(SurfacePoints(points=ours), truth, settings), plain)
    weighted = near @ weights if sums else near @ weights / weights.sum()
    expected = weighted + (far.sum() if sums else far.mean())
    found = chamfer_to(SurfacePoints(points=ours, weights=weights), truth, settings)
    torch.testing.assert_close(found, expected)


def test_means_are_those_of_every_other_chamfer_here():
    ours, truth = directions(40, 1), directions(70, 2)
    found = chamfer_to(SurfacePoints(points=ours), truth, RAW)
    torch.testing.assert_close(found, chamfer_squared(ours, truth))


def test_a_surface_without_points_is_as_far_as_the_object_is_large():
    nothing = SurfacePoints(points=torch.zeros(0, 3))
    assert float(chamfer_to(nothing, directions(5), RAW)) == 1.0


@pytest.mark.parametrize("squared", [False, True])
def test_the_gradient_is_that_of_relabelling_the_same_pixels(mug, one_view, squared):
    """Finite differences of F(Q, P): the picture of P stays, its label Q moves."""
    settings = replace(RAW, squared=squared)
    states, d = one_view[1], directions(3, 4)
    d = (states.frames.mT @ d[..., None])[..., 0].requires_grad_()
    renderer = MeshDepths(lambda number: mug[0], image_size=32)
    step = detached_step(d, states, renderer, DepthFusion(), settings)
    step.loss.sum().backward()
    depth, K = renderer.render(states.objects, step.pose)
    axes = torch.linalg.svd(d.detach()[:, None])[2][:, 1:]
    for axis in axes.unbind(1):
        labelled = [
            chamfer_with(
                states,
                NewViews(depth=depth, poses=_relabelled(states, d, sign * axis), intrinsics=K),
                DepthFusion(),
                settings,
            )
            for sign in (1e-6, -1e-6)
        ]
        expected = (labelled[0] - labelled[1]) / 2e-6
        torch.testing.assert_close((d.grad * axis).sum(-1), expected, rtol=1e-4, atol=1e-7)


def _relabelled(states: DetachedStates, d: Tensor, offset: Tensor) -> Tensor:
    """Turn the cameras at d by the rotation that takes d to d + offset."""
    start = (states.frames @ d.detach()[..., None])[..., 0]
    end = torch.nn.functional.normalize(
        (states.frames @ (d.detach() + offset)[..., None])[..., 0], dim=-1
    )
    pose = look_at_pose(start, 1.5)
    turned = pose.clone()
    turned[:, :3, :3] = rotation_between(start, end) @ pose[:, :3, :3]
    turned[:, :3, 3] = 1.5 * end
    return turned


def test_no_gradient_flows_through_the_picture_or_the_earlier_poses(mug, one_view):
    states, K = one_view[1], one_view[0].oracle.protocol.cameras.K[:3]
    picture = torch.from_numpy(mug[1][4:7]).requires_grad_()
    renderer = OnePicture(picture, torch.from_numpy(K))
    earlier = replace(
        states, poses=states.poses.requires_grad_(), depths=states.depths.requires_grad_()
    )
    d = directions(3).requires_grad_()
    detached_step(d, earlier, renderer, DepthFusion(), RAW).loss.sum().backward()
    assert renderer.asked is not None and not renderer.asked.requires_grad
    assert picture.grad is None
    assert earlier.poses.grad is None and earlier.depths.grad is None
    assert d.grad is not None and float(d.grad.norm()) > 0


def test_descent_leads_away_from_the_first_view_of_a_ball(small_protocol):
    """As derived: the observed patch is pulled over the unseen side, whichever way it lies."""
    ball = ellipsoid((1.0, 1.0, 1.0))
    mesh = normalise(Mesh(vertices=ball.vertices, faces=ball.faces))
    oracle = build_oracle(mesh, replace(small_protocol, max_single_coverage=1.0))
    states = States(oracle, np.zeros((6, 1), np.int32))
    inputs = detached_states(states, render_depth(mesh, small_protocol))
    angles = torch.linspace(0.5, 2.6, 6).double()
    d = torch.stack([angles.sin(), torch.zeros(6), angles.cos()], dim=-1).requires_grad_()
    renderer = MeshDepths(lambda number: mesh, image_size=32)
    detached_step(d, inputs, renderer, DepthFusion(), RAW).loss.sum().backward()
    away = torch.stack([angles.cos(), torch.zeros(6), -angles.sin()], dim=-1)
    down = -(d.grad * away).sum(-1)
    assert (down > 0).all(), down


def test_normalised_losses_are_the_ratio_and_the_regret(mug, mug_oracle, small_protocol):
    """At a candidate's own direction the range gives its regret, and `before` one minus RRI."""
    states = States(mug_oracle, np.array([[2], [9]], np.int32))
    after = candidate_chamfers(states, squared=True)
    worth = after.argmin(axis=1)
    settings = DetachedSettings(normalise="range")
    inputs = detached_states(states, mug[1], settings=settings)
    frames = inputs.frames.numpy()
    world = small_protocol.directions[worth]
    d = torch.from_numpy(np.einsum("bij,bi->bj", frames, world))
    renderer = MeshDepths(lambda number: mug[0], image_size=32)
    step = detached_step(d, inputs, renderer, DepthFusion(), settings)
    assert step.loss.abs().max() < 0.02
    ratio = detached_step(d, inputs, renderer, DepthFusion(), DetachedSettings()).loss.numpy()
    before = mug_oracle.chamfer(states.sets, squared=True)
    np.testing.assert_allclose(ratio, after.min(axis=1) / before, rtol=0.02)
    given = replace(inputs, before=torch.full((2,), 0.5))
    halved = detached_step(d, given, renderer, DepthFusion(), DetachedSettings())
    torch.testing.assert_close(halved.loss, 2 * step.chamfer)


@dataclass
class Alike:
    """Fuses depth, and insists that all it is given is of one kind."""

    kind: torch.dtype
    name: str = "alike"

    def reconstruct(self, depths: Tensor, poses: Tensor, intrinsics: Tensor) -> SurfacePoints:
        assert {x.dtype for x in (depths, poses, intrinsics)} == {self.kind}
        return DepthFusion().reconstruct(depths, poses, intrinsics)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_everything_follows_the_direction(mug, one_view, kind):
    """On a GPU the direction is there and the rest comes from arrays; what stays behind stops it.

    The unnormalised, measured and given divisor each take another way through the code.
    """
    renderer = MeshDepths(lambda number: mug[0], image_size=32)
    given = replace(one_view[1], before=torch.full((3,), 0.5, dtype=torch.float16))
    for states, settings in (
        (one_view[1], RAW),
        (one_view[1], DetachedSettings()),
        (given, DetachedSettings()),
    ):
        d = directions(3).to(kind).requires_grad_()
        step = detached_step(d, states, renderer, Alike(kind), settings)
        step.loss.sum().backward()
        assert {x.dtype for x in (step.loss, step.chamfer, step.pose, d.grad)} == {kind}


def test_states_and_new_views_move_to_another_device_whole(one_view):
    """`meta` has no values, so nothing can be computed on it; but it is a device of its own."""
    like = torch.empty(0, dtype=torch.float32, device="meta")
    states = replace(one_view[1], spread=torch.rand(3, 2), before=torch.rand(3)).to(like)
    tensors = {f.name: getattr(states, f.name) for f in fields(states)}
    tensors = {name: x for name, x in tensors.items() if isinstance(x, Tensor)}
    assert len(tensors) == 7
    assert {name for name, x in tensors.items() if x.device.type != "meta"} == set()
    assert states.present.dtype == torch.bool and states.depths.dtype == torch.float32
    new = NewViews(
        depth=torch.zeros(1, 4, 4),
        poses=torch.zeros(1, 4, 4).to(like),
        intrinsics=torch.eye(3)[None],
    )
    assert {x.device.type for x in new.row(0)} == {"meta"}


def test_fusion_follows_the_poses(mug, small_protocol):
    cameras = small_protocol.cameras[slice(0, 1)]
    depth, K = torch.from_numpy(mug[1][:1]).double(), torch.from_numpy(cameras.K)
    poses = torch.from_numpy(cameras.cam2world).float()
    assert DepthFusion().reconstruct(depth, poses, K).points.dtype == torch.float32


def test_what_cannot_be_normalised_is_refused(one_view, mug):
    with pytest.raises(PolicyError, match="sums"):
        DetachedSettings(sums=True, normalise="range")
    renderer = MeshDepths(lambda number: mug[0], image_size=32)
    with pytest.raises(PolicyError, match="spread"):
        detached_step(
            directions(3),
            one_view[1],
            renderer,
            DepthFusion(),
            DetachedSettings(normalise="range"),
        )


def test_shorter_states_use_their_own_views_only(mug, mug_oracle):
    both = States(mug_oracle, np.array([[2, -1], [9, 4]], np.int32))
    alone = States(mug_oracle, np.array([[2]], np.int32))
    found = chamfer_with(detached_states(both, mug[1]), None, DepthFusion(), RAW)
    expected = chamfer_with(detached_states(alone, mug[1]), None, DepthFusion(), RAW)
    assert found[0] == expected[0]
    assert found[1] < found[0]


def test_rows_are_states_of_their_own(mug, one_view):
    states = replace(one_view[1], spread=torch.rand(3, 2), before=torch.rand(3))
    picked, d = states.rows([2, 0]), directions(3)
    renderer = MeshDepths(lambda number: mug[0], image_size=32)
    for divisor in ("before", "range"):
        settings = DetachedSettings(normalise=divisor)
        whole = detached_step(d, states, renderer, DepthFusion(), settings).loss
        part = detached_step(d[[2, 0]], picked, renderer, DepthFusion(), settings).loss
        torch.testing.assert_close(part, whole[[2, 0]])


def test_each_object_is_rendered_from_its_own_poses(mug, small_protocol):
    other = make_shape("chair", 1)
    renderer = MeshDepths(lambda number: (mug[0], other)[number], image_size=32)
    poses = torch.from_numpy(small_protocol.cameras.cam2world[:4])
    depth, K = renderer.render([0, 1, 0, 1], poses)
    np.testing.assert_array_equal(depth[[0, 2]].numpy(), mug[1][[0, 2]])
    np.testing.assert_array_equal(depth[[1, 3]], render_depth(other, small_protocol)[[1, 3]])
    np.testing.assert_allclose(K.numpy(), small_protocol.cameras.K[:4])


# --- hooks


class TwoParts(nn.Module):
    """A policy whose second part can be cut off."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.first, self.second, self.cut = nn.Linear(3, 4), nn.Linear(4, 3), cut

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.first(x)
        return {"direction": self.second(hidden.detach() if self.cut else hidden)}


@pytest.mark.parametrize("cut", [False, True])
def test_flow_names_the_part_after_which_the_gradient_is_gone(mug, one_view, cut):
    torch.manual_seed(0)
    policy, renderer = TwoParts(cut), MeshDepths(lambda number: mug[0], image_size=32)
    with GradientFlow(policy) as flow:
        out = policy(torch.ones(3, 3) + torch.eye(3))["direction"]
        step = detached_step(out, one_view[1], renderer, DepthFusion(), RAW)
        step.pose.retain_grad()
        flow.watch_pose(step.pose)
        step.loss.sum().backward()
    numbers = flow.numbers()
    expected = float(step.pose.grad[:, :3, 3].double().norm())
    assert numbers["flow/pose/translation"] == pytest.approx(expected)
    assert numbers["flow/pose/rotation"] > 0
    assert numbers["flow/first/missing"] == float(cut)
    assert numbers["flow/second/missing"] == 0.0
    assert numbers["flow/second/gradient"] > 0
    assert ("flow/first/gradient" in numbers) is not cut


def test_flow_counts_zeros_and_nan_and_lets_go():
    policy = TwoParts(cut=False)
    with GradientFlow(policy) as flow:
        out = policy(torch.ones(2, 3))["direction"]
        (out * torch.tensor([0.0, 1.0, torch.nan])).sum().backward()
    assert flow.numbers()["flow/second/zero_share"] == pytest.approx(1 / 3)
    assert flow.numbers()["flow/second/nan_share"] == pytest.approx(1 / 3)
    before = flow.numbers()
    policy(torch.ones(2, 3))["direction"].sum().backward()
    assert flow.numbers() == before
