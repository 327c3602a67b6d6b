"""Meshes of exact distance fields: place, orientation, pieces, frames, and what has no surface."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gimbal_nero.errors import ShapeError
from gimbal_nero.meshing.files import FILES, measured, write_meshes
from gimbal_nero.meshing.marching import extract, outward, sample_volume
from gimbal_nero.meshing.pieces import largest_piece, piece_of_faces
from gimbal_nero.meshing.settings import MeshSettings
from gimbal_nero.normalisation import Normalisation
from gimbal_vision.meshes import Mesh, load_mesh, signed_volume


def quiet(done, total, words):
    assert 0 <= done <= total and words


def spheres(*given):
    """Distance to the nearest of (centre, radius)."""

    def distance(points):
        return np.min([np.linalg.norm(points - c, axis=-1) - r for c, r in given], axis=0)

    return distance


def wavy(points):
    """A distance whose slope is up to 1.6: networks are not exact either."""
    return np.linalg.norm(points, axis=-1) - 0.5 - 0.06 * np.sin(10 * points).prod(-1)


def test_a_sphere_is_where_it_is_and_its_faces_look_outwards():
    mesh = extract(
        spheres(((0.1, 0.0, -0.2), 0.5)), MeshSettings(resolution=64, points_at_once=4096), quiet
    )
    radius = np.linalg.norm(mesh.vertices - [0.1, 0.0, -0.2], axis=-1)
    assert np.abs(radius - 0.5).max() < 1e-3
    assert signed_volume(mesh) == pytest.approx(4 / 3 * math.pi * 0.125, rel=0.01)
    assert measured(mesh, 1)["watertight"]


@pytest.mark.parametrize("field", [wavy, spheres(((0.3, 0, 0), 0.3), ((-0.4, 0, 0), 0.2))])
def test_leaving_blocks_out_changes_nothing_of_the_surface(field):
    asked = []

    def counting(points):
        asked.append(len(points))
        return field(points)

    ours = sample_volume(counting, MeshSettings(resolution=80, points_at_once=5000), quiet)
    axis = np.linspace(-1, 1, 80)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    whole = field(grid).reshape(80, 80, 80).astype(np.float32)
    whole[np.linalg.norm(grid, axis=-1).reshape(whole.shape) >= 1.0] = 1.0
    assert ((ours < 0) == (whole < 0)).all()
    near = np.abs(whole) < 0.05
    assert np.array_equal(ours[near], whole[near])
    assert sum(asked) < 0.75 * 80**3


def test_what_reaches_out_of_the_unit_sphere_is_closed_there():
    mesh = extract(
        spheres(((0.8, 0, 0), 0.5)), MeshSettings(resolution=48, points_at_once=10_000), quiet
    )
    assert measured(mesh, 1)["watertight"] and signed_volume(mesh) > 0
    assert np.linalg.norm(mesh.vertices, axis=-1).max() <= 1.0 + 0.05


def test_a_surface_through_samples_is_closed_too():
    """A distance of exactly 0 at a sample puts several vertices there, and slivers between them."""
    settings = MeshSettings(resolution=33)
    mesh = extract(lambda points: np.abs(points).sum(-1) - 0.5, settings, quiet)
    assert measured(mesh, 1)["watertight"]
    assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)
    assert signed_volume(mesh) == pytest.approx(4 / 3 * 0.5**3, rel=0.01)


def test_orientation_follows_the_volume_and_no_convention():
    mesh = extract(
        spheres(((0, 0, 0), 0.4)), MeshSettings(resolution=24, points_at_once=10_000), quiet
    )
    turned = Mesh(vertices=mesh.vertices, faces=mesh.faces[:, ::-1].copy())
    assert signed_volume(turned) < 0 < signed_volume(outward(turned))


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_a_field_without_a_surface_is_named(value):
    """All inside is no surface either, though the edge of the sphere would close it."""
    settings = MeshSettings(resolution=32)
    with pytest.raises(ShapeError, match="no surface"):
        extract(lambda points: np.full(len(points), value), settings, quiet)


def test_a_steep_field_is_found_where_every_sample_is_asked():
    def steep(points):
        return 9.0 * (np.linalg.norm(points - [0.33, 0.1, -0.2], axis=-1) - 0.04)

    mesh = extract(steep, MeshSettings(resolution=64, ask_everywhere=True), quiet)
    assert signed_volume(mesh) == pytest.approx(4 / 3 * math.pi * 0.04**3, rel=0.5)


def test_a_field_that_is_not_finite_is_named():
    with pytest.raises(ShapeError, match="not finite"):
        extract(
            lambda points: np.full(len(points), np.nan),
            MeshSettings(resolution=16, points_at_once=4096),
            quiet,
        )


def test_the_largest_piece_alone():
    mesh = extract(
        spheres(((0.4, 0, 0), 0.35), ((-0.5, 0, 0), 0.2)),
        MeshSettings(resolution=48, points_at_once=10_000),
        quiet,
    )
    assert piece_of_faces(mesh).max() == 1
    kept = largest_piece(mesh)
    assert kept.vertices[:, 0].min() > 0 and piece_of_faces(kept).max() == 0
    assert signed_volume(kept) == pytest.approx(4 / 3 * math.pi * 0.35**3, rel=0.02)


def test_files_are_in_the_frames_they_are_said_to_be(tmp_path):
    place = Normalisation(
        rotation=Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix(),
        centre_source=np.array([4.0, -2.0, 7.0]),
        scale=0.25,
    )
    mesh = extract(
        spheres(((0.2, 0.1, 0), 0.5)), MeshSettings(resolution=32, points_at_once=10_000), quiet
    )
    write_meshes(mesh, place, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FILES)
    unit, source, glb = (load_mesh(tmp_path / name) for name in FILES)
    assert np.allclose(unit.vertices.mean(0), mesh.vertices.mean(0), atol=1e-5)
    assert np.allclose(place.points(source.vertices.mean(0)), mesh.vertices.mean(0), atol=1e-5)
    assert np.allclose(glb.bounds, source.bounds, atol=1e-4)
    assert signed_volume(source) == pytest.approx(signed_volume(unit) * 4.0**3, rel=1e-4)
