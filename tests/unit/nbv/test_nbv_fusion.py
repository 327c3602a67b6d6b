"""Depth fusion: the union of unprojected depths."""

from __future__ import annotations

import numpy as np

from gimbal_nbv.fusion import fuse, one_per_voxel
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.shapes.primitives import ellipsoid
from gimbal_vision.meshes import Mesh, normalise
from gimbal_vision.rendering.raster import RasterRenderer

PROTOCOL = SphereProtocol(views=4, image_size=48)


def sphere() -> Mesh:
    solid = ellipsoid([1, 1, 1], segments=96)
    return normalise(Mesh(vertices=solid.vertices, faces=solid.faces))


def test_fused_points_lie_on_the_surface_and_carry_their_pixels():
    mesh = sphere()
    images = RasterRenderer(threads=1).render(mesh, PROTOCOL.cameras)
    cloud = fuse(images.depth, PROTOCOL.cameras, normal=images.normal, rgb=images.rgb)
    radius = np.linalg.norm(mesh.vertices, axis=1).max()
    assert len(cloud) == images.mask.sum()
    np.testing.assert_allclose(np.linalg.norm(cloud.points, axis=1), radius, rtol=5e-3)
    outward = cloud.points / radius
    assert np.einsum("ij,ij->i", cloud.normals, outward).min() > 0.9
    assert cloud.colors.shape == (len(cloud), 3)
    assert np.bincount(cloud.view, minlength=4).tolist() == images.mask.sum(axis=(1, 2)).tolist()


def test_adding_a_view_only_adds_points():
    depth = RasterRenderer(threads=1).render(sphere(), PROTOCOL.cameras, ("depth",)).depth
    two = fuse(depth[:2], PROTOCOL.cameras[:2])
    three = fuse(depth[:3], PROTOCOL.cameras[:3])
    np.testing.assert_array_equal(three.points[: len(two)], two.points)


def test_one_point_a_voxel_is_kept_the_earliest():
    depth = RasterRenderer(threads=1).render(sphere(), PROTOCOL.cameras, ("depth",)).depth
    cloud = fuse(depth, PROTOCOL.cameras)
    thin = one_per_voxel(cloud, 0.05)
    cells = np.floor(thin.points / 0.05).astype(int)
    assert len(np.unique(cells, axis=0)) == len(thin)
    assert len(thin) == len(np.unique(np.floor(cloud.points / 0.05).astype(int), axis=0))
    np.testing.assert_array_equal(thin.points[0], cloud.points[0])
    assert np.all(np.diff(thin.view) >= 0)
    assert len(fuse(depth, PROTOCOL.cameras, voxel_size=0.05)) == len(thin)
    assert len(fuse(np.zeros_like(depth), PROTOCOL.cameras)) == 0
