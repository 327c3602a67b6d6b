"""Deferred images: values against Embree, gradients against central differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from render_support import bumpy_sphere, quad, sphere_views

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.errors import RenderError
from gimbal_vision.rendering import get
from gimbal_vision.rendering.differentiable import deferred_images

STEP = 1e-6


@pytest.fixture(scope="module")
def scene():
    mesh, cameras = bumpy_sphere(3), sphere_views(2, 31, 39)
    rendering = get("embree").render(mesh, cameras)
    tensors = {
        "face_id": torch.from_numpy(rendering.face_id),
        "vertices": torch.from_numpy(mesh.vertices),
        "faces": torch.from_numpy(mesh.faces),
        "K": torch.tensor(cameras.K),
        "cam2world": torch.tensor(cameras.cam2world),
    }
    return mesh, cameras, rendering, tensors


def moved(pose: torch.Tensor, twist: torch.Tensor) -> torch.Tensor:
    """Return the pose after a small rotation (first three) and translation in the world."""
    x, y, z = twist[:3]
    zero = torch.zeros_like(x)
    skew = torch.stack(
        [
            torch.stack([zero, -z, y]),
            torch.stack([z, zero, -x]),
            torch.stack([-y, x, zero]),
        ]
    )
    upper = torch.cat(
        [torch.linalg.matrix_exp(skew) @ pose[:, :3, :3], pose[:, :3, 3:] + twist[3:, None]], dim=2
    )
    return torch.cat([upper, pose[:, 3:]], dim=1)


def test_values_equal_embree(scene):
    mesh, _, rendering, tensors = scene
    colours = torch.from_numpy(mesh.vertex_colors.astype(np.float64))
    images = deferred_images(**tensors, vertex_attributes=colours)
    assert (images.valid.numpy() <= rendering.mask).all()
    np.testing.assert_allclose(images.depth.numpy(), rendering.depth, atol=3e-6)
    np.testing.assert_allclose(images.normal.numpy(), rendering.normal, atol=2e-6)
    assert images.attributes is not None
    hit = rendering.mask
    assert images.attributes.numpy()[hit].min() > -1 and images.attributes.numpy()[hit].max() < 256
    assert not images.attributes.numpy()[~hit].any()


def test_pose_gradient_equals_central_differences(scene):
    """All six degrees of freedom, fixed ids, float64."""
    *_, tensors = scene
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 31, 39)))

    def loss(twist: torch.Tensor) -> torch.Tensor:
        pose = moved(tensors["cam2world"], twist)
        images = deferred_images(**{**tensors, "cam2world": pose}, min_cosine=0.1)
        return (images.depth * weights * valid).sum() + (images.normal[..., 0] * weights).sum()

    valid = deferred_images(**tensors, min_cosine=0.1).valid
    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    loss(twist).backward()
    for k in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[k] = STEP
        numeric = (loss(step) - loss(-step)) / (2 * STEP)
        assert twist.grad is not None
        assert twist.grad[k].item() == pytest.approx(numeric.item(), rel=1e-5, abs=1e-6)


def test_vertex_gradient_equals_central_differences(scene):
    """A random direction of all vertices, through depth, normals and colours."""
    mesh, *_, tensors = scene
    rng = np.random.default_rng(1)
    direction = torch.from_numpy(rng.normal(size=mesh.vertices.shape))
    weights = torch.from_numpy(rng.normal(size=(2, 31, 39, 5)))
    colours = torch.from_numpy(mesh.vertex_colors / 255.0)[:, :1]
    valid = deferred_images(**tensors, min_cosine=0.1).valid[..., None]

    def loss(vertices: torch.Tensor) -> torch.Tensor:
        images = deferred_images(
            **{**tensors, "vertices": vertices}, vertex_attributes=colours, min_cosine=0.1
        )
        assert images.attributes is not None
        values = torch.cat([images.depth[..., None], images.normal, images.attributes], dim=-1)
        return (values * weights * valid).sum()

    vertices = tensors["vertices"].clone().requires_grad_()
    loss(vertices).backward()
    assert vertices.grad is not None
    plus, minus = (loss(tensors["vertices"] + s * STEP * direction) for s in (1, -1))
    numeric = ((plus - minus) / (2 * STEP)).item()
    assert (vertices.grad * direction).sum().item() == pytest.approx(numeric, rel=1e-5)


def test_grazing_faces_keep_their_value_and_give_no_gradient():
    """A floor seen almost edge-on: dz/dpose would be in the hundreds."""
    floor = quad([(-9, 0.01, 0.5), (9, 0.01, 0.5), (9, 0.02, 40), (-9, 0.02, 40)])
    K = np.array([[40.0, 0, 10], [0, 2000.0, 0], [0, 0, 1]])
    cameras = PinholeCameras(K, np.eye(4), 20, 20)
    rendering = get("raster").render(floor, cameras)
    vertices = torch.from_numpy(floor.vertices).requires_grad_()
    images = deferred_images(
        torch.from_numpy(rendering.face_id),
        vertices,
        torch.from_numpy(floor.faces),
        torch.tensor(cameras.K),
        torch.tensor(cameras.cam2world),
    )
    assert rendering.mask.any() and not images.valid.any()
    np.testing.assert_allclose(images.depth.detach().numpy(), rendering.depth, rtol=1e-5)
    (images.depth.sum() + images.normal.sum()).backward()
    assert vertices.grad is not None
    assert not vertices.grad.any()


def test_faces_without_area_and_empty_views_give_finite_gradients():
    vertices = torch.ones((3, 3), dtype=torch.float64, requires_grad=True)
    faces, K, pose = torch.tensor([[0, 1, 2]]), torch.eye(3)[None], torch.eye(4)[None]
    for ids in (torch.zeros((1, 4, 4), dtype=torch.int32), torch.full((1, 4, 4), -1)):
        images = deferred_images(ids, vertices, faces, K, pose, vertex_attributes=vertices)
        assert images.attributes is not None
        (images.depth.sum() + images.normal.sum() + images.attributes.sum()).backward()
        assert not images.valid.any()
    assert vertices.grad is not None and torch.isfinite(vertices.grad).all()


def test_shapes_that_do_not_fit_are_refused(scene):
    *_, tensors = scene
    with pytest.raises(RenderError, match="same views"):
        deferred_images(**{**tensors, "K": tensors["K"][:1]})
