"""Feature-level fusion: directions agree with the cameras, and priors change nothing unasked."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gimbal_vision.cameras import Equirectangular, Pinhole
from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.camera_fusion import FusedCameraEncoder
from gimbal_vision.multiview.camera_views import (
    CameraRing,
    CameraViews,
    canvas_directions,
    told_directions,
)
from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.shape import ModelShape
from gimbal_vision.multiview.views import Predictions, Views

SHAPE = ModelShape(
    encoder_dim=16,
    encoder_layers=1,
    encoder_heads=2,
    dim=16,
    layers=2,
    heads=2,
    taps=(0, 1),
    dense_dim=8,
    geometric_dims=(8, 8, 8),
    pose_hidden=16,
)
HEIGHT, WIDTH = 28, 84
SIZE = 28, 42
CANVAS = Equirectangular.from_vfov(HEIGHT, WIDTH, 60.0)


def yawed(degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    pose = np.eye(4)
    pose[:3, :3] = [[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]]
    return pose


def views(batch: int = 1, count: int = 2, seed: int = 0, **changes: Tensor) -> CameraViews:
    made = torch.Generator().manual_seed(seed)
    rays = torch.tensor(CANVAS.rays(), dtype=torch.float32)
    given = {
        "img": torch.zeros(batch, count, 3, HEIGHT, WIDTH),
        "ray_directions_cam": rays.expand(batch, count, HEIGHT, WIDTH, 3),
        "camera_img": torch.randn(batch, count, 4, 3, *SIZE, generator=made),
    }
    return CameraViews(**(given | changes))


def told(batch: int = 1, count: int = 2) -> dict[str, Tensor]:
    """The ring's own calibration, as if it had been measured."""
    camera = Pinhole.from_hfov(600, 800, 100.0).resized(*SIZE)
    poses = np.stack([yawed(degrees) for degrees in CameraRing().yaw_deg])
    poses[:, :3, 3] = [[0, 0.9, 3], [-0.3, 0.1, 0.5], [0, 0.4, -1.5], [0.3, 0.1, 0.5]]
    return {
        "camera_intrinsics": torch.tensor(camera.K).float().expand(batch, count, 4, 3, 3),
        "view_from_camera": torch.tensor(poses).float().expand(batch, count, 4, 4, 4),
    }


def model(**options: bool) -> MultiViewModel:
    torch.manual_seed(0)
    return MultiViewModel(SHAPE, image_encoder=FusedCameraEncoder(SHAPE, **options)).eval()


def difference(a: Predictions, b: Predictions) -> float:
    pairs = (
        (getattr(a, f.name), getattr(b, f.name)) for f in fields(Predictions) if f.name != "matches"
    )
    return max(float((one - other).detach().abs().max()) for one, other in pairs)


def test_nominal_directions_are_those_of_the_cameras() -> None:
    """A picture's patch looks where its camera's middle pixel does, turned by the camera's yaw."""
    grid = 2, 3
    camera = Pinhole.from_hfov(600, 800, 100.0).resized(*grid)
    directions = CameraRing().directions(grid, torch.zeros(1, dtype=torch.float64))
    for degrees, found in zip(CameraRing().yaw_deg, directions, strict=True):
        wanted = camera.rays().reshape(-1, 3) @ yawed(degrees)[:3, :3].T
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    measured = told_directions(views(**told()), grid, 14)
    assert measured is not None
    np.testing.assert_allclose(measured[0, 1], directions, atol=1e-6)


def test_a_patch_of_the_panorama_asks_the_picture_that_looks_its_way() -> None:
    """Where attention starts from: the picture whose patches point along the panorama's patch."""
    canvas = canvas_directions(views(), 14)
    assert canvas is not None
    directions = CameraRing().directions((2, 3), canvas)
    nearest = torch.einsum("pc,vkc->pvk", canvas, directions).amax(-1).argmax(-1)
    # columns of 60 degrees, centred at -150, -90, -30, 30, 90, 150: rear, left, front, front, right
    assert nearest.view(2, 6).tolist() == [[2, 1, 0, 0, 3, 2]] * 2


def test_tokens_lie_on_the_grid_of_the_panorama_and_the_canvas_is_never_read() -> None:
    net = model()
    scene = views(count=3)
    assert net.image_encoder.grid(scene) == (2, 6)
    assert net.image_encoder(scene).shape == (1, 3, 12, 16)
    painted = replace(scene, img=torch.full_like(scene.img, torch.nan))
    assert difference(net(scene), net(painted)) == 0.0


def test_a_car_sees_only_its_own_pictures_and_each_of_them() -> None:
    encoder = model().image_encoder
    scene = views()
    tokens = encoder(scene)
    for camera in range(4):
        changed = scene.camera_img.clone()
        changed[0, 1, camera] += 1.0
        moved = (encoder(replace(scene, camera_img=changed)) - tokens).abs().amax(dim=(0, 2, 3))
        assert moved[0] == 0 and moved[1] > 1e-4


def test_what_stands_in_a_missing_picture_is_never_read() -> None:
    present = torch.tensor([[[True, True, False, True], [True, True, True, True]]])
    net, scene = model(), views(camera_present=present)
    garbage = scene.camera_img.clone()
    garbage[0, 0, 2] = 1e3
    with torch.no_grad():
        assert difference(net(scene), net(replace(scene, camera_img=garbage))) == 0.0
        whole = replace(scene, camera_present=torch.ones_like(present))
        assert torch.equal(net.image_encoder(whole)[0, 1], net.image_encoder(scene)[0, 1])
        assert not torch.equal(net.image_encoder(whole)[0, 0], net.image_encoder(scene)[0, 0])


def test_a_car_without_any_picture_gives_finite_tokens() -> None:
    """Padding has none; its tokens are masked later, but a NaN would survive a mask."""
    present = torch.tensor([[[True] * 4, [False] * 4]])
    assert model().image_encoder(views(camera_present=present)).isfinite().all()


def test_without_the_prior_the_model_is_one_without_its_modules() -> None:
    """Same seed, same weights, same answers: the difference is exactly 0, for one car and more."""
    plain, able = model(), model(rel_pose=True)
    for count in (1, 3):
        scene = views(count=count)
        assert difference(plain(scene), able(scene)) == 0.0
        assert difference(plain(replace(scene, **told(count=count))), plain(scene)) == 0.0


def test_the_prior_starts_as_no_prior_where_the_rig_is_the_nominal_one_and_is_learned() -> None:
    net, scene = model(rel_pose=True), views()
    known = replace(scene, **told())
    assert difference(net(scene), net(known)) < 1e-4
    net.image_encoder(known).square().sum().backward()
    last = net.image_encoder.rig[-1]
    assert last.weight.grad.abs().max() > 0


def test_a_turned_camera_is_looked_for_where_the_prior_says() -> None:
    """With the rig told, exchanging two pictures and their places changes almost nothing."""
    net = model(rel_pose=True)
    with torch.no_grad():
        net.image_encoder.cameras.zero_()
    scene = replace(views(), **told())
    swap = [0, 3, 2, 1]
    names = ("camera_img", "camera_intrinsics", "view_from_camera")
    swapped = replace(scene, **{name: getattr(scene, name)[:, :, swap] for name in names})
    assert difference(net(scene), net(swapped)) < 1e-5
    mixed_up = replace(scene, camera_img=scene.camera_img[:, :, swap])
    assert difference(net(scene), net(mixed_up)) > 1e-4


def test_views_without_pictures_or_rays_are_refused() -> None:
    encoder = FusedCameraEncoder(SHAPE)
    with pytest.raises(MultiViewError, match="views without any"):
        encoder(Views(img=torch.zeros(1, 1, 3, HEIGHT, WIDTH)))
    with pytest.raises(MultiViewError, match="panorama's rays"):
        encoder(replace(views(), ray_directions_cam=None))
    with pytest.raises(MultiViewError, match="ring of 4"):
        FusedCameraEncoder(SHAPE, cameras=6)
