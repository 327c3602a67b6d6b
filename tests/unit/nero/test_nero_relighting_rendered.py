"""Mitsuba and the relighting renderer make the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from nero_glb import textured
from torch.nn import functional

from gimbal_nero.exporting import environment, gltf
from gimbal_nero.exporting.baking import bake
from gimbal_nero.exporting.unwrapping import unwrap
from gimbal_nero.material.networks import Material
from gimbal_nero.relighting.illumination import SkyLight
from gimbal_nero.relighting.renderer import Renderer, Shot
from gimbal_nero.relighting.settings import RelightSettings
from gimbal_nero.relighting.sky import Sky
from gimbal_nero.synthesis.cameras import camera, true_poses
from gimbal_nero.synthesis.lights import make_light
from gimbal_nero.synthesis.mitsuba_scene import MitsubaScene, mitsuba, sensor_dict
from gimbal_nero.synthesis.objects import make_object, shaded
from gimbal_nero.synthesis.settings import MaterialSettings, SyntheticSettings
from gimbal_nero.synthesis.writing import srgb_bytes
from gimbal_nero.tracing.casting import EmbreeCaster
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.meshes import Mesh
from gimbal_vision.poses import look_at

pytest.importorskip("mitsuba")

Y_UP_WORLD = environment.MITSUBA_TO_WORLD[:3, :3]
"""Turns directions of the made world into the frame in which its lights are z-up pictures."""


def metal(settings):
    def at(points):
        ones = points.new_ones(len(points), 1)
        albedo = ones * points.new_tensor(settings.albedo)
        return Material(albedo=albedo, metallic=ones, alpha=ones * settings.roughness**2)

    return at


def ours(mesh, material, sky, shot, directions, **changes):
    traced = TracedMesh(mesh)
    light = SkyLight(sky, traced, material, RelightSettings(**changes), 1 << 17)
    return Renderer(traced, material, directions_at_once=1 << 17).render(shot, light, directions)


def psnr(first, second, chosen):
    a, b = (srgb_bytes(picture)[chosen] / 255.0 for picture in (first, second))
    return 10.0 * np.log10(1.0 / np.square(a - b).mean())


def both(roughness, size, samples, directions, **changes):
    """Return our picture and Mitsuba's of two spheres in the light of a made truth."""
    settings = SyntheticSettings(
        shape="spheres",
        size=size,
        samples=samples,
        material=MaterialSettings(roughness=roughness),
    )
    mesh, light = make_object(settings, 0), make_light(settings.light, 0, 1)
    lens, pose = camera(settings), true_poses(settings, 0)[1]
    sky, shot = Sky(light, Y_UP_WORLD), Shot(lens=lens, cam2world=pose)
    seen = ours(mesh, metal(settings.material), sky, shot, directions, **changes)
    return seen, MitsubaScene(shaded(mesh), light, settings, 1).render(lens, pose, 1)


def test_two_spheres_look_as_mitsuba_shows_them():
    seen, there = both(0.3, 32, 128, 32, bounce_directions=4)
    shows = seen.coverage > 0
    assert psnr(seen.whole, there, shows) > 29.0
    assert psnr(seen.whole, there, ~shows) > 42.0
    assert seen.whole[shows].mean() == pytest.approx(there[shows].mean(), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("roughness", [0.15, 0.25, 0.4])
def test_at_defaults_two_spheres_are_within_35_decibels(roughness):
    """Without bounces they are 22 to 24 dB apart: what one sphere mirrors of the other is black."""
    seen, there = both(roughness, 96, 1024, 64)
    shows = seen.coverage > 0
    assert psnr(seen.whole, there, shows) > 35.0
    unlit, _ = both(roughness, 96, 1, 64, bounces=0)
    assert psnr(unlit.whole, there, shows) < 28.0


def painted(points):
    """A metal whose colour and roughness change from place to place."""
    x, y, z = (points[:, axis] for axis in range(3))
    albedo = np.stack([0.6 + 0.3 * np.sin(3 * x), 0.5 + 0.3 * np.sin(4 * y), 0.4 + 0 * z], -1)
    return albedo, np.ones(len(points)), np.square(0.35 + 0.1 * np.sin(3 * z))


def material_of(read):
    """Return what a ball's GLB says at points, between texels; its faces are found from within."""
    plain = trimesh.Trimesh(read.vertices, read.faces, process=False)
    caster = EmbreeCaster(Mesh(read.vertices, read.faces))
    colour = torch.from_numpy(read.base_colour / 255.0)
    linear = torch.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    others = torch.from_numpy(np.stack([read.metallic, read.roughness], -1) / 255.0)
    pictures = torch.cat([linear, others], -1).movedim(-1, 0)[None].float()

    def at(points):
        directions = functional.normalize(points.double(), dim=-1)
        faces = caster.faces(torch.zeros_like(directions), directions).numpy()
        places = points.double().numpy()
        corners = plain.triangles[faces]
        weights = trimesh.triangles.points_to_barycentric(corners, places)
        uv = (read.uv[read.faces[faces]] * weights[..., None]).sum(1)
        grid = torch.from_numpy(uv * [2, -2] + [-1, 1]).float()[None, None]
        said = functional.grid_sample(pictures, grid, align_corners=False)[0, :, 0].T
        return Material(albedo=said[:, :3], metallic=said[:, 3:4], alpha=said[:, 4:] ** 2)

    return at


@pytest.mark.slow
def test_mitsuba_shows_an_exported_file_as_we_relight_it(tmp_path):
    """The GLB's own pictures on both sides, in one z-up light."""
    made = trimesh.creation.icosphere(subdivisions=4, radius=0.8)
    surface = unwrap(Mesh(np.asarray(made.vertices) * 1.0, np.asarray(made.faces, np.int32)), 256)
    path = tmp_path / "ball.glb"
    gltf.write_glb(path, surface, bake(surface.mesh, surface.uv, painted, 256))
    read = gltf.read_glb(path)
    windows = lambda d: 0.2 + 5.0 * (d[:, :1] > 0.85) + 3.0 * (d[:, 1:2] < -0.9) + 0 * d  # noqa: E731
    picture = environment.environment_of(windows, 64)
    lens = Pinhole.from_hfov(48, 48, 40.0)
    pose = look_at(np.array([2.0, 1.5, 1.2]), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    mi = mitsuba(1)
    scene = mi.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 3},
            "light": {
                "type": "envmap",
                "bitmap": mi.Bitmap(np.ascontiguousarray(picture)),
                "to_world": mi.ScalarTransform4f(environment.MITSUBA_TO_WORLD),
            },
            "object": textured(mi, read),
        }
    )
    sensor = mi.load_dict(sensor_dict(mi, lens, pose))
    there = np.asarray(mi.render(scene, sensor=sensor, spp=512, seed=1))[..., :3]
    mesh = Mesh(read.vertices, read.faces)
    shot = Shot(lens=lens, cam2world=pose)
    seen = ours(mesh, material_of(read), Sky(picture), shot, 128, bounces=0)
    shows = seen.coverage > 0
    assert psnr(seen.whole, there, shows) > 35.0
    assert seen.whole[shows].mean() == pytest.approx(there[shows].mean(), rel=0.02)
