"""Every loss term against a plain second implementation, finite differences and invariances."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from multiview_loss_reference import reference_terms
from multiview_loss_support import (
    cast,
    compose,
    perfect,
    random_factors,
    random_predictions,
    random_truth,
    select_views,
)

from gimbal_vision.multiview.losses.presets import PRESETS, READINGS, TERMS, LossWeights
from gimbal_vision.multiview.losses.total import MultiViewLoss, published_factor
from gimbal_vision.multiview.views import Predictions, Truth
from gimbal_vision.poses import make_pose, quaternion_to_matrix

TINY = (2, 3, 5, 6)
GEOMETRY = tuple(name for name in TERMS if name != "mask")


def loss_with(**options) -> MultiViewLoss:
    return MultiViewLoss(LossWeights(), pairwise=True, wraps=True, **options)


def means(loss: MultiViewLoss, predictions: Predictions, truth: Truth) -> dict[str, float]:
    return {
        name: float(total) / float(count) if count else 0.0
        for name, (total, count) in loss(predictions, truth).items()
    }


@pytest.mark.parametrize(
    ("wraps", "pairwise", "weighed"), [(True, True, True), (False, False, False)]
)
def test_each_term_is_what_a_plain_implementation_finds(wraps, pairwise, weighed):
    truth = random_truth((3, 3, 9, 12), seed=3)
    if not weighed:
        truth = replace(truth, solid_angle=None)
    truth.present[1, 2] = False
    predictions = random_predictions(truth, seed=4)
    loss = MultiViewLoss(LossWeights(), pairwise=pairwise, wraps=wraps, mask_pos_weight=2.5)
    found = loss(predictions, truth)
    wanted = reference_terms(truth, predictions, pairwise=pairwise, wraps=wraps, positive=2.5)
    assert set(GEOMETRY) <= set(wanted)
    for name, (total, count) in wanted.items():
        assert float(found[name][0]) == pytest.approx(total, rel=1e-7, abs=1e-9), name
        assert float(found[name][1]) == pytest.approx(count, rel=1e-9), name


@pytest.mark.parametrize("synthetic", [True, False])
def test_gradients_are_those_of_finite_differences(synthetic):
    truth = random_truth(TINY, seed=5)
    truth = replace(truth, is_synthetic=torch.full((2,), synthetic))
    factors = random_factors(truth, seed=6, noise=0.05)

    def totals(*values):
        found = loss_with()(compose(dict(zip(factors, values, strict=True))), truth)
        return tuple(found[name][0] for name in TERMS if name != "scale")

    def scale(log_scale):
        return loss_with()(compose({**factors, "log_scale": log_scale}), truth)["scale"][0]

    leaves = tuple(value.clone().requires_grad_() for value in factors.values())
    exactly = {"fast_mode": True, "atol": 1e-6, "rtol": 1e-4, "check_undefined_grad": False}
    assert torch.autograd.gradcheck(totals, leaves, **exactly)
    assert torch.autograd.gradcheck(scale, leaves[-1], **exactly)


def test_only_the_scale_term_trains_the_scale_and_it_nothing_else():
    truth = random_truth(TINY)
    leaves = {k: v.requires_grad_() for k, v in random_factors(truth).items()}
    terms = loss_with()(compose(leaves), truth)
    for name in GEOMETRY:
        found = torch.autograd.grad(
            terms[name][0], list(leaves.values()), retain_graph=True, allow_unused=True
        )
        trained = {
            key
            for key, g in zip(leaves, found, strict=True)
            if g is not None and g.abs().max() > 1e-9
        }
        assert ("log_scale" in trained) == (name == "scale"), name
        assert name != "scale" or trained == {"log_scale"}


def test_the_truth_costs_nothing():
    truth = random_truth((3, 4, 9, 12))
    found = means(loss_with(), perfect(truth), truth)
    for name in (*GEOMETRY, "pose_trans_m", "pose_rot_deg", "points_m", "range_m", "ray_deg"):
        assert found[name] == pytest.approx(0.0, abs=1e-5), name
    assert found["mask"] < 1e-9
    assert found["pred_mask_mean"] == pytest.approx(found["gt_mask_mean"])


def test_losses_of_random_predictions_are_not_zero():
    truth = random_truth((3, 4, 9, 12))
    found = means(loss_with(), random_predictions(truth), truth)
    assert min(found[name] for name in GEOMETRY) > 1e-3


def test_where_the_world_lies_does_not_matter():
    truth = random_truth(seed=7)
    predictions = random_predictions(truth)
    g = torch.Generator().manual_seed(0)
    moved = make_pose(
        quaternion_to_matrix(torch.randn(4, generator=g, dtype=torch.float64)),
        torch.tensor([400.0, -90.0, 5.0], dtype=torch.float64),
    )
    elsewhere = replace(truth, camera_pose=moved @ truth.camera_pose)
    assert means(loss_with(), predictions, elsewhere) == pytest.approx(
        means(loss_with(), predictions, truth), rel=1e-7
    )


def test_the_sign_of_a_quaternion_does_not_matter():
    truth = random_truth()
    predictions = random_predictions(truth)
    signs = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)[:, None]
    turned = replace(predictions, cam_quats=predictions.cam_quats * signs)
    assert means(loss_with(), turned, truth) == pytest.approx(
        means(loss_with(), predictions, truth)
    )


def test_the_order_of_the_other_views_does_not_matter():
    truth = random_truth((3, 4, 6, 8))
    predictions = random_predictions(truth)
    order = torch.tensor([0, 3, 1, 2])
    found = means(loss_with(), select_views(predictions, order), select_views(truth, order))
    assert found == pytest.approx(means(loss_with(), predictions, truth))


def test_geometry_is_judged_up_to_the_scale():
    truth = random_truth()
    factors = random_factors(truth)
    larger = {**factors, "log_scale": factors["log_scale"] + math.log(3.0)}
    before, after = (means(loss_with(), compose(x), truth) for x in (factors, larger))
    for name in GEOMETRY:
        same = before[name] == pytest.approx(after[name], rel=1e-9)
        assert same == (name != "scale"), name
    assert after["pose_trans_m"] != pytest.approx(before["pose_trans_m"], rel=0.1)


def test_the_number_of_views_does_not_scale_the_loss():
    truth = random_truth((1, 1, 6, 8))
    twice = select_views(truth, torch.tensor([0, 0, 0]))
    one, three = (
        means(MultiViewLoss(LossWeights()), select_views(said, order), seen)
        for said in (random_predictions(truth),)
        for order, seen in ((torch.tensor([0]), truth), (torch.tensor([0, 0, 0]), twice))
    )
    for name in TERMS:
        assert three[name] == pytest.approx(one[name]), name


@pytest.mark.parametrize(
    ("views", "of_views", "of_scale"), [(1, 1.0, 1.0), (2, 2.0, 1.0), (4, 2.0, 0.5), (8, 2.0, 0.25)]
)
def test_published_logs_add_views_up_and_shrink_from_three_on(views, of_views, of_scale):
    assert published_factor(views, "depth") == pytest.approx(of_views)
    assert published_factor(views, "scale") == pytest.approx(of_scale)


def test_normals_and_gradients_see_across_the_seam_of_a_panorama():
    truth = random_truth((1, 1, 6, 8))
    truth = replace(
        truth,
        valid_mask=torch.ones_like(truth.valid_mask),
        non_ambiguous_mask=torch.ones_like(truth.valid_mask),
        depth_along_ray=torch.full_like(truth.depth_along_ray, 10.0),
        pts3d_cam=10.0 * truth.ray_directions_cam.expand(truth.pts3d_cam.shape),
    )
    turned = {
        field: torch.roll(getattr(random_predictions(truth), field), 3, dims=3)
        for field in ("pts3d_cam", "depth_along_ray")
    }
    rays = torch.roll(truth.ray_directions_cam, 3, dims=1)
    there = replace(truth, ray_directions_cam=rays, pts3d_cam=10.0 * rays.expand(1, 1, 6, 8, 3))
    found = means(loss_with(), random_predictions(truth), truth)
    moved = means(loss_with(), replace(random_predictions(truth), **turned), there)
    assert moved["normals"] == pytest.approx(found["normals"])
    cut = means(MultiViewLoss(LossWeights(), wraps=False), random_predictions(truth), truth)
    assert cut["normals"] != pytest.approx(found["normals"], rel=1e-6)
    assert cut["gradients"] != pytest.approx(found["gradients"], rel=1e-6)


def test_on_real_data_the_worst_twentieth_of_a_view_is_dropped_from_points_and_ranges():
    truth = random_truth((1, 2, 10, 10))
    truth = replace(
        truth,
        valid_mask=torch.ones_like(truth.valid_mask),
        depth_along_ray=torch.full_like(truth.depth_along_ray, 10.0),
        pts3d_cam=10.0 * truth.ray_directions_cam.expand(truth.pts3d_cam.shape),
        is_synthetic=torch.zeros(1, dtype=torch.bool),
    )
    right = perfect(truth)
    depth = right.depth_along_ray.clone()
    depth[0, 1, 0, :5] *= 50.0
    five_wrong = means(loss_with(), replace(right, depth_along_ray=depth), truth)
    assert five_wrong["depth"] == pytest.approx(0.0, abs=1e-9)
    depth[0, 1, 1, 0] *= 50.0
    six_wrong = means(loss_with(), replace(right, depth_along_ray=depth), truth)
    assert six_wrong["depth"] > 1e-3
    made = replace(truth, is_synthetic=torch.ones(1, dtype=torch.bool))
    assert means(loss_with(), replace(right, depth_along_ray=depth), made)["depth"] > (
        4 * six_wrong["depth"]
    )


def test_half_precision_is_judged_in_full():
    truth = random_truth(dtype=torch.float32)
    exact = perfect(truth)
    coarse = cast(exact, torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss_with()(replace(exact, cam_quats=coarse.cam_quats), truth)
    assert all(total.dtype == torch.float32 for total, _ in terms.values())
    assert float(terms["pose_rot_deg"][0] / terms["pose_rot_deg"][1]) < 0.3
    assert float(terms["points_m"][0] / terms["points_m"][1]) < 1e-3
    assert all(torch.isfinite(total) for total, _ in loss_with()(coarse, truth).values())


def test_a_quaternion_of_no_length_is_no_nan():
    truth = random_truth(TINY)
    factors = random_factors(truth)
    said = compose(factors)
    quats = torch.zeros_like(said.cam_quats).requires_grad_()
    total = loss_with()(replace(said, cam_quats=quats), truth)["pose_quats"][0]
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(quats.grad).all()


def test_terms_of_weight_zero_and_readings_train_nothing():
    truth = random_truth(TINY)
    leaves = {k: v.requires_grad_() for k, v in random_factors(truth).items()}
    loss = MultiViewLoss(LossWeights().replaced({"world_points": 0.0, "normals": 0.0}))
    terms = loss(compose(leaves), truth)
    detached = {name for name, (total, _) in terms.items() if not total.requires_grad}
    assert detached == {"world_points", "normals", *READINGS}
    assert {name for name, weight in loss.term_weights.items() if weight == 0} == detached
    full = MultiViewLoss(LossWeights())(compose(leaves), truth)
    for name in TERMS:
        assert float(terms[name][0].detach()) == pytest.approx(float(full[name][0].detach()))
    terms["depth"][0].backward()
    with_norm = {k: leaf.grad.clone() for k, leaf in leaves.items() if leaf.grad is not None}
    assert "trans" in with_norm  # through the normaliser, though the first term had no gradient


def test_presets_are_the_published_ones():
    assert PRESETS["overall"].weights.by_name() == {
        **dict.fromkeys(TERMS, 1.0), "normals": 3.0, "gradients": 3.0, "mask": 0.3,
    }  # fmt: skip
    first = PRESETS["pose_first"]
    assert (first.weights.pose_quats, first.weights.pose_trans) == (3.0, 3.0)
    assert first.pairwise
    assert first.absolute
    assert PRESETS["v1_1"].weights.by_name() == {
        **dict.fromkeys(TERMS, 0.1), "world_points": 1.0, "normals": 0.3, "gradients": 0.3,
        "mask": 0.03,
    }  # fmt: skip
    assert PRESETS["v1_1"].pairwise
    assert not PRESETS["overall"].pairwise


def test_the_gradient_of_normals_that_is_written_out_is_autograds():
    truth = random_truth((1, 1, 6, 7), seed=2)
    truth = replace(truth, valid_mask=torch.ones_like(truth.valid_mask), solid_angle=None)
    g = torch.Generator().manual_seed(0)
    points, noise = torch.randn(2, 6, 7, 3, dtype=torch.float64, generator=g)
    true = points + 0.3 * noise
    points.requires_grad_()
    loss = MultiViewLoss(LossWeights())
    said = replace(perfect(truth), pts3d_cam=points[None, None])
    found = loss(said, replace(truth, pts3d_cam=true[None, None]))["normals"][0]

    def corners(p):
        quad = [p[:-1, :-1], p[:-1, 1:], p[1:, 1:], p[1:, :-1]]
        sides = [quad[(k + 1) % 4] - quad[k] for k in range(4)]
        return torch.stack([torch.linalg.cross(sides[k - 1], sides[k]) for k in range(4)])

    cosine = torch.nn.functional.cosine_similarity(corners(points), corners(true), dim=-1)
    angle = cosine.clamp(0.0, math.cos(math.radians(1.0))).acos()
    beta = math.radians(3.0)
    plain = torch.where(angle < beta, angle**2 / (2 * beta), angle - beta / 2).sum() / 7
    (one,), (other,) = (torch.autograd.grad(total, points) for total in (found, plain))
    assert one.abs().max() > 0.1
    torch.testing.assert_close(one, other)
