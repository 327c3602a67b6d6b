"""What the multi-view model is shown: true geometry, its own pictures, and often less than all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nbv_multiview_toys import chosen, mug_images

from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.multiview.told import drawn_use, everything, uniforms_of
from gimbal_nbv.multiview.views import sampled, truth_of, views_of
from gimbal_nbv.observing import ViewImages
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.reconstruction.fusion import DepthFusion
from gimbal_vision.poses import quaternion_to_matrix, transform_points

SETS = np.array([[3, 9, 12]])
ALL = torch.ones(1, 3, dtype=torch.bool)


@pytest.fixture(scope="module")
def images(small_protocol: SphereProtocol) -> ViewImages:
    return mug_images(small_protocol)


def test_rays_and_ranges_are_the_points_that_fusion_measures(images: ViewImages) -> None:
    """At the images' own size: another road from pixels to the same points."""
    depth, poses, K = chosen(images, SETS)
    views = views_of(depth, poses, K, 32, ALL)
    truth = truth_of(views, poses, ALL)
    points = transform_points(poses, truth.pts3d_cam.flatten(2, 3))
    fused = DepthFusion().reconstruct(depth[0], poses[0], K[0]).points
    torch.testing.assert_close(points[truth.valid_mask.flatten(2)], fused, atol=1e-5, rtol=0)
    assert views.ray_directions_cam is not None and views.camera_pose_quats is not None
    length = views.ray_directions_cam.norm(dim=-1)
    torch.testing.assert_close(length, torch.ones_like(length), atol=1e-6, rtol=0)
    rotation = quaternion_to_matrix(views.camera_pose_quats)
    torch.testing.assert_close(rotation, poses[..., :3, :3], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [16, 12])
def test_a_smaller_image_keeps_measured_pixels_with_their_own_rays(
    images: ViewImages, size: int
) -> None:
    """Averaged depth would be points in the air along every silhouette."""
    depth, _, K = chosen(images, SETS)
    small, local = sampled(depth, K, size)
    full = sampled(depth, K, 32)
    measured = (full[1] * full[0][..., None])[0, 0].reshape(-1, 3)
    points = (local * small[..., None])[0, 0].reshape(-1, 3)
    assert small.shape == (1, 3, size, size)
    apart = torch.cdist(points, measured, compute_mode="donot_use_mm_for_euclid_dist")
    assert apart.min(dim=1).values.max() < 1e-6


def test_pictures_are_shaded_from_depth_and_know_no_pose(images: ViewImages) -> None:
    depth, poses, K = chosen(images, SETS)
    views = views_of(depth, poses, K, 32, ALL)
    turned = views_of(depth, poses.flip(1), K, 32, ALL)
    torch.testing.assert_close(views.img, turned.img, rtol=0, atol=0)
    background = views.img[0, 0, 0][depth[0, 0] == 0]
    assert background.unique().numel() == 1
    seen = views.img[0, 0, 0][depth[0, 0] > 0]
    assert seen.max() > background[0] + 2, "what faces the camera is bright"


def test_geometry_is_differentiable_in_the_declared_poses(images: ViewImages) -> None:
    depth, poses, K = chosen(images, SETS)
    poses.requires_grad_()
    views = views_of(depth, poses, K, 16, ALL)
    assert views.camera_pose_quats is not None and views.camera_pose_trans is not None
    (views.camera_pose_quats.sum() + views.camera_pose_trans.sum()).backward()
    assert poses.grad is not None
    assert (poses.grad[..., :3, :3] != 0).any() and (poses.grad[..., :3, 3] == 1).all()
    assert not views.img.requires_grad


def test_a_sample_is_told_all_some_or_nothing_and_never_of_absent_views() -> None:
    present = torch.tensor([[True, True, False]]).expand(64, 3)
    uniforms = torch.rand(64, uniforms_of(3), generator=torch.Generator().manual_seed(0))

    def use(**settings: float) -> torch.Tensor:
        found = drawn_use(MultiviewSettings.model_validate(settings), uniforms, present)
        assert not (found.rays | found.depth | found.pose)[:, 2].any()
        return torch.stack([found.rays, found.depth, found.pose], dim=-1)[:, 0]

    assert use(all_given=1.0).all()
    assert not use(all_given=0.0, given=0.0).any()
    mixed = use(all_given=0.0, given=0.5)
    assert {tuple(row) for row in mixed.tolist()} == {
        (a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)
    }
    assert use(all_given=0.5, given=0.5).all(-1).float().mean() > mixed.all(-1).float().mean()


def test_what_a_sample_is_told_does_not_depend_on_its_batch() -> None:
    """Else another number of workers would train another network."""
    present = torch.ones(6, 2, dtype=torch.bool)
    uniforms = torch.rand(6, uniforms_of(2), generator=torch.Generator().manual_seed(1))
    whole = drawn_use(MultiviewSettings(), uniforms, present)
    part = drawn_use(MultiviewSettings(), uniforms[4:], present[4:])
    assert torch.equal(whole.depth[4:], part.depth) and torch.equal(whole.rays[4:], part.rays)
    assert everything(present).depth_scale.all()
