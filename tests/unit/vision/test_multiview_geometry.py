"""Known geometry as an input: what is used, what must not leak, gradients; checkpointing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from multiview_support import MINI, apart, small_model, some_views, use_of
from scipy.spatial.transform import Rotation

from gimbal_vision.multiview.checkpointing import Checkpointing
from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.relative import kept_pixels, known_ranges, relative_poses


def test_what_is_not_used_is_ignored_to_the_bit():
    model, views = small_model(), some_views()
    ruined = replace(
        views,
        ray_directions_cam=torch.full_like(views.ray_directions_cam, torch.nan),
        camera_pose_trans=torch.full_like(views.camera_pose_trans, torch.inf),
    )
    assert apart(model(ruined, use_of(views, False)), model(views)) == 0.0


@pytest.mark.parametrize("name", ["rays", "depth", "pose", "depth_scale", "pose_scale"])
def test_every_input_that_is_used_matters(name):
    model, views = small_model(), some_views()
    use = use_of(views)
    less = replace(use, **{name: torch.zeros_like(getattr(use, name))})
    assert apart(model(views, use), model(views, less)) > 1e-6


def test_poses_are_relative_to_view_0_and_scaled_by_the_mean_distance_without_it():
    views = some_views(batch=1, count=4)
    told = relative_poses(views, use_of(views))
    turn = Rotation.from_quat(views.camera_pose_quats[0].numpy())
    steps = views.camera_pose_trans[0].numpy()
    local = turn[0].inv().apply(steps - steps[0])
    mean = np.linalg.norm(local, axis=1)[1:].mean()
    np.testing.assert_allclose(told.mean_m[0].item(), mean)
    np.testing.assert_allclose(told.trans[0].numpy(), local / mean, atol=1e-12)
    expected = (turn[0].inv() * turn).as_matrix()
    np.testing.assert_allclose(
        Rotation.from_quat(told.quats[0].numpy()).as_matrix(), expected, atol=1e-12
    )


def test_no_pose_is_told_without_view_0_and_all_at_one_place_is_no_division_by_zero():
    views = some_views(count=3)
    use = use_of(views)
    without = use.pose.clone()
    without[:, 0] = False
    assert not relative_poses(views, replace(use, pose=without)).used.any()
    together = replace(views, camera_pose_trans=torch.ones_like(views.camera_pose_trans))
    told = relative_poses(together, use)
    assert bool((told.trans == 0).all()) and float(told.mean_m[0]) == 1e-8


def test_ranges_are_told_over_their_mean_and_not_at_all_where_none_is_known():
    views = some_views()
    ranges = views.depth_along_ray.clone()
    ranges[0, 1] = 0.0
    told = known_ranges(replace(views, depth_along_ray=ranges), use_of(views))
    assert told.used.tolist() == [[True, False, True], [True, True, True]]
    first = ranges[0, 0]
    mean = first[first > 0].mean()
    torch.testing.assert_close(told.mean_m[0, 0], mean)
    torch.testing.assert_close(told.relative[0, 0], first.clamp_min(0) / mean)


def test_a_tenth_of_the_ranges_is_kept_by_key_and_place_only():
    keys = torch.arange(5) * 7919
    kept = kept_pixels(keys, (5, 2, 40, 60, 1))
    share = kept.double().mean((1, 2, 3, 4))
    assert bool(((share - 0.1).abs() < 0.015).all())
    assert torch.equal(kept[3:4], kept_pixels(keys[3:4], (1, 2, 40, 60, 1)))
    assert not torch.equal(kept[0], kept[1])


def test_the_output_can_be_differentiated_by_the_given_poses():
    model, views = small_model().requires_grad_(False), some_views(batch=1)
    trans = views.camera_pose_trans.clone().requires_grad_()

    def said(given):
        told = replace(views, camera_pose_trans=given)
        return model(told, use_of(told)).cam_trans

    (gradient,) = torch.autograd.grad(said(trans).square().sum(), trans)
    assert bool(gradient.isfinite().all()) and float(gradient.abs().max()) > 1e-6
    assert torch.equal(said(trans), said(trans))
    assert torch.autograd.gradcheck(said, (trans,), atol=1e-6)


def test_geometry_and_heads_stay_in_full_precision_under_autocast():
    model = small_model(dtype=torch.float32)
    views = some_views(dtype=torch.float32)
    exact = model(views, use_of(views))
    with torch.autocast("cpu", torch.bfloat16):
        said = model(views, use_of(views))
    assert {v.dtype for v in vars(said).values() if v is not None} == {torch.float32}
    assert 0 < apart(exact, said) < 1.0


def _step(checkpointing: Checkpointing) -> tuple[dict[str, torch.Tensor], int]:
    """Return gradients, and the bytes kept for the backward pass."""
    torch.manual_seed(0)
    model = MultiViewModel(MINI, checkpointing=checkpointing).double()
    views = some_views()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        said = model(views, use_of(views))
        loss = sum(v.square().mean() for v in vars(said).values() if v is not None)
    loss.backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, sum(
        kept.values()
    )


@pytest.mark.parametrize("part", ["encoder", "trunk", "heads"])
def test_checkpointing_saves_memory_and_changes_no_gradient(part):
    plain, plain_bytes = _step(Checkpointing())
    again, again_bytes = _step(Checkpointing(**{part: True}))
    assert plain.keys() == again.keys()
    assert max(float((plain[n] - again[n]).abs().max()) for n in plain) < 1e-6
    assert again_bytes < plain_bytes
