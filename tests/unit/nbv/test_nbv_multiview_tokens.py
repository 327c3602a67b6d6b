"""Tokens and points of the multi-view model: whose frame they are in, and what may change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nbv_multiview_toys import SETTINGS, Perfect, chosen, mug_images, tiny_model

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.extractors import extractor_of, format_of
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.observing import ViewImages, token_rows
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.reconstruction.fusion import DepthFusion
from gimbal_nbv.reconstruction.multiview import MultiviewReconstruction, MultiviewSets
from gimbal_nbv.states import States
from gimbal_nbv.tokens.multiview import MultiviewExtractor, MultiviewFormat
from gimbal_nbv.tokens.pointmap import first_frame
from gimbal_vision.lie import so3_exp

SETS = np.array([[3, 9, 12], [5, 0, 14]], dtype=np.int32)


@pytest.fixture(scope="module")
def images(small_protocol: object) -> ViewImages:
    return mug_images(small_protocol)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def extractor() -> MultiviewExtractor:
    return MultiviewExtractor(SETTINGS, tiny_model())


@pytest.mark.parametrize("points", [True, False])
def test_the_format_is_known_before_any_training(images: ViewImages, points: bool) -> None:
    """A stage's columns are declared before the network exists."""
    settings = SETTINGS.model_copy(update={"points": points})
    said = format_of("multiview", settings)
    tokens = MultiviewExtractor(settings, tiny_model()).extract(None, *chosen(images, SETS))
    assert tokens.shape == (2, 3, said.tokens_per_view(32), said.dim)
    assert said.dim == SETTINGS.dim + (6 if points else 0)
    assert said.has_points is points and isinstance(said, MultiviewFormat)


def test_turning_the_world_changes_no_token(
    images: ViewImages, extractor: MultiviewExtractor
) -> None:
    depth, poses, K = chosen(images, SETS)
    turn = torch.eye(4)
    turn[:3, :3] = so3_exp(torch.tensor([0.4, -1.1, 0.7]))
    told = extractor.extract(None, depth, poses, K)
    turned = extractor.extract(None, depth, turn @ poses, K)
    torch.testing.assert_close(turned, told, atol=1e-4, rtol=0)
    moved = poses.clone()
    moved[:, 1, :3, :3] = poses[:, 1, :3, :3] @ turn[:3, :3]
    other = extractor.extract(None, depth, moved, K)
    assert (other - told).abs().max() > 3e-3, "poses are read"


def test_later_views_are_a_set_and_other_sets_are_nobodys_business(
    images: ViewImages, extractor: MultiviewExtractor
) -> None:
    together = extractor.extract(None, *chosen(images, SETS))
    swapped = extractor.extract(None, *chosen(images, SETS[:, [0, 2, 1]]))
    torch.testing.assert_close(swapped[:, [0, 2, 1]], together, atol=1e-4, rtol=0)
    alone = extractor.extract(None, *chosen(images, SETS[1:]))
    torch.testing.assert_close(alone, together[1:], atol=1e-4, rtol=0)


def test_a_token_knows_the_other_views(images: ViewImages, extractor: MultiviewExtractor) -> None:
    """What a formula on one view cannot offer, and the reason for a multi-view model."""
    first = extractor.extract(None, *chosen(images, SETS))[0, 0]
    other = extractor.extract(None, *chosen(images, np.array([[3, 1, 2]])))[0, 0]
    assert (first - other).abs().max() > 1e-3


def test_points_lead_a_token_and_lie_in_the_first_views_frame(images: ViewImages) -> None:
    """Of a network that is never wrong they are mean points of measured surface."""
    settings = SETTINGS.model_copy(update={"image_size": 32, "patch": 2})
    depth, poses, K = chosen(images, SETS)
    tokens = MultiviewExtractor(settings, Perfect(patch=2)).extract(None, depth, poses, K)  # type: ignore[arg-type]
    frames = first_frame(poses)
    for row in range(2):
        fused = DepthFusion().reconstruct(depth[row], poses[row], K[row]).points
        surface = fused @ frames[row, 0]
        flat = tokens[row].flatten(0, 1)
        points, normals = flat[:, :3], flat[:, 3:6]
        solid = normals.norm(dim=1) > 0.9
        assert solid.sum() > 50
        apart = torch.cdist(points[solid], surface).min(dim=1).values
        assert apart.quantile(0.9) < 0.03, "means of few neighbouring pixels"
        towards = (poses[row, :, :3, 3] @ frames[row, 0]).repeat_interleave(256, 0)
        facing = (normals * (towards - points)).sum(1)[solid]
        assert (facing > 0).all(), "normals point towards the camera that saw them"
        assert (normals[(depth[row] == 0).all(-1).all(-1).repeat_interleave(256)] == 0).all()


def test_rows_of_mixed_lengths_are_those_of_each_alone(
    mug_oracle: OracleMap, images: ViewImages, extractor: MultiviewExtractor
) -> None:
    sets = np.array([[3, 9, 12], [5, -1, -1], [7, 2, -1]], dtype=np.int32)
    together = token_rows(States(mug_oracle, sets), images, extractor)
    assert together.dtype == np.float16 and (together[1, 1:] == 0).all()
    for row, views in enumerate(sets):
        own = token_rows(States(mug_oracle, views[views >= 0][None]), images, extractor)[0]
        np.testing.assert_allclose(
            together[row, : len(own)].astype(float), own.astype(float), atol=4e-3
        )


def test_an_extractor_without_its_network_is_refused() -> None:
    with pytest.raises(PolicyError, match="there is none"):
        extractor_of("multiview")
    with pytest.raises(PolicyError, match="there is none"):
        format_of("multiview")


def test_points_of_a_network_that_is_never_wrong_are_those_of_fusion(images: ViewImages) -> None:
    """In the world, wherever the first view stands."""
    depth, poses, K = (part[0] for part in chosen(images, SETS))
    found = MultiviewReconstruction(Perfect(), 32).reconstruct(depth, poses, K)  # type: ignore[arg-type]
    fused = DepthFusion().reconstruct(depth, poses, K)
    torch.testing.assert_close(found.points, fused.points, atol=1e-5, rtol=0)


def test_gradients_in_declared_poses_are_finite_differences(images: ViewImages) -> None:
    """Through the network and through the first view's place."""
    reconstruction = MultiviewReconstruction(tiny_model().double(), SETTINGS.image_size)
    depth, poses, K = (part[0, :2].double() for part in chosen(images, SETS))
    weights = torch.linspace(-1, 1, 3, dtype=torch.float64)

    def loss(shift: torch.Tensor) -> torch.Tensor:
        moved = poses.clone()
        moved[:, :3, 3] = poses[:, :3, 3] + shift
        points, _ = reconstruction.predict(depth[None], moved[None], K[None])
        return (points * weights).square().mean()

    at = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(loss(at), at)
    for view, axis in ((0, 1), (1, 2)):
        step = torch.zeros(2, 3, dtype=torch.float64)
        step[view, axis] = 1e-5
        expected = (loss(step) - loss(-step)).item() / 2e-5
        assert float(found[view, axis]) == pytest.approx(expected, rel=1e-3, abs=1e-8)


def test_the_chamfer_distance_of_sets_is_that_of_their_points(
    mug_oracle: OracleMap, images: ViewImages
) -> None:
    """Of a network that is never wrong it is that of depth fusion, which the oracle map knows."""
    perfect = MultiviewReconstruction(Perfect(), 32)  # type: ignore[arg-type]
    sets = MultiviewSets(perfect, {mug_oracle: images})
    asked = np.array([[3, 9, -1], [5, -1, -1], [7, 2, 11]], dtype=np.int32)
    known = mug_oracle.chamfer(asked)
    np.testing.assert_allclose(sets.chamfer(mug_oracle, asked), known, rtol=2e-3)
    ratios = sets.chamfer_ratios(mug_oracle, asked[:1])
    np.testing.assert_allclose(ratios, mug_oracle.chamfer_ratios(asked[:1]), atol=4e-3)
    assert (ratios[0, [3, 9]] == 0).all()
    with pytest.raises(PolicyError, match="images of this object"):
        MultiviewSets(perfect, {}).chamfer(mug_oracle, asked)


def test_settings_that_cannot_be_built_say_what_to_change() -> None:
    for changed, words in (
        ({"image_size": 50}, "multiple of multiview.patch"),
        ({"dim": 66}, "divisible by"),
    ):
        with pytest.raises(ValueError, match=words):
            MultiviewSettings.model_validate(changed)
