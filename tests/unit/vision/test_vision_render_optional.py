"""warp and PyTorch3D: conventions always, parity where they are installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from render_support import bumpy_sphere, disagreement, odd_camera, sphere_views

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.rendering import get
from gimbal_vision.rendering.pytorch3d_cameras import pytorch3d_arguments

needs_warp = pytest.mark.skipif(
    importlib.util.find_spec("warp") is None, reason="warp-lang is not installed"
)
needs_pytorch3d = pytest.mark.skipif(
    importlib.util.find_spec("pytorch3d") is None, reason="PyTorch3D is not installed"
)


def views() -> list[PinholeCameras]:
    """Return odd sizes, non-square, off-centre K, fx != fy."""
    odd = odd_camera(48, 64)
    poses = sphere_views(2, 8, 8).cam2world
    return [sphere_views(2, 33, 40), PinholeCameras(odd.K[0], poses, 48, 64)]


def test_pytorch3d_arguments_project_where_our_cameras_do():
    """PyTorch3D's documented screen projection, worked by hand, against ours."""
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (50, 3))
    for cameras in views():
        arguments = pytorch3d_arguments(
            torch.from_numpy(cameras.K),
            torch.from_numpy(cameras.cam2world),
            cameras.height,
            cameras.width,
        )
        camera = torch.from_numpy(points) @ arguments.R + arguments.T[:, None]
        focal, centre = arguments.focal_length[:, None], arguments.principal_point[:, None]
        screen = centre - focal * camera[..., :2] / camera[..., 2:]
        expected, z = cameras.project(points)
        np.testing.assert_allclose(camera[..., 2], z, atol=1e-12)
        np.testing.assert_allclose(screen, expected, atol=1e-9)
        assert arguments.image_size.tolist() == [[cameras.height, cameras.width]] * len(cameras)


@needs_warp
def test_warp_on_the_cpu_agrees_with_embree():
    for cameras in views():
        warp = get("warp", device="cpu").render(bumpy_sphere(3), cameras)
        embree = get("embree").render(bumpy_sphere(3), cameras)
        iou, median = disagreement(warp, embree)
        assert iou > 0.9999 and median < 1e-6
        assert (warp.face_id == embree.face_id).mean() > 0.999
        assert np.abs(warp.rgb.astype(int) - embree.rgb).max() <= 2


@needs_pytorch3d
def test_pytorch3d_agrees_with_embree():
    """An offset of half a pixel would show as a median of 6e-3."""
    for cameras in views():
        ours = get("embree").render(bumpy_sphere(3), cameras)
        theirs = get("pytorch3d").render(bumpy_sphere(3), cameras)
        iou, median = disagreement(ours, theirs)
        assert iou > 0.9999 and median < 1e-6
        assert (ours.face_id == theirs.face_id).mean() > 0.999


@needs_pytorch3d
def test_soft_silhouettes_pull_a_displaced_mesh_back():
    from gimbal_vision.rendering.pytorch3d_backend import soft_silhouettes

    mesh, cameras = bumpy_sphere(2), sphere_views(2, 32, 32)
    faces = torch.from_numpy(mesh.faces).long()
    K, poses = (torch.from_numpy(x).float() for x in (cameras.K, cameras.cam2world))
    vertices = torch.from_numpy(mesh.vertices).float()
    target = soft_silhouettes(vertices, faces, K, poses, (32, 32)).detach()
    assert target.min() >= 0 and target.max() <= 1 and (target > 0.5).float().mean() > 0.1
    shift = torch.tensor([0.05, 0.0, 0.03], requires_grad=True)
    error = (soft_silhouettes(vertices + shift, faces, K, poses, (32, 32)) - target).square().sum()
    error.backward()
    assert shift.grad is not None and (shift.grad * shift.detach()).sum() > 0
