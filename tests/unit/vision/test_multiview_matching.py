"""Patches that match, and the upright alignment that follows from them."""

import math

import pytest
import torch

from gimbal_vision.multiview.losses.match_term import (
    UNMATCHED_WEIGHT,
    match_counts,
    match_sums,
    match_targets,
)
from gimbal_vision.multiview.matched_pose import MatchedPoseHead, probable_pairs
from gimbal_vision.multiview.matching import Matches
from gimbal_vision.multiview.patches import Patches, patches_of
from gimbal_vision.multiview.pose_graph import pair_numbers, place_views
from gimbal_vision.multiview.registration import Alignment, Pairs, align, turned
from gimbal_vision.multiview.shape import ModelShape
from gimbal_vision.multiview.views import Truth

ROWS, COLUMNS, PATCH = 4, 36, 2
HEIGHT, WIDTH = ROWS * PATCH, COLUMNS * PATCH
VFOV = math.radians(40)
WALL_M = 20.0


def rotation(heading):
    c, s = math.cos(heading), math.sin(heading)
    return torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)


def rays():
    azimuth = 2 * math.pi * ((torch.arange(WIDTH, dtype=torch.float64) + 0.5) / WIDTH - 0.5)
    down = VFOV * ((torch.arange(HEIGHT, dtype=torch.float64) + 0.5) / HEIGHT - 0.5)
    down, azimuth = torch.meshgrid(down, azimuth, indexing="ij")
    level = down.cos()
    return torch.stack([azimuth.sin() * level, down.sin(), azimuth.cos() * level], dim=-1)


def in_a_round_room(places, headings):
    """Views inside a wall of radius WALL_M around the origin, seen by panoramas."""
    poses = torch.eye(4, dtype=torch.float64).repeat(len(places), 1, 1)
    for pose, place, heading in zip(poses, places, headings, strict=True):
        pose[:3, :3] = rotation(heading)
        pose[:3, 3] = torch.tensor(place, dtype=torch.float64)
    world = torch.einsum("nij,hwj->nhwi", poses[:, :3, :3], rays())
    x, z = poses[:, None, None, 0, 3], poses[:, None, None, 2, 3]
    a = world[..., 0] ** 2 + world[..., 2] ** 2
    b = world[..., 0] * x + world[..., 2] * z
    ranges = ((-b + (b * b - a * (x * x + z * z - WALL_M**2)).sqrt()) / a)[None]
    known = torch.ones_like(ranges, dtype=torch.bool)
    return Truth(
        camera_pose=poses[None],
        pts3d_cam=rays() * ranges[..., None],
        ray_directions_cam=rays(),
        depth_along_ray=ranges[..., None],
        valid_mask=known,
        non_ambiguous_mask=known,
        present=torch.ones(1, len(places), dtype=torch.bool),
        is_metric_scale=torch.ones(1, dtype=torch.bool),
        is_synthetic=torch.ones(1, dtype=torch.bool),
    )


def truth_patches(truth):
    known = truth.valid_mask.double()
    return patches_of(
        truth.ray_directions_cam, truth.depth_along_ray[..., 0], known, (ROWS, COLUMNS)
    )


ROOM = ([(0, 0, 0), (6, 0.3, 4), (-5, 0, 7)], [0.4, 2.5, -1.0])


def pairs_of(heading, translation, *, outliers=0, points=80, seed=0):
    torch.manual_seed(seed)
    there = (torch.rand(1, points, 3, dtype=torch.float64) - 0.5) * torch.tensor([40.0, 4.0, 40.0])
    here = there @ rotation(heading).T + torch.tensor(translation, dtype=torch.float64)
    wrong = (torch.rand(1, outliers, 3, dtype=torch.float64) - 0.5) * 40
    here = torch.cat([here[:, : points - outliers], wrong], dim=1)
    return Pairs(there=there, here=here, weight=torch.ones(1, points, dtype=torch.float64))


@pytest.mark.parametrize("heading", [0.0, 1.0, math.pi, -2.5])
def test_perfect_pairs_give_the_alignment_exactly(heading):
    translation = (14.0, -0.7, -9.0)
    found = align(pairs_of(heading, translation))
    assert torch.allclose(found.translation[0], torch.tensor(translation).double(), atol=1e-9)
    assert math.atan2(float(found.sine), float(found.cosine)) == pytest.approx(
        math.remainder(heading, 2 * math.pi), abs=1e-9
    ) or abs(heading) == pytest.approx(math.pi)
    assert float(found.cosine) == pytest.approx(math.cos(heading), abs=1e-9)


def test_most_pairs_may_be_wrong():
    found = align(pairs_of(1.2, (10.0, 0.0, 6.0), outliers=55))
    assert torch.allclose(
        found.translation[0, [0, 2]], torch.tensor([10.0, 6.0]).double(), atol=0.3
    )
    assert float(found.support) < 40


def test_the_unit_of_length_does_not_matter():
    pairs = pairs_of(0.7, (12.0, 1.0, 3.0), outliers=20)
    small = Pairs(there=pairs.there / 50, here=pairs.here / 50, weight=pairs.weight)
    assert torch.allclose(align(small).translation * 50, align(pairs).translation, atol=1e-6)


def test_turned_is_the_rotation_about_the_vertical():
    points = torch.randn(1, 5, 3, dtype=torch.float64)
    cosine, sine = torch.tensor([math.cos(0.3)]).double(), torch.tensor([math.sin(0.3)]).double()
    assert torch.allclose(turned(points, cosine, sine), points @ rotation(0.3).T, atol=1e-7)


def test_the_alignment_is_differentiable_in_points_and_weights():
    pairs = pairs_of(0.7, (12.0, 1.0, 3.0), outliers=10)
    noisy = pairs.here + 0.3 * torch.randn_like(pairs.here)
    leaves = [pairs.there.requires_grad_(), noisy.requires_grad_(), pairs.weight.requires_grad_()]
    found = align(Pairs(there=leaves[0], here=leaves[1], weight=leaves[2]))
    (found.translation.sum() + found.sine.sum()).backward()
    for leaf in leaves:
        assert torch.isfinite(leaf.grad).all() and leaf.grad.abs().max() > 0


def test_nothing_to_align_is_finite_with_finite_gradients():
    there = torch.zeros(2, 6, 3, requires_grad=True)
    found = align(Pairs(there=there, here=torch.zeros(2, 6, 3), weight=torch.zeros(2, 6)))
    (found.translation.sum() + found.cosine.sum() + found.support.sum()).backward()
    assert torch.isfinite(found.translation).all() and float(found.support.max()) == 0.0
    assert torch.isfinite(there.grad).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_vote_and_spoils_its_own_pair_of_cameras_alone(bad):
    """A diverged model is judged as one that says nothing; it does not stop its validation."""
    whole = pairs_of(0.4, (3.0, 0.0, 5.0))
    there = torch.cat([whole.there, torch.full_like(whole.there, bad)])
    both = Pairs(there=there, here=whole.here.repeat(2, 1, 1), weight=whole.weight.repeat(2, 1))
    found, alone = align(both), align(whole)
    assert torch.equal(found.translation[:1], alone.translation)
    assert not found.translation[1].isfinite().all()
    weightless = Pairs(there=whole.there, here=whole.here, weight=whole.weight * bad)
    assert not align(weightless).translation.isfinite().all()


def test_targets_are_where_a_point_falls_in_the_other_view():
    """Against azimuth and elevation worked out by hand, which the term never uses."""
    truth = in_a_round_room(*ROOM)
    targets = match_targets(truth, (ROWS, COLUMNS))
    patches, poses = truth_patches(truth), truth.camera_pose[0]
    right = total = 0
    for m, (i, j) in enumerate(zip(targets.source.tolist(), targets.target.tolist(), strict=True)):
        world = patches.points[0, i] @ poses[i, :3, :3].T + poses[i, :3, 3]
        local = (world - poses[j, :3, 3]) @ poses[j, :3, :3]
        azimuth = torch.atan2(local[:, 0], local[:, 2])
        down = torch.asin(local[:, 1] / local.norm(dim=-1))
        column = ((azimuth / (2 * math.pi) + 0.5) * COLUMNS).floor().long() % COLUMNS
        row = ((down / VFOV + 0.5) * ROWS).floor().long()
        inside = (row >= 0) & (row < ROWS)
        label = targets.label[0, m]
        seen = label < ROWS * COLUMNS
        assert not (seen & ((row < -1) | (row > ROWS))).any()
        right += int((label == row * COLUMNS + column)[seen & inside].sum())
        total += int((seen & inside).sum())
    assert total > 250
    assert right / total > 0.97


def test_a_hidden_point_matches_nothing():
    truth = in_a_round_room([(0, 0, 0), (4, 0, 0)], [0.0, 0.0])
    truth.depth_along_ray[:, 1] = 2.0
    targets = match_targets(truth, (ROWS, COLUMNS))
    assert (targets.label[0, 0] == ROWS * COLUMNS).all()
    assert torch.allclose(targets.weight[0, 0], torch.tensor(UNMATCHED_WEIGHT).double())


@pytest.mark.parametrize(("known_share", "taught"), [(0.3, True), (0.0, False)])
def test_sparse_ranges_teach_what_they_know_and_nothing_else(known_share, taught):
    """A LiDAR's few returns place a patch; without any, "nothing matches" would be a lie."""
    truth = in_a_round_room(*ROOM)
    whole = match_counts(match_targets(truth, (ROWS, COLUMNS)))
    torch.manual_seed(0)
    truth.valid_mask[:] = torch.rand(truth.valid_mask.shape) < known_share
    truth.depth_along_ray[~truth.valid_mask] = 0.0
    solid = Truth(**{**vars(truth), "non_ambiguous_mask": torch.ones_like(truth.valid_mask)})
    counts = match_counts(match_targets(solid, (ROWS, COLUMNS)))
    assert float(counts["match"]) < float(whole["match"])
    assert (float(counts["match_right"]) > 0.3 * float(whole["match_right"])) == taught
    if not taught:
        assert float(counts["match"]) == 0.0


def test_absent_views_count_nothing():
    truth = in_a_round_room(*ROOM)
    whole = match_counts(match_targets(truth, (ROWS, COLUMNS)))
    truth.present[0, 2] = False
    part = match_counts(match_targets(truth, (ROWS, COLUMNS)))
    two = match_counts(match_targets(in_a_round_room(*(x[:2] for x in ROOM)), (ROWS, COLUMNS)))
    assert float(part["match"]) == pytest.approx(float(two["match"]))
    assert float(part["match"]) < float(whole["match"])


def told_apart(truth):
    """Descriptors that name the place on the wall: what a perfect network would say."""
    patches, poses = truth_patches(truth), truth.camera_pose
    world = patches.points @ poses[..., :3, :3].mT + poses[..., None, :3, 3]
    around = torch.atan2(world[..., 0], world[..., 2])
    up = world[..., 1] / WALL_M
    waves = torch.arange(1, 9).double()
    seen = torch.cat(
        [(around[..., None] * waves).sin(), (around[..., None] * waves).cos(),
         3 * (up[..., None] * 4).sin(), 3 * (up[..., None] * 4).cos()],
        dim=-1,
    )  # fmt: skip
    return Matches(
        descriptors=torch.nn.functional.normalize(seen, dim=-1),
        unmatched=torch.full(patches.share.shape, 60.0).double(),
        temperature=torch.tensor(80.0).double(),
        grid=(ROWS, COLUMNS),
    ), patches


def test_matched_patches_say_where_the_views_stand():
    truth = in_a_round_room(*ROOM)
    matches, patches = told_apart(truth)
    first, second = pair_numbers(3, patches.share.device)
    found = align(probable_pairs(matches, patches, (first[:2], second[:2])))
    wanted = torch.linalg.inv(truth.camera_pose[0, 0]) @ truth.camera_pose[0, 1:]
    off = (found.translation - wanted[:, :3, 3])[:, [0, 2]].norm(dim=-1)
    assert float(off.max()) < 0.7
    turn = torch.atan2(found.sine, found.cosine) - torch.atan2(wanted[:, 0, 2], wanted[:, 2, 2])
    assert float(turn.sin().abs().max()) < math.radians(3)


def test_right_matches_cost_less_than_wrong_ones():
    truth = in_a_round_room(*ROOM)
    targets = match_targets(truth, (ROWS, COLUMNS))
    matches, _ = told_apart(truth)
    shuffled = Matches(
        descriptors=matches.descriptors.flip(2), unmatched=matches.unmatched,
        temperature=matches.temperature, grid=matches.grid,
    )  # fmt: skip
    good, bad = match_sums(matches, targets), match_sums(shuffled, targets)
    assert float(good["match"]) < 0.5 * float(bad["match"])
    assert float(good["match_right"]) > 5 * float(bad["match_right"])


def test_the_head_falls_back_where_nothing_matches_and_fixes_view_0():
    torch.manual_seed(0)
    head = MatchedPoseHead(ModelShape(dim=32, heads=2, pose_hidden=16)).double()
    truth = in_a_round_room(*ROOM)
    patches = truth_patches(truth)
    nothing = Patches(
        rays=patches.rays, log_range=patches.log_range, share=torch.zeros_like(patches.share)
    )
    tokens = torch.randn(1, 3, ROWS * COLUMNS, 32, dtype=torch.float64)
    translation, quaternion, _ = head(tokens, nothing, (ROWS, COLUMNS))
    guess = head.place(head.regress(head.pool(tokens)))
    assert torch.allclose(translation[:, 1:], guess[:, 1:, :3])
    assert torch.equal(translation[:, 0], torch.zeros(1, 3).double())
    assert torch.equal(quaternion[:, 0], torch.tensor([[0.0, 0.0, 0.0, 1.0]]).double())
    assert torch.allclose(quaternion.norm(dim=-1), torch.ones(1, 3).double())


def chain(supports, poses):
    """Exact alignments of all pairs of upright poses, with given supports."""
    first, second = pair_numbers(len(poses), torch.device("cpu"))
    relative = torch.linalg.inv(poses[first]) @ poses[second]
    return Alignment(
        cosine=relative[:, 2, 2],
        sine=relative[:, 0, 2],
        translation=relative[:, :3, 3],
        support=torch.tensor(supports, dtype=torch.float64),
    )


def test_views_are_placed_along_the_best_supported_path():
    poses = in_a_round_room(
        [(0, 0, 0), (6, 0.3, 4), (-5, 0, 7), (1, 0.1, -8)], [0.4, 2.5, -1.0, 3.0]
    ).camera_pose[0]
    found = chain([20.0, 0.0, 0.0, 15.0, 0.0, 12.0], poses)
    wrong = found.translation.clone()
    wrong[1] += 30.0
    wrong[2] -= 30.0
    found = Alignment(
        cosine=found.cosine, sine=found.sine, translation=wrong, support=found.support
    )
    placed = place_views(found, 1, 4)
    wanted = torch.linalg.inv(poses[0]) @ poses
    assert torch.allclose(placed.translation[0], wanted[:, :3, 3], atol=1e-9)
    heading = torch.stack([wanted[:, 2, 2], wanted[:, 0, 2]], dim=-1)
    assert torch.allclose(placed.heading[0], heading, atol=1e-9)
    assert placed.support[0, 1:].tolist() == pytest.approx([20.0, 0.7 * 15, 0.7 * 0.7 * 15])


def test_a_direct_alignment_is_kept_where_a_detour_is_hardly_better():
    poses = in_a_round_room(*ROOM).camera_pose[0]
    placed = place_views(chain([10.0, 8.0, 11.0], poses), 1, 3)
    assert placed.support[0, 2] == 8.0
