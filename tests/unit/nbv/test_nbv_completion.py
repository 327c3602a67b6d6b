"""The completion net and its grids: mass, codes, symmetries, gradients, distances, scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gimbal_nbv.building import build_oracle, render_depth
from gimbal_nbv.errors import PolicyError
from gimbal_nbv.holding_out import folds_of, held_out
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies.completion import CompletionPolicy
from gimbal_nbv.protocol import BALL_RADIUS, SphereProtocol
from gimbal_nbv.rays import ray_table
from gimbal_nbv.reconstruction.completion import Completion
from gimbal_nbv.reconstruction.completion_data import (
    SYMMETRIES,
    codes_of_extensions,
    codes_of_sets,
    completion_sample,
    one_hot,
    surface_target,
    turned,
    turned_vectors,
)
from gimbal_nbv.reconstruction.completion_feature import completion_scores
from gimbal_nbv.reconstruction.completion_net import (
    CompletionNet,
    _fold,
    _unfold,
    completion_loss,
)
from gimbal_nbv.reconstruction.completion_quality import (
    average_precision,
    intersection_over_union,
)
from gimbal_nbv.reconstruction.soft_grid import carve_free, soft_codes, splat, unproject
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.states import States, sample_states
from gimbal_nbv.voxels import FREE, SURFACE, UNKNOWN
from gimbal_vision.meshes import normalise

GRID = 16
Views = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def mug_views(small_protocol: SphereProtocol) -> Views:
    """Two depth images of the mug with poses and intrinsics, in double precision."""
    depth = render_depth(normalise(make_shape("mug", 3)), small_protocol)[:2]
    cameras = small_protocol.cameras[[0, 1]]
    arrays = (depth, cameras.cam2world, cameras.K)
    return tuple(torch.as_tensor(a, dtype=torch.float64) for a in arrays)


def net(width: int = 4) -> CompletionNet:
    torch.manual_seed(0)
    return CompletionNet(width)


class Fixed:
    """A completion that guesses what it is told, in the middle of every voxel."""

    def __init__(self, chances: np.ndarray) -> None:
        self.chances = chances.astype(np.float32)

    def predict(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = len(codes)
        places = np.zeros((count, self.chances.size, 3), np.float32)
        return np.tile(self.chances.reshape(1, -1), (count, 1)), places


def never() -> CompletionNet:
    """A net that expects no surface anywhere."""
    silent = net()
    with torch.no_grad():
        silent.head.weight.zero_()
        silent.head.bias.fill_(-50.0)
    return silent


def test_splatting_conserves_mass_also_outside_the_cube() -> None:
    points = 0.8 * torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    assert points.abs().max() > BALL_RADIUS
    for softness in (1.0, 0.4, 0.01):
        assert float(splat(points, GRID, softness).sum()) == pytest.approx(500, rel=1e-5)


def test_a_trilinear_splat_keeps_the_centre_of_mass() -> None:
    """Only linear shares do: the mean of the voxel centres is the point itself."""
    point = torch.tensor([[0.11, -0.23, 0.049]], dtype=torch.float64)
    mass = splat(point, GRID, 1.0).reshape(GRID, GRID, GRID)
    line = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID - BALL_RADIUS
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        assert float(mass.sum(others) @ line) == pytest.approx(float(point[0, axis]))


def test_a_hard_splat_counts_points_in_voxels() -> None:
    points = 0.9 * (torch.rand(400, 3, generator=torch.Generator().manual_seed(1)) - 0.5)
    cells = torch.floor((points + BALL_RADIUS) * GRID).long()
    counts = torch.bincount((cells[:, 0] * GRID + cells[:, 1]) * GRID + cells[:, 2])
    mass = splat(points, GRID, 1e-6)
    torch.testing.assert_close(mass[: len(counts)], counts.float(), atol=1e-3, rtol=0)


def test_soft_codes_look_like_the_codes_the_net_was_trained_on(
    mug_views: Views, mug_oracle: OracleMap
) -> None:
    hard = mug_oracle.codes(np.array([0, 1], dtype=np.int32))
    free = carve_free(*mug_views, GRID).numpy().reshape(hard.shape)
    assert np.array_equal(free & (hard != SURFACE), hard == FREE)
    soft = soft_codes(*mug_views, GRID)
    torch.testing.assert_close(soft.sum(0), torch.ones_like(soft[0]))
    assert float(soft[2][torch.from_numpy(hard == SURFACE)].mean()) > 0.9
    assert np.mean(soft.argmax(0).numpy() == hard) > 0.97


@pytest.mark.parametrize("keep_measured", [False, True])
def test_the_gradient_of_the_poses_is_the_finite_difference(
    mug_views: Views, keep_measured: bool
) -> None:
    """A scalar of points and weights, along random directions of all poses' rotations and places.

    The threshold is so low that the set of points stays the same.
    """
    depths, poses, intrinsics = mug_views
    completion = Completion(net().double(), threshold=1e-9, keep_measured=keep_measured, grid=GRID)

    def value(moved: torch.Tensor) -> torch.Tensor:
        found = completion.reconstruct(depths, moved, intrinsics)
        assert found.weights is not None
        probe = found.points.square().sum(1) + found.points @ found.points.new_tensor([1, 2, 3])
        return (found.weights * probe).sum() / found.weights.sum()

    poses = poses.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(poses), poses)
    generator = torch.Generator().manual_seed(2)
    step = 1e-6
    for _ in range(3):
        way = torch.randn(poses.shape, generator=generator, dtype=torch.float64)
        way[:, 3] = 0
        with torch.no_grad():
            difference = (value(poses + step * way) - value(poses - step * way)) / (2 * step)
        assert float((gradient * way).sum()) == pytest.approx(float(difference), rel=1e-4)
        assert abs(float(difference)) > 1e-6


def test_poses_may_be_more_precise_than_the_net(mug_views: Views) -> None:
    for keep_measured in (False, True):
        completion = Completion(net(), 1e-9, keep_measured, GRID)
        found = completion.reconstruct(*mug_views)
        assert found.weights is not None
        assert len(found.points) == len(found.weights) > GRID**3 / 2
        assert torch.isfinite(found.points).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_points_are_like_the_poses_whatever_the_net_is(mug_views: Views, kind: torch.dtype) -> None:
    """Poses follow the policy to its device, the net stays where it was loaded."""
    depths, poses, intrinsics = mug_views
    for module in (net(), net().double()):
        for keep_measured in (False, True):
            completion = Completion(module, 1e-9, keep_measured, GRID)
            found = completion.reconstruct(depths, poses.to(kind), intrinsics)
            assert found.weights is not None
            assert {found.points.dtype, found.weights.dtype} == {kind}
    codes = np.zeros((1, GRID, GRID, GRID), np.uint8)
    assert Completion(net().double(), grid=GRID).predict(codes)[0].dtype == np.float32


@pytest.mark.parametrize("keep_measured", [False, True])
def test_the_same_picture_twice_is_no_new_evidence(mug_views: Views, keep_measured: bool) -> None:
    """The mean place of the surface stays; of another picture it would not."""
    completion = Completion(net().double(), 0.3, keep_measured, GRID)

    def centre(*views: int) -> torch.Tensor:
        found = completion.reconstruct(*(part[list(views)] for part in mug_views))
        assert found.weights is not None
        return (found.weights[:, None] * found.points).sum(0) / found.weights.sum()

    torch.testing.assert_close(centre(0, 0), centre(0), rtol=0, atol=1e-9)
    assert (centre(0, 1) - centre(0)).norm() > 1e-4


def test_unprojection_is_that_of_the_cameras(
    mug_views: Views, small_protocol: SphereProtocol
) -> None:
    depths = mug_views[0].numpy()
    points = small_protocol.cameras[[0, 1]].unproject(depths)[depths > 0]
    np.testing.assert_allclose(unproject(*mug_views).numpy(), points, atol=1e-6)


def test_blocks_of_voxels_become_channels_and_back() -> None:
    x = torch.rand(2, 3, 8, 8, 8)
    torch.testing.assert_close(_unfold(_fold(x)), x, rtol=0, atol=0)
    torch.testing.assert_close(_fold(x)[0, :8, 0, 0, 0], x[0, 0, :2, :2, :2].flatten())


def test_a_grid_that_cannot_be_halved_says_so() -> None:
    with pytest.raises(PolicyError, match="12 voxels"):
        net()(torch.zeros(1, 3, 12, 12, 12))


def test_the_48_turns_differ_and_turn_places_with_their_voxels(mug_oracle: OracleMap) -> None:
    """Turning the samples and describing them equals describing them and turning the grid."""
    marked = np.arange(27).reshape(3, 3, 3)
    assert len({turned(marked, n).tobytes() for n in range(SYMMETRIES)}) == SYMMETRIES
    silent = replace(mug_oracle, surface=np.zeros_like(mug_oracle.surface))
    held, offsets = surface_target(silent)
    for symmetry in range(0, SYMMETRIES, 5):
        basis = np.stack([turned_vectors(np.eye(3)[:, n].reshape(3, 1, 1, 1), symmetry).ravel()
                          for n in range(3)])  # fmt: skip
        moved = (mug_oracle.samples @ basis).astype(np.float32)
        found, places = surface_target(replace(silent, samples=moved))
        assert np.array_equal(found, turned(held, symmetry))
        np.testing.assert_allclose(places, turned_vectors(offsets, symmetry), atol=1e-4)


def test_codes_of_many_sets_are_those_of_each(mug_oracle: OracleMap) -> None:
    sets = np.array([[3, -1, -1], [0, 5, 9]], dtype=np.int32)
    codes = codes_of_sets(mug_oracle, sets)
    assert np.array_equal(codes[0], mug_oracle.codes(sets[0, :1]))
    assert np.array_equal(codes[1], mug_oracle.codes(sets[1]))
    extended = codes_of_extensions(mug_oracle, sets[1])
    assert np.array_equal(extended[7], mug_oracle.codes(np.array([0, 5, 9, 7])))
    assert np.array_equal(extended[5], codes[1])


def test_samples_repeat_and_hold_every_number_of_views(mug_oracle: OracleMap) -> None:
    one, same = (completion_sample(mug_oracle, [7, 3], turn=False) for _ in range(2))
    assert np.array_equal(one.codes, same.codes)
    known = {int((completion_sample(mug_oracle, [0, n]).codes == FREE).sum()) for n in range(20)}
    assert len(known) > 10
    assert one.surface[one.codes == SURFACE].all(), "what was measured belongs to the surface"


def test_losses_of_parts_add_up_to_the_loss_of_the_whole(mug_oracle: OracleMap) -> None:
    """Only then do several workers train what one would."""
    samples = [completion_sample(mug_oracle, [n]) for n in range(4)]
    codes = torch.from_numpy(one_hot(np.stack([s.codes for s in samples])))
    surface = torch.from_numpy(np.stack([s.surface for s in samples]).astype(np.float32))
    offsets = torch.from_numpy(np.stack([s.offsets for s in samples]))
    module = net()
    whole = completion_loss(module, codes, surface, offsets)
    parts = [completion_loss(module, codes[p], surface[p], offsets[p]) for p in ([0], [1, 2, 3])]
    for name, (total, count) in whole.items():
        torch.testing.assert_close(parts[0][name][0] + parts[1][name][0], total)
        assert float(parts[0][name][1] + parts[1][name][1]) == float(count)
    assert torch.isfinite(whole["offset"][0])


@pytest.mark.parametrize("keep_measured", [False, True])
def test_extensions_are_measured_as_sets_of_their_own(
    mug_oracle: OracleMap, keep_measured: bool
) -> None:
    completion = Completion(net().eval(), 0.4, keep_measured, GRID)
    views = np.array([2, 8], dtype=np.int32)
    extended = completion.chamfer_extended(mug_oracle, views)
    sets = np.array([[2, 8, 5], [2, 8, 11], [2, 8, -1]], dtype=np.int32)
    np.testing.assert_allclose(extended[[5, 11, 8]], completion.chamfer(mug_oracle, sets))
    ratios = completion.chamfer_ratios(mug_oracle, views[None])
    assert ratios.shape == (1, mug_oracle.views)
    assert not ratios[0, views].any()
    assert np.count_nonzero(ratios) == mug_oracle.views - 2


def test_without_guesses_the_measured_points_are_depth_fusion(mug_oracle: OracleMap) -> None:
    completion = Completion(never(), 0.4, True, GRID)
    sets = sample_states(mug_oracle, 5, np.random.default_rng(0)).sets
    np.testing.assert_allclose(
        completion.chamfer(mug_oracle, sets), mug_oracle.chamfer(sets), rtol=1e-6
    )


def test_an_empty_reconstruction_is_as_far_as_the_ball_is_wide(mug_oracle: OracleMap) -> None:
    found = Completion(never(), 0.4, False, GRID).chamfer(mug_oracle, np.array([[0]], np.int32))
    np.testing.assert_allclose(found, 1.0)


def test_expected_surface_is_counted_once_and_only_where_rays_reach(
    mug_oracle: OracleMap,
) -> None:
    """One certain voxel: unknown and in sight, it counts 1; behind measured surface, nothing."""
    sets = np.array([[0]], dtype=np.int32)
    codes = codes_of_sets(mug_oracle, sets)[0].reshape(-1)
    assert not completion_scores(mug_oracle, sets, Fixed(np.zeros(GRID**3))).any()
    table = ray_table(mug_oracle.protocol)
    rays = (len(table.starts) - 1) // mug_oracle.views
    target = int(np.flatnonzero(codes == UNKNOWN)[40])
    chances = np.zeros(GRID**3)
    chances[target] = 1
    scores = completion_scores(mug_oracle, sets, Fixed(chances))[0]
    for view in range(mug_oracle.views):
        reached = 0
        for ray in range(view * rays, (view + 1) * rays):
            path = table.voxels[table.starts[ray] : table.starts[ray + 1]]
            stops = np.append(np.flatnonzero(codes[path] == SURFACE), len(path))
            reached += target in path[: stops[0]]
        assert scores[view, 0] == pytest.approx((reached > 0) / GRID**2)
        assert scores[view, 1] == pytest.approx(reached / rays, rel=1e-4)


def test_the_policy_prefers_the_side_where_surface_is_expected(mug_oracle: OracleMap) -> None:
    """All unknown voxels alike: the view taken shows least of them."""
    policy = CompletionPolicy(Fixed(np.full(GRID**3, 0.2)))
    scores = policy.scores(States(mug_oracle, np.array([[4]], np.int32)), None)[0]
    away = mug_oracle.protocol.directions @ mug_oracle.protocol.directions[4]
    assert np.corrcoef(scores, away)[0, 1] < -0.3
    assert scores[4] < np.median(scores)


def test_precision_and_overlap_by_hand() -> None:
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 3, 2, 1]), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.ones(4), truth) == pytest.approx(0.5), "a tie is no order"
    assert intersection_over_union(np.array([True, True, False, False]), truth) == 1 / 3


def test_families_are_held_out_whole_and_dealt_to_one_fold() -> None:
    families = {f"{family}-{n}": family for family in "abcdef" for n in range(3)}
    held = held_out(families, 0.3, 0)
    assert len(held) == 6
    assert len({families[name] for name in held}) == 2
    folds = folds_of(families, 3, 0)
    assert set(folds.values()) == {0, 1, 2}
    assert all(folds[f"{family}-0"] == folds[f"{family}-2"] for family in "abcdef")


@pytest.mark.slow
def test_the_net_completes_objects_of_a_family_it_never_saw(
    small_protocol: SphereProtocol,
) -> None:
    """Trained on a few bowls and tables, it orders a mug's voxels better than measuring does."""
    seen = [build_oracle(make_shape(name, n), small_protocol)
            for name, n in (("bowl", 1), ("bottle", 2), ("table", 3), ("vase", 4))]  # fmt: skip
    unseen = build_oracle(make_shape("mug", 3), small_protocol)
    module = net(8)
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    for step in range(60):
        loss = sum(
            total / count
            for total, count in completion_loss(
                module, *_batch([seen[n % 4] for n in range(8)], step)
            ).values()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes, surface, _ = _batch([unseen] * 12, 999)
    with torch.no_grad():
        chances = torch.sigmoid(module.eval()(codes)[0]).numpy()
    truth = surface.numpy() > 0
    learned, trivial = (
        np.mean(
            [average_precision(g.ravel(), t.ravel()) for g, t in zip(guess, truth, strict=True)]
        )
        for guess in (chances, codes[:, SURFACE].numpy())
    )
    assert learned > trivial + 0.05


def _batch(oracles: list[OracleMap], seed: int) -> tuple[torch.Tensor, ...]:
    samples = [completion_sample(o, [seed, n]) for n, o in enumerate(oracles)]
    return (
        torch.from_numpy(one_hot(np.stack([s.codes for s in samples]))),
        torch.from_numpy(np.stack([s.surface for s in samples]).astype(np.float32)),
        torch.from_numpy(np.stack([s.offsets for s in samples])),
    )
