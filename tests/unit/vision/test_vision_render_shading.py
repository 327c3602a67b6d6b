"""Colour: which way up a texture is, vertex colours, light, background."""

from __future__ import annotations

import numpy as np
import pytest
from render_support import FORWARD, icosphere, quad, sphere_views

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.errors import RenderError
from gimbal_vision.rendering import Shading, get

UNLIT = Shading(mode="unlit")
SQUARE = [(-1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (-1.0, -1.0, 1.0)]
"""From the lower left counter-clockwise as the camera sees it: y points down."""

SQUARE_UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)


def square_camera(size: int) -> PinholeCameras:
    """Return a camera whose image the square fills exactly."""
    K = np.array([[size / 2, 0, size / 2], [0, size / 2, size / 2], [0, 0, 1.0]])
    return PinholeCameras(K, FORWARD, size, size)


def textured_square(texture: np.ndarray, uv: np.ndarray = SQUARE_UV):
    corners = np.array([[0, 1, 2], [0, 2, 3]])
    return quad(SQUARE, uv=np.ascontiguousarray(uv[corners], np.float32), texture=texture)


def test_a_texture_is_seen_as_its_image_file_shows_it():
    """Texture v points up, rows of an image down: the view equals the picture."""
    texture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    seen = get("raster", shading=UNLIT).render(textured_square(texture), square_camera(16)).rgb
    np.testing.assert_array_equal(seen[0], texture)


def test_textures_are_interpolated_between_texel_centres():
    """At twice the pixels, values lie a quarter and three quarters of the way between texels."""
    texture = np.zeros((1, 4, 3), np.uint8)
    texture[0, :, 0] = (0, 80, 160, 240)
    seen = get("raster", shading=UNLIT).render(textured_square(texture), square_camera(8)).rgb
    np.testing.assert_array_equal(seen[0, 4, 1:7, 0], [20, 60, 100, 140, 180, 220])


def test_texture_coordinates_beyond_one_repeat():
    texture = np.random.default_rng(1).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    moved = textured_square(texture, SQUARE_UV + np.float32([3.0, -2.0]))
    seen = get("raster", shading=UNLIT).render(moved, square_camera(4)).rgb
    np.testing.assert_array_equal(seen[0], texture)


def test_texture_wins_over_vertex_colours():
    texture = np.full((2, 2, 3), 77, np.uint8)
    mesh = quad(
        SQUARE,
        uv=np.zeros((2, 3, 2), np.float32),
        texture=texture,
        vertex_colors=np.zeros((4, 3), np.uint8),
    )
    assert (get("raster", shading=UNLIT).render(mesh, square_camera(5)).rgb == 77).all()


def test_vertex_colours_are_linear_in_space():
    colours = np.array([[0, 0, 9], [255, 0, 9], [255, 255, 9], [0, 255, 9]], np.uint8)
    seen = (
        get("raster", shading=UNLIT)
        .render(quad(SQUARE, vertex_colors=colours), square_camera(10))
        .rgb[0]
    )
    ramp = (np.arange(10) + 0.5) / 10 * 255
    np.testing.assert_allclose(seen[..., 0], np.broadcast_to(ramp, (10, 10)), atol=0.51)
    np.testing.assert_allclose(seen[..., 1], np.broadcast_to(ramp[::-1, None], (10, 10)), atol=0.51)
    assert (seen[..., 2] == 9).all()


@pytest.mark.parametrize("name", ["raster", "embree"])
def test_headlight_dims_with_the_angle_to_the_ray(name):
    shading = Shading(mode="headlight", ambient=0.2, surface=(250, 100, 50))
    cameras = sphere_views(4, 64, 64)
    rendering = get(name, shading=shading).render(icosphere(4), cameras)
    _, rays = cameras.rays(np.float64)
    cosine = -(rendering.normal * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
    expected = (0.2 + 0.8 * cosine)[..., None] * np.array([250, 100, 50])
    hit = rendering.mask
    np.testing.assert_allclose(rendering.rgb[hit], expected[hit], atol=0.51)


def test_lambert_leaves_the_side_away_from_the_light_at_ambient():
    shading = Shading(mode="lambert", light=(0, 0, 5), ambient=0.1, surface=(200, 200, 200))
    rendering = get("raster", shading=shading).render(icosphere(4), sphere_views(6, 48, 48))
    hit = rendering.mask
    expected = 200 * (0.1 + 0.9 * np.maximum(rendering.normal[hit][:, 2], 0))
    np.testing.assert_allclose(rendering.rgb[hit][:, 0], expected, atol=0.51)


def test_background_fills_what_is_not_hit_and_slivers_stay_within_their_colours():
    colours = np.full((4, 3), 200, np.uint8)
    sliver = quad([(-1, 0, 1), (1, 1e-7, 1), (1, 2e-7, 1), (-1, 0.3, 1)], vertex_colors=colours)
    shading = Shading(mode="unlit", background=(1, 2, 3))
    rendering = get("raster", shading=shading).render(sliver, square_camera(31))
    assert (rendering.rgb[~rendering.mask] == (1, 2, 3)).all()
    assert (rendering.rgb[rendering.mask] == 200).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "disco"},
        {"ambient": 1.5},
        {"light": (0, 0, 0)},
        {"background": (0, 0, 256)},
    ],
)
def test_impossible_shading_is_refused(wrong):
    with pytest.raises(RenderError):
        Shading(**wrong)
