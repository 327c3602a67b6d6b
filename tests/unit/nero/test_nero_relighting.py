"""What the relighting renderer must show whatever it is made of: energy, places, and edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from gimbal_nero.material.networks import Material
from gimbal_nero.relighting.draws import RAYS, bounce_numbers, ray_numbers, ray_places
from gimbal_nero.relighting.illumination import SkyLight
from gimbal_nero.relighting.renderer import Renderer, Shot
from gimbal_nero.relighting.settings import RelightSettings
from gimbal_nero.relighting.sky import Sky
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.meshes import Mesh
from gimbal_vision.poses import look_at

WHITE = (1.0, 1.0, 1.0)


def ball(radius=1.0, centre=(0.0, 0.0, 0.0), subdivisions=4):
    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.asarray(made.vertices) + centre, np.asarray(made.faces, np.int32))


def joined(first, second):
    return Mesh(
        np.concatenate([first.vertices, second.vertices]),
        np.concatenate([first.faces, second.faces + np.int32(len(first.vertices))]),
    )


def constant(albedo=WHITE, metallic=1.0, alpha=0.04):
    def at(points):
        ones = points.new_ones(len(points), 1)
        return Material(
            albedo=ones * points.new_tensor(albedo), metallic=ones * metallic, alpha=ones * alpha
        )

    return at


def shot(side=16, eye=(3.0, 0.0, 0.0), fov=45.0):
    lens = Pinhole.from_hfov(side, side, fov)
    return Shot(lens=lens, cam2world=look_at(np.array(eye), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)))


def lit(mesh, material, picture, *, directions=64, seed=0, at=None, turn=None, **changes):
    settings = RelightSettings(**changes)
    traced = TracedMesh(mesh)
    sky = Sky(picture, turn)
    at_once = 1 << 16
    light = SkyLight(sky, traced, material, settings, at_once)
    renderer = Renderer(traced, material, directions_at_once=at_once)
    return renderer.render(at or shot(), light, directions, seed=seed)


def even(height=8, radiance=1.0):
    return np.full((height, 2 * height, 3), radiance, np.float32)


@pytest.mark.parametrize("alpha", [0.01, 0.25])
def test_a_white_furnace_gains_no_light(alpha):
    """White metal under a light of 1 from everywhere sends at most 1."""
    seen = lit(ball(), constant(alpha=alpha), even(), at=shot(12))
    sent = seen.radiance[seen.coverage == 1.0]
    assert len(sent) > 30
    assert 0.8 < sent.mean() < 1.002
    assert sent.max() < 1.06


def test_a_dielectric_furnace_adds_exactly_its_albedo_to_its_highlight():
    """Lambert's part is not dimmed by the highlight (nero.md 6.4), whose F0 is .04."""
    white, black = (
        lit(ball(), constant(albedo=(a, a, a), metallic=0.0, alpha=0.09), even(), at=shot(12))
        for a in (1.0, 0.0)
    )
    inside = white.coverage == 1.0
    np.testing.assert_allclose((white.radiance - black.radiance)[inside].mean(), 1.0, atol=2e-3)
    middle = black.radiance[5:7, 5:7]
    assert middle.mean() == pytest.approx(0.04, abs=0.003)


def test_two_mirrors_in_even_light_vanish_where_light_is_bounced_between_them():
    pair = joined(ball(0.5, (0.0, -0.55, 0.0), 3), ball(0.5, (0.0, 0.55, 0.0), 3))
    mirror, at = constant(alpha=0.0016), shot(12)
    few = {"directions": 16, "at": at}
    full = lit(pair, mirror, even(), bounces=4, bounce_directions=4, **few)
    once = lit(pair, mirror, even(), bounces=0, **few)
    none = lit(pair, mirror, even(), bounces=4, bounce_directions=0, **few)
    inside = full.coverage == 1.0
    assert full.radiance[inside].min() > 0.9
    assert full.radiance[inside].max() < 1.03
    assert once.radiance[inside].min() < 0.85
    np.testing.assert_array_equal(once.radiance, none.radiance)


def test_coverage_is_that_of_the_disc_and_the_light_fills_the_rest():
    """A ball's outline is a circle whose radius the eye's distance gives."""
    at = shot(side=32)
    seen = lit(ball(0.7), constant(albedo=(0, 0, 0)), even(radiance=0.5), directions=1, at=at)
    radius = at.lens.fx * 0.7 / np.sqrt(9.0 - 0.49)
    assert seen.coverage.sum() == pytest.approx(np.pi * radius**2, rel=0.02)
    past = np.repeat(0.5 * (1.0 - seen.coverage)[..., None], 3, axis=-1)
    np.testing.assert_allclose(seen.behind, past, atol=1e-5)
    np.testing.assert_array_equal(seen.whole, seen.radiance + seen.behind)


def window(height, row, column, size):
    picture = np.full((height, 2 * height, 3), 0.01, np.float32)
    picture[row : row + size, column : column + size] = 20.0
    return picture


def test_a_mirror_shows_a_window_where_the_law_of_reflection_puts_it():
    """Direction by hand: z-up, centre column +x, columns towards +y are to the left."""
    height, row, column, size = 32, 10, 20, 3
    at = shot(32)
    picture = window(height, row, column, size)
    seen = lit(ball(), constant(alpha=0.0016), picture, directions=16, at=at)
    v, u = np.unravel_index(seen.radiance.sum(-1).argmax(), seen.coverage.shape)
    towards = at.cam2world[:3, :3] @ at.lens.rays()[v, u]
    eye = at.cam2world[:3, 3]
    along = towards @ -eye
    normal = eye + (along - np.sqrt(1 - (eye @ eye - along**2))) * towards
    mirrored = towards - 2 * (towards @ normal) * normal
    polar = (row + size / 2) / height * np.pi
    azimuth = (0.5 - (column + size / 2) / (2 * height)) * 2 * np.pi
    window_at = [
        np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)
    ]  # fmt: skip
    assert np.degrees(np.arccos(mirrored @ window_at)) < 10.0


def test_the_same_seed_gives_the_same_picture_whatever_it_is_split_into():
    mesh, material, picture = ball(subdivisions=2), constant(), window(16, 4, 5, 2)
    traced, sky = TracedMesh(mesh), Sky(picture)
    settings = RelightSettings()
    pictures = []
    for at_once, seed in ((1 << 18, 0), (1000, 0), (1 << 18, 1)):
        light = SkyLight(sky, traced, material, settings, at_once)
        renderer = Renderer(traced, material, directions_at_once=at_once)
        pictures.append(renderer.render(shot(12), light, 16, seed=seed).radiance)
    np.testing.assert_allclose(pictures[0], pictures[1], rtol=1e-5, atol=1e-6)
    assert np.abs(pictures[0] - pictures[2]).max() > 1e-3


def test_rays_and_directions_of_a_pixel_lie_in_strata():
    pixels = torch.arange(5)
    places = ray_places(3, pixels)
    cells = (places * 4).long()
    assert all(len({tuple(cell) for cell in cells[p].tolist()}) == RAYS for p in pixels)
    numbers = ray_numbers(3, pixels, 4)
    assert numbers.min() >= 0 and numbers.max() < 1
    heights = (numbers[:, :, 0::2] * RAYS).long()
    for way in range(3):
        assert all(sorted(heights[p, :, way].tolist()) == list(range(RAYS)) for p in pixels)
    assert (heights[:, :, 0] != heights[:, :, 1]).any()


def test_numbers_of_bounces_are_even_and_follow_their_own_point():
    start = torch.rand(2, 6)
    rows = torch.tensor([0] * 500 + [1] * 500)
    numbers = bounce_numbers(start, rows, 1)
    assert numbers.min() >= 0 and numbers.max() < 1
    for way in range(6):
        counts = torch.histc(numbers[:500, way], 10, 0.0, 1.0)
        assert (counts - 50).abs().max() < 20
    again = bounce_numbers(start[1:], rows[:500], 1)
    assert torch.equal(numbers[500:], again)
