"""Surface samples: reproducible, uniform, and even when asked to be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gimbal_vision.errors import MeshError
from gimbal_vision.meshes import Mesh, face_areas, face_normals
from gimbal_vision.nearest import nearest
from gimbal_vision.sampling import sample_surface, square_to_triangle

FROZEN_EVEN = [
    [0.0, 0.2735331601193707, 0.18726277790008794],
    [0.4233223500764929, 0.4956509421540254, 0.0],
]
FROZEN_INDEPENDENT = [
    [0.0, 0.10278619903042446, 0.38784284512259676],
    [0.7234703029406492, 0.0, 0.1264465546037381],
]


@pytest.fixture
def fan() -> Mesh:
    """Twenty triangles whose areas span four orders of magnitude, one of them zero, at the end."""
    rng = np.random.default_rng(0)
    size = np.append(np.geomspace(1e-2, 1, 19), 0.0)
    corners = rng.normal(size=(20, 3, 3)) * size[:, None, None]
    return Mesh(corners.reshape(-1, 3), np.arange(60, dtype=np.int32).reshape(20, 3))


def test_the_same_seed_gives_the_same_points_everywhere(tetrahedron):
    """Frozen numbers: a change here silently changes every published figure."""
    samples = sample_surface(tetrahedron, 1000, seed=7)
    np.testing.assert_array_equal(samples.points, sample_surface(tetrahedron, 1000, seed=7).points)
    assert not np.array_equal(samples.points, sample_surface(tetrahedron, 1000, seed=8).points)
    np.testing.assert_allclose(samples.points[:2], FROZEN_EVEN, atol=1e-12)
    independent = sample_surface(tetrahedron, 1000, seed=7, even=False)
    np.testing.assert_allclose(independent.points[:2], FROZEN_INDEPENDENT, atol=1e-12)


@pytest.mark.parametrize("even", [True, False])
def test_samples_lie_on_their_faces(fan, even):
    s = sample_surface(fan, 500, even=even)
    assert (s.barycentric >= 0).all()
    np.testing.assert_allclose(s.barycentric.sum(axis=1), 1)
    corners = fan.vertices[fan.faces[s.face_ids]]
    np.testing.assert_allclose(s.points, np.einsum("pk,pki->pi", s.barycentric, corners))
    np.testing.assert_array_equal(s.normals, face_normals(fan)[s.face_ids])
    assert s.face_ids.max() < 19, "the face without area is never drawn"


def test_independent_samples_fall_on_faces_in_proportion_to_area(fan):
    """Chi-square over the faces; a fixed seed, so no flaky test."""
    area = face_areas(fan)[:19]
    counts = np.bincount(sample_surface(fan, 50_000, even=False).face_ids, minlength=19)
    assert stats.chisquare(counts, counts.sum() * area / area.sum()).pvalue > 0.01


def test_even_samples_share_area_exactly_to_one_sample(fan):
    area = face_areas(fan)[:19]
    counts = np.bincount(sample_surface(fan, 5000).face_ids, minlength=19)
    assert np.abs(counts - 5000 * area / area.sum()).max() <= 2


@pytest.mark.parametrize("even", [True, False])
def test_points_are_uniform_inside_a_triangle(even):
    """Each of the 16 congruent parts of a triangle gets its share."""
    triangle = Mesh(np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0]]), np.array([[0, 1, 2]], np.int32))
    x, y, _ = sample_surface(triangle, 16_000, even=even).points.T
    upper = (x % 1 + y % 1 > 1).astype(int)
    cell = (x.astype(int) * 4 + y.astype(int)) * 2 + upper
    counts = np.unique(cell, return_counts=True)[1]
    assert len(counts) == 16
    if even:
        assert np.abs(counts - 1000).max() < 30
    else:
        assert stats.chisquare(counts).pvalue > 0.01


def test_even_samples_are_spread_better_than_independent_ones(tetrahedron):
    """The smallest gap between neighbours, the largest hole: both clearly better."""
    probe = sample_surface(tetrahedron, 20_000, seed=5, even=False).points
    holes = {
        even: np.mean(
            [
                nearest(probe, sample_surface(tetrahedron, 500, seed, even=even).points)[0].max()
                for seed in range(5)
            ]
        )
        for even in (True, False)
    }
    assert holes[True] < 0.75 * holes[False]


def test_any_prefix_of_even_samples_is_a_fair_sample(fan):
    area = face_areas(fan)[:19]
    prefix = sample_surface(fan, 20_000).face_ids[:5000]
    counts = np.bincount(prefix, minlength=19)
    assert stats.chisquare(counts, 5000 * area / area.sum()).pvalue > 0.01


def test_the_fold_of_the_square_keeps_areas():
    side = (np.arange(200) + 0.5) / 200
    square = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    weights = square_to_triangle(square)
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=1e-3)
    np.testing.assert_allclose((weights**2).mean(axis=0), 1 / 6, atol=1e-3)


@pytest.mark.parametrize(("count", "flat"), [(0, 1.0), (-3, 1.0), (10, 0.0), (10, np.nan)])
def test_nothing_to_sample_is_refused(tetrahedron, count, flat):
    with pytest.raises(MeshError, match="area"):
        sample_surface(Mesh(flat * tetrahedron.vertices, tetrahedron.faces), count)


def test_a_mesh_without_faces_is_refused(tetrahedron):
    with pytest.raises(MeshError):
        sample_surface(Mesh(tetrahedron.vertices, np.empty((0, 3), np.int32)), 5)
