"""Made photographs show what our own geometry says: place, depth, and which way the light comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from gimbal_nero.synthesis import lights
from gimbal_nero.synthesis.cameras import camera, true_poses
from gimbal_nero.synthesis.mitsuba_scene import MitsubaScene, mitsuba, sensor_dict
from gimbal_nero.synthesis.objects import shaded
from gimbal_nero.synthesis.settings import LightSettings, MaterialSettings, SyntheticSettings
from gimbal_nero.synthesis.writing import z_depth
from gimbal_vision.meshes.model import Mesh
from gimbal_vision.rendering.rays import RayCaster

pytest.importorskip("mitsuba")

Doubles = np.ndarray[Any, np.dtype[np.float64]]

CENTRE, RADIUS = np.array([0.25, 0.2, -0.15]), 0.4
MIRROR = MaterialSettings(metallic=1.0, roughness=0.02, albedo=(1.0, 1.0, 1.0))
SETTINGS = SyntheticSettings(views=3, size=24, samples=64, material=MIRROR, background="black")


def sphere() -> Mesh:
    """A ball beside the origin, so that no picture of it is symmetric."""
    made = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS)
    return Mesh(np.asarray(made.vertices) + CENTRE, np.asarray(made.faces, np.int32))


def rays(pose: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Return [H, W, 3] unit directions, how far from the ball's centre they pass, and where to.

    The last is how far along its ray the ball is met, NaN where it is not.
    """
    directions = camera(SETTINGS).rays() @ pose[:3, :3].T
    towards = CENTRE - pose[:3, 3]
    along = directions @ towards
    apart = np.linalg.norm(towards - along[..., None] * directions, axis=-1)
    with np.errstate(invalid="ignore"):
        return directions, apart, along - np.sqrt(RADIUS**2 - apart**2)


def directional_light(height: int = 64) -> Any:
    """A light whose colour is where it comes from: (1 + direction) / 2."""
    return (0.5 + 0.5 * lights.light_directions(height, 2 * height)).astype(np.float32)


@pytest.mark.parametrize("view", range(3))
def test_the_silhouette_is_where_our_camera_sees_the_ball(view: int) -> None:
    pose = true_poses(SETTINGS, 0)[view]
    scene = MitsubaScene(shaded(sphere()), np.ones((16, 32, 3), np.float32), SETTINGS, 1)
    seen = scene.render(camera(SETTINGS), pose, 0).max(-1) > 0
    apart = rays(pose)[1]
    pixel = 0.75 * 3.4 * 2 * np.tan(np.radians(SETTINGS.fov_deg / 2)) / SETTINGS.size
    inside, outside = apart < RADIUS - pixel, apart > RADIUS + pixel
    assert seen[inside].all()
    assert not seen[outside].any()
    assert inside.sum() > 30
    assert outside.sum() > 300


def test_depth_is_that_of_the_ball_and_of_what_mitsuba_sees() -> None:
    pose = true_poses(SETTINGS, 0)[1]
    lens = camera(SETTINGS)
    depth = z_depth(RayCaster(sphere(), 1), lens, pose)
    _, apart, along = rays(pose)
    inside = apart < 0.9 * RADIUS
    assert np.abs(depth - along / lens.range_per_depth())[inside].max() < 2e-3
    assert np.isinf(depth[apart > RADIUS]).all()

    mi = mitsuba(1)
    ball = {"type": "sphere", "center": CENTRE.tolist(), "radius": RADIUS}
    scene = mi.load_dict(
        {"type": "scene", "ball": ball, "integrator": {"type": "aov", "aovs": "d:depth"}}
    )
    sensor = mi.load_dict(sensor_dict(mi, lens, pose))
    theirs = np.asarray(mi.render(scene, sensor=sensor, spp=64, seed=0))[..., -1]
    middle = apart < 0.7 * RADIUS
    assert np.abs(theirs / lens.range_per_depth() - depth)[middle].max() < 0.02


@pytest.mark.parametrize("view", range(3))
def test_a_mirror_shows_the_light_of_the_reflected_direction(view: int) -> None:
    """A light that is turned, mirrored or upside down changes every colour of the ball."""
    pose = true_poses(SETTINGS, 0)[view]
    scene = MitsubaScene(shaded(sphere()), directional_light(), SETTINGS, 1)
    seen = scene.render(camera(SETTINGS), pose, 0)
    directions, apart, along = rays(pose)
    normal = (pose[:3, 3] + along[..., None] * directions - CENTRE) / RADIUS
    facing = (directions * normal).sum(-1, keepdims=True)
    reflected = directions - 2 * facing * normal
    inside = apart < 0.7 * RADIUS
    assert np.abs(seen - (0.5 + 0.5 * reflected))[inside].max() < 0.04


def test_the_background_is_the_light_behind_the_pixel() -> None:
    open_air = SETTINGS.model_copy(update={"background": "light"})
    pose = true_poses(SETTINGS, 0)[0]
    scene = MitsubaScene(shaded(sphere()), directional_light(), open_air, 1)
    seen = scene.render(camera(SETTINGS), pose, 0)
    directions, apart, _ = rays(pose)
    outside = apart > 1.2 * RADIUS
    assert np.abs(seen - (0.5 + 0.5 * directions))[outside].max() < 0.02


def test_pictures_do_not_depend_on_the_number_of_threads() -> None:
    pose = true_poses(SETTINGS, 0)[0]
    one, two = (
        MitsubaScene(shaded(sphere()), directional_light(), SETTINGS, threads).render(
            camera(SETTINGS), pose, 7
        )
        for threads in (1, 2)
    )
    assert np.array_equal(one, two)


def test_a_light_pixel_lies_where_its_direction_says() -> None:
    pixels = lights.light_pixels(lights.light_directions(8, 16), 8, 16)
    columns, rows = np.meshgrid(np.arange(16) + 0.5, np.arange(8) + 0.5)
    np.testing.assert_allclose(pixels, np.stack([columns, rows], -1), atol=1e-9)
    np.testing.assert_allclose(lights.light_pixels([0.0, 0.0, 1.0], 8, 16)[0], 8.0)


def test_a_light_survives_its_file(tmp_path: Path) -> None:
    made = lights.make_light(LightSettings(), seed=3)
    path = tmp_path / "light.hdr"
    path.write_bytes(lights.hdr_bytes(made))
    read = lights.make_light(LightSettings(hdri=path, mean_radiance=None), seed=0)
    assert np.abs(read - made).max() < 0.01 * made.max()
    assert lights.mean_radiance(made) == pytest.approx(0.3, rel=1e-4)
    turned = lights.make_light(LightSettings(hdri=path, mean_radiance=None), seed=0, number=1)
    assert np.array_equal(turned, np.roll(read, round(0.382 * read.shape[1]), axis=1))
