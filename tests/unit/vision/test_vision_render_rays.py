"""Ray casting and occlusion."""

from __future__ import annotations

import numpy as np
import pytest
from render_support import icosphere, quad, soup

from gimbal_vision.errors import RenderError
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering.rays import CHUNK, RayCaster

WALL = quad([(-1, -1, 2), (1, -1, 2), (1, 1, 2), (-1, 1, 2)])


def test_t_counts_lengths_of_the_direction():
    t, face = RayCaster(WALL).first_hit(
        [0.1, 0.2, 0.0], [[0, 0, 1], [0, 0, 4], [0, 0, -1], [1, 0, 0]]
    )
    np.testing.assert_allclose(t[:2], [2.0, 0.5], rtol=1e-6)
    assert np.isinf(t[2:]).all()
    assert (face[:2] >= 0).all() and (face[2:] == -1).all()
    assert t.dtype == np.float32 and face.dtype == np.int32


def test_shapes_broadcast_either_way():
    caster = RayCaster(WALL)
    assert caster.first_hit(np.zeros((5, 1, 3)), np.ones((4, 3)))[0].shape == (5, 4)
    assert caster.first_hit(np.zeros(3), np.array([0, 0, 1]))[1].shape == ()
    assert caster.occluded(np.zeros((7, 3)), np.array([0.0, 0.0, 3.0])).all()
    assert caster.first_hit(np.zeros((0, 3)), np.ones((0, 3)))[0].shape == (0,)


def test_many_rays_on_several_threads_equal_one_thread():
    mesh, rng = icosphere(4), np.random.default_rng(0)
    rays = rng.normal(size=(3 * CHUNK + 17, 3)).astype(np.float32)
    one = RayCaster(mesh, threads=1).first_hit(np.zeros(3), rays)
    two = RayCaster(mesh, threads=2).first_hit(np.zeros(3), rays)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one[1] >= 0).all()


def test_occlusion_is_a_test_of_the_segment_not_of_the_ray():
    caster = RayCaster(WALL)
    targets = [[0, 0, 1.9], [0, 0, 2.1], [0, 5, 2.1], [0, 0, -3]]
    np.testing.assert_array_equal(
        caster.occluded([0, 0, 0.0], targets), [False, True, False, False]
    )


def test_epsilon_is_a_world_distance_before_the_target():
    """The face a target lies on must not hide it, nor one nearer than epsilon."""
    caster, eye = RayCaster(WALL), np.array([0.2, 0.1, -30.0])
    on_wall = np.array([0.2, 0.1, 2.0])
    behind = np.array([0.0, 0.0, 1e-4])
    assert not caster.occluded(eye, on_wall, epsilon=1e-3)
    assert not caster.occluded(eye, on_wall + 9 * behind, epsilon=1e-3)
    assert caster.occluded(eye, on_wall + 11 * behind, epsilon=1e-3)
    assert not caster.occluded(on_wall, on_wall, epsilon=1e-3)


def test_half_of_a_sphere_is_hidden():
    mesh = icosphere(5)
    eye = np.array([0.0, 0.0, 4.0])
    normals = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    facing = (normals * (eye - mesh.vertices)).sum(-1)
    hidden = RayCaster(mesh).occluded(eye, mesh.vertices, epsilon=2e-3)
    assert not hidden[facing > 0.2].any()
    assert hidden[facing < -0.2].all()


@pytest.mark.parametrize("scale", [1e-6, 1e5])
def test_precision_does_not_depend_on_size_or_place(scale):
    mesh, offset = icosphere(4), np.array([300.0, -200.0, 500.0]) * scale
    moved = Mesh(vertices=mesh.vertices * scale + offset, faces=mesh.faces)
    rays = np.random.default_rng(1).normal(size=(500, 3))
    expected, faces = RayCaster(mesh).first_hit(np.zeros(3), rays)
    t, moved_faces = RayCaster(moved).first_hit(offset, rays * scale)
    np.testing.assert_allclose(t, expected, rtol=1e-5)
    assert (faces == moved_faces).mean() > 0.99


def test_a_mesh_without_faces_hides_nothing():
    caster = RayCaster(Mesh(vertices=np.zeros((0, 3)), faces=np.zeros((0, 3), np.int32)))
    t, face = caster.first_hit(np.zeros(3), np.ones((2, 3)))
    assert np.isinf(t).all() and (face == -1).all()
    assert not caster.occluded(np.zeros(3), np.ones((2, 3))).any()


@pytest.mark.parametrize("shapes", [((4, 2), (4, 3)), ((5, 3), (4, 3)), ((), (3,))])
def test_arrays_that_make_no_rays_are_refused(shapes):
    with pytest.raises(RenderError, match="do not make rays"):
        RayCaster(soup(3, 0)).first_hit(np.zeros(shapes[0]), np.ones(shapes[1]))
