"""Mitsuba shows an exported GLB and an exported light as formulas say that they look."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from nero_glb import textured

from gimbal_nero.exporting import environment, gltf
from gimbal_nero.exporting.baking import bake
from gimbal_nero.exporting.unwrapping import unwrap
from gimbal_nero.synthesis.mitsuba_scene import mitsuba, sensor_dict
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.meshes.model import Mesh
from gimbal_vision.poses import look_at

pytest.importorskip("mitsuba")
pytestmark = pytest.mark.slow

SIZE, SAMPLES = 24, 256
EYE = np.array([2.0, 1.5, 1.2])
LENS = Pinhole(fx=30.0, fy=30.0, cx=SIZE / 2, cy=SIZE / 2, height=SIZE, width=SIZE)


def exported(tmp_path, material):
    made = trimesh.creation.icosphere(subdivisions=4)
    mesh = Mesh(np.asarray(made.vertices) * 1.0, np.asarray(made.faces, np.int32))
    surface = unwrap(mesh, 192)
    path = tmp_path / "ball.glb"
    gltf.write_glb(path, surface, bake(surface.mesh, surface.uv, material, 192))
    return gltf.read_glb(path)


def rendered(mi, shape, picture):
    """Return [H, W, 3] linear radiance of a shape under a z-up light."""
    light = {
        "type": "envmap",
        "bitmap": mi.Bitmap(np.ascontiguousarray(picture)),
        "to_world": mi.ScalarTransform4f(environment.MITSUBA_TO_WORLD),
    }
    scene = mi.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 2, "hide_emitters": True},
            "light": light,
            "object": shape,
        }
    )
    pose = look_at(EYE, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    sensor = mi.load_dict(sensor_dict(mi, LENS, pose))
    return np.asarray(mi.render(scene, sensor=sensor, spp=SAMPLES, seed=1))[..., :3]


def geometry():
    """Return [H, W, 3] outward normals of the unit ball, cosines towards the eye, and inside."""
    pose = look_at(EYE, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    directions = LENS.rays() @ pose[:3, :3].T
    along = directions @ -EYE
    apart = EYE @ EYE - along**2
    with np.errstate(invalid="ignore"):
        normal = EYE + (along - np.sqrt(1 - apart))[..., None] * directions
    return normal, -(directions * normal).sum(-1, keepdims=True), directions, apart < 0.8


def test_a_mirror_of_changing_colour_is_as_fresnel_says(tmp_path):
    """Under a light that tells directions apart: place, colour, and which way the light lies."""

    def material(points):
        ones = np.ones(len(points))
        return 0.5 + 0.4 * np.sin(2 * points), ones, 4e-4 * ones

    picture = environment.environment_of(lambda d: 1.5 + d, 64)
    seen = rendered(mi := mitsuba(1), textured(mi, exported(tmp_path, material)), picture)
    normal, cosine, directions, inside = geometry()
    albedo = 0.5 + 0.4 * np.sin(2 * normal)
    fresnel = albedo + (1 - albedo) * (1 - cosine) ** 5
    wanted = fresnel * (1.5 + directions + 2 * cosine * normal)
    error = np.abs(seen - wanted)[inside]
    assert inside.sum() > 100
    assert error.max() < 0.08
    assert error.mean() < 0.02


def test_one_material_in_pictures_looks_as_the_same_in_numbers(tmp_path):
    """Wrong channels, a wrong root or a wrong encoding would change the ball's brightness."""
    albedo, metallic, roughness = (0.7, 0.4, 0.1), 0.6, 0.3

    def material(points):
        ones = np.ones((len(points), 1))
        return ones * albedo, metallic * ones, roughness**2 * ones

    plain = {
        "type": "sphere",
        "bsdf": {
            "type": "principled",
            "base_color": {"type": "rgb", "value": list(albedo)},
            "metallic": metallic,
            "roughness": roughness,
            "specular": 0.5,
        },
    }
    mi = mitsuba(1)
    picture = environment.environment_of(lambda d: 1.0 + 4.0 * (d[:, :1] > 0.8) + 0 * d, 64)
    there = rendered(mi, textured(mi, exported(tmp_path, material)), picture)
    wanted = rendered(mi, mi.load_dict(plain), picture)
    inside = geometry()[3]
    assert np.abs(there - wanted)[inside].mean() < 0.02 * wanted[inside].mean()
