"""The model's invariances, and its composition against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from multiview_support import MINI, apart, pick, small_model, some_views, use_of
from scipy.spatial.transform import Rotation

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.inputs import PRESETS, draw_inputs, uniforms_needed
from gimbal_vision.multiview.positions import grid_positions
from gimbal_vision.multiview.shape import SIZES, TINY
from gimbal_vision.multiview.tokens import trunk_tokens, watch_trunk
from gimbal_vision.multiview.views import Views

EXACT = 1e-9
EVERY = slice(None)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.mark.parametrize("told", [False, True])
def test_the_order_of_other_views_does_not_matter(model, told):
    views, order = some_views(count=4), [0, 3, 1, 2]
    shuffled = pick(views, EVERY, order)
    first = model(views, use_of(views) if told else None)
    second = model(shuffled, use_of(shuffled) if told else None)
    assert apart(first, second, order=order) < EXACT


def test_which_view_is_the_reference_matters(model):
    views = some_views()
    order = [1, 0, 2]
    assert apart(model(views), model(pick(views, EVERY, order)), order=order) > 1e-3


def test_absent_views_change_nothing(model):
    views = some_views(count=4)
    present = torch.tensor([[True, True, False, True]] * 2)
    garbage = {
        name: torch.where(present.view(2, 4, *[1] * (value.ndim - 2)), value, torch.nan)
        for name, value in vars(views).items()
        if value is not None and name != "img"
    }
    noise = views.img.clone()
    noise[:, 2] = 1e3
    alone = pick(views, EVERY, [0, 1, 3])
    expected = model(alone, use_of(alone))
    padded = model(replace(views, img=noise, present=present, **garbage), use_of(views))
    assert apart(padded, expected, order=[0, 1, 3]) < EXACT


def test_a_sample_does_not_depend_on_its_batch(model):
    views = some_views(batch=3)
    alone = pick(views, slice(1, 2), [0, 1, 2])
    whole = model(views, use_of(views))
    assert apart(whole, model(alone, use_of(alone)), samples=slice(1, 2)) < EXACT


@pytest.mark.parametrize("pose_head", ["pooled", "attention"])
@pytest.mark.parametrize("dense_head", ["light", "dpt"])
def test_every_head_speaks_of_every_pixel(pose_head, dense_head):
    model = small_model(replace(MINI, pose_head=pose_head, dense_head=dense_head, dense_dim=8))
    said = model(some_views(size=(12, 20)))
    assert said.pts3d.shape == (2, 3, 12, 20, 3)
    assert said.conf.shape == said.non_ambiguous_mask.shape == (2, 3, 12, 20)
    for unit in (said.ray_directions, said.cam_quats):
        assert torch.allclose(unit.norm(dim=-1), torch.ones((), dtype=unit.dtype))
    assert bool((said.depth_along_ray > 0).all() and (said.conf > 1).all())


def test_frame_blocks_never_see_the_scale_token_nor_other_views(model):
    views = some_views()
    shapes = []
    hooks = [
        block.register_forward_pre_hook(lambda _m, inputs: shapes.append(inputs[0].shape[:2]))
        for block in model.trunk.blocks
    ]
    model(views)
    for hook in hooks:
        hook.remove()
    samples, count, patches = 2, 3, 2 * 4
    across, within = (samples, count * patches + 1), (samples * count, patches)
    assert [tuple(shape) for shape in shapes] == [across, within, across, within]


def test_points_are_what_numpy_makes_of_the_factors(model):
    said = model(some_views())
    local = (said.ray_directions * said.depth_along_ray).detach().numpy()
    turn = Rotation.from_quat(said.cam_quats.detach().numpy().reshape(-1, 4)).as_matrix()
    turned = np.einsum("nij,nhwj->nhwi", turn, local.reshape(6, 8, 16, 3))
    points = turned + said.cam_trans.detach().numpy().reshape(6, 1, 1, 3)
    np.testing.assert_allclose(said.pts3d_cam.detach().numpy(), local, atol=1e-12)
    np.testing.assert_allclose(said.pts3d.detach().numpy().reshape(points.shape), points, atol=1e-9)


def test_the_scale_multiplies_every_length_and_nothing_else(model):
    views = some_views()
    before = model(views)
    last = model.scale_head.layers[-1].bias
    with torch.no_grad():
        last += np.log(3.0)
        after = model(views)
        last -= np.log(3.0)
    for name in ("pts3d", "pts3d_cam", "depth_along_ray", "cam_trans", "metric_scaling_factor"):
        torch.testing.assert_close(getattr(after, name), 3 * getattr(before, name))
    for name in ("ray_directions", "cam_quats", "conf", "non_ambiguous_mask_logits"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))


def test_tokens_are_the_trunk_s_after_its_norm(model):
    views = some_views()
    tokens = trunk_tokens(model, views)
    assert tokens.shape == (2, 3, 8, MINI.dim)
    with watch_trunk(model) as seen:
        model(views)
    assert torch.equal(seen[0].tokens, tokens)
    assert seen[0].scale.shape == (2, MINI.dim)
    assert torch.allclose(tokens.mean(-1), torch.zeros((), dtype=tokens.dtype), atol=1e-9)


def test_both_ends_of_a_panorama_are_as_close_as_any_neighbours():
    at = grid_positions(1, 12, torch.zeros((), dtype=torch.float64))
    steps = (at - at.roll(1, 0)).norm(dim=-1)
    assert float(steps.max() - steps.min()) < 1e-5
    assert float(torch.cdist(at, at).fill_diagonal_(9).min()) > 1.0


def test_images_of_broken_patches_are_refused(model):
    with pytest.raises(MultiViewError, match="whole patches of 4") as caught:
        model(Views(img=torch.zeros(1, 1, 3, 8, 18, dtype=torch.float64)))
    assert "x 8 pixels" in caught.value.remedy


@pytest.mark.slow  # importing transformers costs seconds
@pytest.mark.parametrize(("size", "millions"), [("v1", 563), ("v1_1", 1233)])
def test_published_sizes_have_the_published_numbers(size, millions):
    pytest.importorskip("transformers")
    from gimbal_vision.multiview.model import MultiViewModel

    with torch.device("meta"):
        model = MultiViewModel(SIZES[size])
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(
    ("wrong", "said"), [({"layers": 2}, "trunk of 2 layers"), ({"heads": 5}, "dim is 24")]
)
def test_shapes_that_cannot_be_built_say_so_at_once(wrong, said):
    with pytest.raises(MultiViewError, match=said):
        small_model(replace(MINI, **wrong))


def test_the_tiny_model_is_tiny():
    assert sum(p.numel() for p in small_model(TINY).parameters()) < 10e6


def test_draws_follow_their_probabilities_and_padding_does_not_change_them():
    lots = torch.rand(20_000, uniforms_needed(4), generator=torch.Generator().manual_seed(0))
    use = draw_inputs(PRESETS["aug_training"], lots, 4)
    assert float(use.rays.double().mean()) == pytest.approx(0.9 * 0.95 * 0.5, abs=0.01)
    assert float(use.depth_scale.double().mean()) == pytest.approx(0.95, abs=0.01)
    fewer = draw_inputs(PRESETS["aug_training"], lots[:, : uniforms_needed(2)], 2)
    assert torch.equal(fewer.pose, use.pose[:, :2])
    assert not draw_inputs(PRESETS["images_only"], lots, 4).rays.any()
    assert draw_inputs(PRESETS["mvs"], lots, 4).pose.all()
    assert not draw_inputs(PRESETS["mvs"], lots, 4).depth.any()
