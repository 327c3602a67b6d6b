"""Cleaning is exact and reported; measures agree with closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gimbal_vision import meshes
from gimbal_vision.errors import MeshError
from gimbal_vision.meshes.cleaning import clean, unique_rows
from gimbal_vision.meshes.parts import Soup


def soup(vertices, faces, **more) -> Soup:
    return Soup(vertices=np.array(vertices, np.float64), faces=np.array(faces, np.int64), **more)


CORNER = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_each_kind_of_damage_is_dropped_and_counted():
    """NaN, inf and absurd points; slivers, points and repeats as faces; loose points; copies."""
    vertices = [
        *CORNER,  # 0..3
        [np.nan, 0, 0],  # 4
        [0, np.inf, 0],  # 5
        [1e16, 0, 0],  # 6
        [9, 9, 9],  # 7, unreferenced
        [1, 0, 0],  # 8, copy of 1
        [-0.0, 0, 0],  # 9, copy of 0 with the other zero
        [2, 0, 0],  # 10, on the line 0-1
    ]
    faces = [
        [0, 1, 2],
        [4, 1, 2],  # nan
        [5, 1, 2],  # inf
        [6, 1, 2],  # far
        [9, 8, 2],  # repeat of the first by position
        [2, 1, 0],  # repeat, facing the other way
        [0, 1, 10],  # no area
        [0, 0, 3],  # an edge
        [0, 1, 3],
    ]
    mesh = clean(soup(vertices, faces))
    np.testing.assert_array_equal(mesh.vertices, CORNER)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 1, 3]])
    assert vars(mesh.report) == {
        "nonfinite_vertices": 3,
        "invalid_faces": 3,
        "degenerate_faces": 2,
        "duplicate_faces": 2,
        "unreferenced_vertices": 2,
        "merged_vertices": 2,
        "warnings": (),
    }


def test_a_nan_vertex_does_not_swallow_the_origin():
    """Found while testing: NaN was once parked at 0 and merged with a sound vertex there."""
    mesh = clean(soup([[np.nan, 0, 0], *CORNER], [[0, 1, 2], [1, 2, 3]]))
    np.testing.assert_array_equal(mesh.vertices, CORNER[:3])


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e12])
def test_what_is_degenerate_does_not_depend_on_the_unit(scale):
    vertices = scale * np.array([*CORNER, [0.5, 1e-15, 0]])
    mesh = clean(soup(vertices, [[0, 1, 2], [0, 1, 4]]))
    assert (len(mesh.faces), mesh.report.degenerate_faces) == (1, 1)


def test_coloured_seams_keep_their_colours_and_the_mesh_stays_closed(tetrahedron):
    """Vertices of one point but two colours stay two; closedness is judged by points."""
    colors = np.zeros((4, 3, 3), np.uint8)
    colors[0], colors[1:] = [255, 0, 0], [0, 0, 255]
    mesh = clean(soup(tetrahedron.vertices, tetrahedron.faces, corner_colors=colors))
    assert len(mesh.vertices) == 7
    np.testing.assert_array_equal(mesh.vertex_colors[mesh.faces], colors)
    np.testing.assert_array_equal(
        mesh.vertices[mesh.faces], tetrahedron.vertices[tetrahedron.faces]
    )
    assert meshes.is_watertight(mesh)


def test_texture_coordinates_follow_their_faces():
    uv = np.arange(18, dtype=np.float32).reshape(3, 3, 2)
    texture = np.zeros((4, 4, 3), np.uint8)
    mesh = clean(soup(CORNER, [[0, 1, 2], [0, 0, 1], [0, 1, 3]], uv=uv, texture=texture))
    np.testing.assert_array_equal(mesh.uv, uv[[0, 2]])


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.int64, (40, 3), elements=st.integers(0, 3)))
def test_unique_rows_agree_with_a_dictionary(rows):
    first, kind = unique_rows(rows)
    seen: dict[tuple[int, ...], int] = {}
    expected = [seen.setdefault(tuple(row), len(seen)) for row in rows.tolist()]
    np.testing.assert_array_equal(kind, expected)
    np.testing.assert_array_equal(rows[first][kind], rows)


def test_normalising_gives_diagonal_one_about_the_origin(tetrahedron):
    moved = meshes.Mesh(7 * tetrahedron.vertices + [100, -5, 3], tetrahedron.faces)
    unit, similarity = meshes.normalise_with_similarity(moved)
    low, high = unit.bounds
    assert np.linalg.norm(high - low) == pytest.approx(1.0)
    np.testing.assert_allclose(low + high, 0, atol=1e-12)
    np.testing.assert_allclose(similarity.apply(moved.vertices), unit.vertices)
    np.testing.assert_allclose(similarity.undo(unit.vertices), moved.vertices)
    np.testing.assert_array_equal(
        meshes.normalise(unit).vertices.round(12), unit.vertices.round(12)
    )


@pytest.mark.parametrize("vertices", [np.empty((0, 3)), np.ones((3, 3)), np.full((3, 3), np.nan)])
def test_what_has_no_extent_cannot_be_normalised(vertices):
    with pytest.raises(MeshError, match="normalised"):
        meshes.normalise(meshes.Mesh(vertices, np.array([[0, 1, 2]], np.int32)))


def test_measures_of_a_tetrahedron(tetrahedron):
    areas = meshes.face_areas(tetrahedron)
    np.testing.assert_allclose(areas, [0.5, 0.5, 0.5, np.sqrt(3) / 2])
    normals = meshes.face_normals(tetrahedron)
    np.testing.assert_allclose(normals[:3], [[0, 0, -1], [0, -1, 0], [-1, 0, 0]], atol=1e-15)
    np.testing.assert_allclose(normals[3], np.full(3, 1 / np.sqrt(3)))
    assert meshes.signed_volume(tetrahedron) == pytest.approx(1 / 6)
    corner = meshes.vertex_normals(tetrahedron)[0]
    np.testing.assert_allclose(corner, np.full(3, -1 / np.sqrt(3)))
    assert meshes.is_watertight(tetrahedron)


def test_holes_and_turned_faces_are_not_closed(tetrahedron):
    open_mesh = meshes.Mesh(tetrahedron.vertices, tetrahedron.faces[:3])
    turned = meshes.Mesh(tetrahedron.vertices, tetrahedron.faces.copy())
    turned.faces[0] = turned.faces[0, ::-1]
    assert not meshes.is_watertight(open_mesh)
    assert not meshes.is_watertight(turned)
