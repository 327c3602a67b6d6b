"""Point-map tokens say where the surface is, in the frame of the first view, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.extractors import extractor_of
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.observing import ViewImages, geometry_of, token_rows
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.states import States
from gimbal_nbv.tokens.pointmap import (
    CHANNELS,
    PATCHES,
    PointmapExtractor,
    _jump_of,
    first_frame,
)
from gimbal_vision.cameras import PinholeCameras, look_at

SIZE = 32
POINT, NORMAL, RAY = slice(0, 3), slice(3, 6), slice(9, 12)
AT = {name: index for index, name in enumerate(CHANNELS)}


def sphere_depth(cameras: PinholeCameras, radius: float) -> np.ndarray:
    """Return the z-depth of a sphere around the origin, by solving each ray's quadratic."""
    v, u = np.mgrid[:SIZE, :SIZE] + 0.5
    K = cameras.K[0]
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=-1)
    depths = []
    for pose in cameras.cam2world:
        origin = pose[:3, :3].T @ pose[:3, 3]
        a, b, c = (rays**2).sum(-1), rays @ origin, origin @ origin - radius**2
        inside = b * b - a * c
        hit = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, 0)
        depths.append(hit)
    return np.stack(depths).astype(np.float32)


def cameras_at(*directions: tuple[float, float, float]) -> PinholeCameras:
    d = np.array(directions) / np.linalg.norm(directions, axis=1, keepdims=True)
    return PinholeCameras.from_fov(look_at(1.5 * d), 42.0, SIZE, SIZE)


def tokens_of(cameras: PinholeCameras, depth: np.ndarray) -> torch.Tensor:
    tensors = (torch.from_numpy(np.array(x))[None] for x in (depth, cameras.cam2world, cameras.K))
    return PointmapExtractor().extract(None, *tensors)[0]


def test_points_and_normals_are_those_of_a_sphere() -> None:
    """Of patches that are all surface: the mean point is near it, the normal points outwards."""
    cameras = cameras_at((1, 0.2, 0.3), (-0.5, 1, 0.1))
    tokens = tokens_of(cameras, sphere_depth(cameras, 0.4))
    full = tokens[tokens[..., AT["hit"]] == 1]
    assert len(full) > 10
    points, normals = full[:, POINT], full[:, NORMAL]
    torch.testing.assert_close(points.norm(dim=1), torch.full((len(full),), 0.4), atol=0.02, rtol=0)
    outwards = (normals / normals.norm(dim=1, keepdim=True) * points).sum(1) / points.norm(dim=1)
    assert float(outwards.min()) > 0.95


def test_the_first_view_looks_down_its_own_z_axis() -> None:
    cameras = cameras_at((0.3, -0.7, 0.5), (1, 0, 0))
    tokens = tokens_of(cameras, np.zeros((2, SIZE, SIZE), np.float32))
    mean_ray = tokens[0, :, RAY].mean(0)
    torch.testing.assert_close(mean_ray[:2], torch.zeros(2), atol=1e-5, rtol=0)
    assert float(mean_ray[2]) < -0.9
    frame = first_frame(torch.from_numpy(cameras.cam2world)[None])[0, 0]
    towards = torch.from_numpy(cameras.cam2world[0, :3, 3]).to(frame) / 1.5
    torch.testing.assert_close(frame[:, 2], towards)


def test_turning_the_world_changes_no_token() -> None:
    cameras = cameras_at((1, 0.2, 0.3), (-0.5, 1, 0.1))
    depth = sphere_depth(cameras, 0.4)
    angle = 0.7
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned = PinholeCameras(
        K=cameras.K, cam2world=turn @ cameras.cam2world, height=SIZE, width=SIZE
    )
    torch.testing.assert_close(
        tokens_of(turned, depth), tokens_of(cameras, depth), atol=1e-5, rtol=1e-4
    )


def test_an_empty_picture_has_no_surface_and_its_rays_pass_the_origin() -> None:
    """Free space is told by the point of each ray nearest to the origin, square to the ray."""
    cameras = cameras_at((0, 1, 0.4))
    tokens = tokens_of(cameras, np.zeros((1, SIZE, SIZE), np.float32))[0]
    for name in ("hit", "silhouette", "spread", "incidence", "behind", "before", "depth"):
        assert torch.all(tokens[:, AT[name]] == 0), name
    across = (tokens[:, POINT] * tokens[:, RAY]).sum(1)
    torch.testing.assert_close(across, torch.zeros(PATCHES**2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0])
def test_a_pixel_that_measured_nothing_sensible_counts_as_no_hit(bad: float) -> None:
    cameras = cameras_at((1, 0.2, 0.3))
    depth = sphere_depth(cameras, 0.4)
    gap, broken = depth.copy(), depth.copy()
    gap[0, 10:14, 12:20], broken[0, 10:14, 12:20] = 0, bad
    torch.testing.assert_close(tokens_of(cameras, broken), tokens_of(cameras, gap))


def test_a_step_in_depth_is_a_silhouette_of_the_near_side() -> None:
    cameras = cameras_at((0, 1, 0.4))
    depth = np.full((1, SIZE, SIZE), 1.5, np.float32)
    depth[:, :, : SIZE // 2] = 1.2
    tokens = tokens_of(cameras, depth)[0].reshape(PATCHES, PATCHES, -1)
    inner = tokens[1:-1]
    near, far = inner[:, PATCHES // 2 - 1], inner[:, PATCHES // 2]
    assert torch.all(near[:, AT["silhouette"]] > 0)
    assert torch.all(far[:, AT["silhouette"]] == 0)
    assert torch.all(far[:, AT["before"]] > 0)
    assert torch.all(inner[:, 1:3, AT["behind"]] == 0)


def test_the_jump_is_a_twentieth_for_the_default_camera_and_a_share_of_a_pixel_for_others() -> None:
    """At 96 px to the last bit, or tokens already stored would mean something else."""
    pose = np.eye(4)[None]
    sizes = (96, 192, 48, 8)
    K = np.concatenate([PinholeCameras.from_fov(pose, 42.0, size, size).K for size in sizes])
    found = _jump_of(torch.from_numpy(K).float())[:, 0, 0]
    assert found[0] == torch.tensor(0.05)
    torch.testing.assert_close(found[1:], torch.tensor([0.025, 0.1, 0.4]))


@pytest.mark.parametrize("size", [24, 48, 96, 192])
def test_a_slope_is_no_silhouette_at_any_size(size: int) -> None:
    """A wall at 45 degrees: only the pixels of the image's border have no neighbour."""
    cameras = PinholeCameras.from_fov(look_at(np.array([[0, 1.5, 0]])), 42.0, size, size)
    u = (np.arange(size) + 0.5 - cameras.K[0, 0, 2]) / cameras.K[0, 0, 0]
    depth = np.broadcast_to(1.5 / (1 - u), (1, size, size)).astype(np.float32)
    tokens = tokens_of(cameras, np.ascontiguousarray(depth))[0].reshape(PATCHES, PATCHES, -1)
    inner = tokens[1:-1, 1:-1]
    assert torch.all(inner[..., AT["silhouette"]] == 0)
    normals = inner[..., NORMAL].norm(dim=-1)
    torch.testing.assert_close(normals, torch.ones_like(normals), atol=1e-3, rtol=0)


@pytest.fixture
def images(mug_oracle: OracleMap) -> ViewImages:
    rng = np.random.default_rng(0)
    depth = rng.uniform(1.2, 1.6, (mug_oracle.views, SIZE, SIZE)).astype(np.float32)
    return ViewImages.of(depth, mug_oracle.protocol)


def test_token_rows_of_mixed_lengths_are_those_of_each_alone(
    mug_oracle: OracleMap, images: ViewImages
) -> None:
    sets = np.array([[3, -1, -1], [5, 1, 7], [2, 9, -1]], dtype=np.int32)
    extractor = extractor_of("pointmap")
    together = token_rows(States(mug_oracle, sets), images, extractor)
    assert together.dtype == np.float16
    assert np.all(together[0, 1:] == 0)
    for row, taken in enumerate(sets):
        alone = States(mug_oracle, taken[taken >= 0][None])
        own = token_rows(alone, images, extractor)[0]
        np.testing.assert_array_equal(together[row, : len(own)], own)


def test_geometry_puts_the_first_view_on_the_z_axis(mug_oracle: OracleMap) -> None:
    sets = np.array([[3, 8, -1], [5, -1, -1]], dtype=np.int32)
    geometry = geometry_of(sets, mug_oracle.protocol)
    np.testing.assert_allclose(geometry.view_directions[:, 0], [[0, 0, 1]] * 2, atol=1e-6)
    np.testing.assert_array_equal(geometry.present, sets >= 0)
    assert np.all(geometry.view_directions[0, 2] == 0)
    world = mug_oracle.protocol.directions
    np.testing.assert_allclose(
        np.einsum("mi,ni->mn", geometry.candidates[0], geometry.candidates[0]),
        world @ world.T,
        atol=1e-6,
    )


def test_a_policy_without_images_is_told_what_it_lacks(mug_oracle: OracleMap) -> None:
    states = States(mug_oracle, np.array([[0]], dtype=np.int32))
    with pytest.raises(PolicyError, match="looks at images"):
        FeatureCache(mug_oracle).tokens(states, extractor_of("pointmap"))
    with pytest.raises(PolicyError, match=r"model\.extractor"):
        extractor_of("eyes")
