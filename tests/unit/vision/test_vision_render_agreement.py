"""The z-buffer against Embree: two independent ways to the same images."""

from __future__ import annotations

import numpy as np
import pytest
from render_support import (
    SHARED_MESHES,
    bumpy_sphere,
    disagreement,
    icosphere,
    odd_camera,
    soup,
    sphere_views,
    torus,
)

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh, load_mesh, normalise
from gimbal_vision.rendering import get

FILES = sorted(
    p for p in SHARED_MESHES.rglob("*") if p.suffix.lower() in (".obj", ".off", ".stl", ".ply")
)


def assert_agreement(mesh: Mesh, cameras: PinholeCameras) -> None:
    raster = get("raster").render(mesh, cameras)
    embree = get("embree").render(mesh, cameras)
    iou, median = disagreement(raster, embree)
    assert iou > 0.9999
    assert median < 1e-6
    assert raster.mask.any()
    both = raster.mask & embree.mask
    same = raster.face_id[both] == embree.face_id[both]
    assert same.mean() > 0.998
    np.testing.assert_array_equal(raster.normal[both][same], embree.normal[both][same])
    colour = np.abs(raster.rgb[both][same].astype(int) - embree.rgb[both][same])
    assert np.median(colour) == 0 and colour.max(initial=0) <= 2


@pytest.mark.parametrize(
    "mesh",
    [icosphere(3), bumpy_sphere(5), torus(), soup(60, 1), soup(2000, 2, 0.03)],
    ids=["icosphere", "bumpy", "torus", "large triangles", "small triangles"],
)
def test_raster_and_embree_agree(mesh):
    assert_agreement(mesh, sphere_views(8, 129, 160))


def test_they_agree_with_an_odd_camera_and_a_mesh_far_from_the_origin():
    """Both work relative to the camera or the mesh, not to the world's origin."""
    mesh, offset = bumpy_sphere(4), np.array([400.0, -250.0, 1000.0])
    pose = np.eye(4)
    pose[:3, 3] = offset
    odd = odd_camera(120, 152)
    K = odd.K[0] * np.array([[2.5], [2.5], [1.0]])
    moved = Mesh(vertices=mesh.vertices + offset + (0, 0, 1.2), faces=mesh.faces)
    assert_agreement(moved, PinholeCameras(K, pose, 120, 152))


@pytest.mark.skipif(not FILES, reason="../shared/data/meshes is not there")
@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_they_agree_on_real_meshes(file):
    assert_agreement(normalise(load_mesh(file)), sphere_views(8, 128, 128))
