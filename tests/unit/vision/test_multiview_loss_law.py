"""Sums and counts: parts of a batch add up to the whole, and only what is there counts."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from multiview_loss_support import (
    compose,
    perfect,
    random_factors,
    random_predictions,
    random_truth,
    select,
    select_views,
)

from gimbal_vision.multiview.losses.presets import READINGS, TERMS, LossWeights
from gimbal_vision.multiview.losses.total import MultiViewLoss
from gimbal_vision.multiview.views import Predictions, Truth

LOSS = MultiViewLoss(LossWeights(), pairwise=True, wraps=True)
SHAPE = (4, 3, 4, 6)
LENGTHS = ("world_points", "cam_points", "depth", "pose_trans", "scale")
"""Terms whose lengths are divided by the normaliser."""


def ragged(seed: int) -> Truth:
    """Return a truth of four samples: all there, two views, one view, and one without any range."""
    truth = random_truth(SHAPE, seed)
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 0, 0], [1, 1, 1]], dtype=torch.bool)
    truth = replace(
        truth,
        present=present,
        is_metric_scale=torch.tensor([True, False, True, True]),
        is_synthetic=torch.from_numpy(np.random.default_rng(seed).random(4) < 0.5),
    )
    return without_ranges(truth, 3)


def without_ranges(truth: Truth, sample: int) -> Truth:
    """Return a truth that knows no range of one sample."""
    keep = torch.ones(len(truth.present), dtype=torch.bool)
    keep[sample] = False
    keep = keep[:, None, None, None]
    return replace(
        truth,
        valid_mask=truth.valid_mask & keep,
        depth_along_ray=truth.depth_along_ray * keep[..., None],
        pts3d_cam=truth.pts3d_cam * keep[..., None],
    )


def values(predictions: Predictions, truth: Truth) -> dict[str, np.ndarray]:
    found = LOSS(predictions, truth)
    assert list(found) == [*TERMS, *READINGS]
    return {name: np.array([float(total), float(count)]) for name, (total, count) in found.items()}


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.sets(st.integers(1, 3)), order=st.permutations(range(4)))
def test_however_a_batch_is_split_its_parts_add_up(seed, cuts, order):
    truth = ragged(seed)
    predictions = random_predictions(truth, seed + 1)
    whole = values(predictions, truth)
    edges = [0, *sorted(cuts), 4]
    shares = [order[a:b] for a, b in pairwise(edges)]
    parts = [
        values(select(predictions, torch.tensor(share)), select(truth, torch.tensor(share)))
        for share in shares
    ]
    for name, pair in whole.items():
        added = sum(part[name] for part in parts)
        np.testing.assert_allclose(added, pair, rtol=1e-12, atol=1e-12, err_msg=name)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), pairwise=st.booleans(), wraps=st.booleans())
def test_counts_are_known_without_predictions(seed, pairwise, wraps):
    truth = ragged(seed)
    loss = MultiViewLoss(LossWeights(), pairwise=pairwise, wraps=wraps)
    found = loss(random_predictions(truth, seed), truth)
    counts = loss.counts(truth)
    assert list(counts) == list(found) == list(loss.term_weights)
    for name, (_, count) in found.items():
        assert torch.equal(count, counts[name]), name


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), padding=st.integers(1, 2), height=st.sampled_from([1.0, -1e4]))
def test_views_that_are_not_there_change_nothing(seed, padding, height):
    truth = ragged(seed)
    predictions = random_predictions(truth, seed)
    views = torch.tensor([0, 1, 2, *[1] * padding])
    padded = select_views(truth, views)
    padded.present[:, 3:] = False
    padded.camera_pose[:, 3:] = 0.0
    said = select_views(predictions, views)
    for name in ("pts3d", "pts3d_cam", "cam_trans", "cam_quats", "non_ambiguous_mask_logits"):
        getattr(said, name)[:, 3:] *= height
    found, wanted = values(said, padded), values(predictions, truth)
    for name, pair in wanted.items():
        np.testing.assert_allclose(found[name], pair, rtol=1e-9, atol=1e-12, err_msg=name)


def test_views_that_are_not_there_get_no_gradient():
    truth = ragged(0)
    leaves = {k: v.requires_grad_() for k, v in random_factors(truth).items()}
    terms = LOSS(compose(leaves), truth)
    sum(terms[name][0] for name in TERMS).backward()
    for name in ("rays", "log_depth", "trans", "quats", "log_conf", "logits"):
        gradient = leaves[name].grad
        assert torch.isfinite(gradient).all(), name
        assert (gradient[~truth.present] == 0).all(), name
        assert (gradient[truth.present].flatten(1).abs().amax(1) > 0).any(), name


def test_a_sample_without_known_ranges_counts_nothing_that_has_a_length():
    truth = select(ragged(1), slice(3, 4))
    found = values(random_predictions(truth), truth)
    for name in LENGTHS:
        assert found[name].tolist() == [0.0, 0.0], name
    assert found["pose_quats"][1] == 3 + 6
    assert found["rays"][1] == pytest.approx(3 * 4 * 6)
    assert found["pose_trans_m"][1] == 2
    assert abs(found["mask"][0]) < 1e4


def test_a_view_without_ranges_takes_its_sample_out_of_translations_unless_it_saw_only_sky():
    truth = random_truth((2, 3, 4, 6))
    truth.valid_mask[0, 1] = False
    said = random_predictions(truth)
    assert values(said, truth)["pose_trans"][1] == 3 + 6
    truth.non_ambiguous_mask[0, 1] = False
    assert values(said, truth)["pose_trans"][1] == 2 * (3 + 6)
    assert values(said, truth)["pose_quats"][1] == 2 * (3 + 6)


def test_lengths_that_are_no_metres_are_not_reported_as_metres():
    truth = random_truth((2, 3, 4, 6))
    said = random_predictions(truth)
    one = values(said, replace(truth, is_metric_scale=torch.tensor([True, False])))
    both = values(said, truth)
    for name in ("pose_trans_m", "points_m", "range_m", "range_rel", "scale", "scale_log"):
        assert 0 < one[name][1] < both[name][1], name
    for name in ("pose_trans", "pose_rot_deg", "depth", "ray_deg"):
        assert one[name][1] == both[name][1], name


def test_an_empty_share_of_a_batch_has_empty_sums():
    truth = select(random_truth((2, 3, 4, 6)), slice(0, 0))
    leaves = {k: v[:0].requires_grad_() for k, v in random_factors(random_truth(SHAPE)).items()}
    terms = LOSS(compose(leaves), truth)
    assert all(float(total.detach()) == 0 and float(count) == 0 for total, count in terms.values())
    sum(terms[name][0] for name in TERMS).backward()


@pytest.mark.parametrize("camera_shape", ["shared", "each"])
def test_rays_and_solid_angles_may_be_given_once_or_for_each_view(camera_shape):
    truth = random_truth((2, 3, 4, 6))
    said = random_predictions(truth)
    if camera_shape == "each":
        full = truth.valid_mask.shape
        each = replace(
            truth,
            ray_directions_cam=truth.ray_directions_cam.expand(*full, 3).clone(),
            solid_angle=truth.solid_angle.expand(full).clone(),
        )
        for name, pair in values(said, truth).items():
            np.testing.assert_allclose(values(said, each)[name], pair, rtol=1e-12)
    flat = MultiViewLoss(LossWeights(), pairwise=True, wraps=True, solid_angle=False)
    unweighed = values(said, replace(truth, solid_angle=None))
    for name, (total, _) in flat(said, truth).items():
        assert float(total) == pytest.approx(unweighed[name][0]), name
    assert unweighed["depth"][0] != pytest.approx(values(said, truth)["depth"][0], rel=1e-6)


def test_a_model_without_pixels_learns_poses_by_the_same_terms():
    truth = ragged(2)
    said = random_predictions(truth)
    right = perfect(truth)
    alone = LOSS.pose_terms(right.cam_quats, said.cam_trans, truth)
    same = LOSS(replace(right, cam_trans=said.cam_trans), truth)
    assert set(alone) == {"pose_quats", "pose_trans", "pose_trans_m", "pose_rot_deg"}
    for name, (total, count) in alone.items():
        assert float(total) == pytest.approx(float(same[name][0]), abs=1e-9), name
        assert torch.equal(count, same[name][1]), name


def test_every_field_of_a_truth_takes_part():
    truth = random_truth((2, 3, 4, 6))
    said = random_predictions(truth)
    before = values(said, truth)
    for field in fields(Truth):
        value = getattr(truth, field.name)
        if value.dtype == torch.bool:
            changed = value.clone()
            changed.view(-1)[-1] ^= True
        else:
            changed = value * torch.linspace(0.5, 1.0, value.shape[-1], dtype=value.dtype)
        after = values(said, replace(truth, **{field.name: changed}))
        assert any(not np.array_equal(after[name], before[name]) for name in before), field.name
