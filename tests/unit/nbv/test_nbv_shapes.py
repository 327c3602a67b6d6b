"""Procedural shapes: seeded, closed, outward, normalised, split by family."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal_nbv.errors import ShapeError
from gimbal_nbv.shapes import TEST_FAMILIES, TRAIN_FAMILIES, make_shape, shape_list
from gimbal_nbv.shapes.implicit import ball, block, cut, mesh_of
from gimbal_nbv.shapes.primitives import (
    box,
    capsule,
    circle,
    cylinder,
    ellipsoid,
    prism,
    rectangle,
    ring_prism,
    sweep,
    torus,
)
from gimbal_nbv.shapes.solid import Solid, rotation_about, rotation_to

FAMILIES = (*TRAIN_FAMILIES, *TEST_FAMILIES)


def volume(solid: Solid) -> float:
    """Signed volume by the divergence theorem: positive where faces wind outwards."""
    a, b, c = (solid.vertices[solid.faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def open_edges(solid: Solid) -> int:
    """Count directed edges (by position) without their opposite: 0 for a closed surface."""
    _, unique = np.unique(solid.vertices.round(9), axis=0, return_inverse=True)
    faces = unique.ravel()[solid.faces]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = edges[edges[:, 0] != edges[:, 1]]
    ahead = {tuple(edge) for edge in edges}
    return sum((b, a) not in ahead for a, b in ahead)


LINE = np.linspace([0, 0, 0], [0, 0, 2.0], 5)
TURN = np.linspace(0, 2 * np.pi, 65)[:-1]


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (box([1, 2, 3]), 6.0),
        (cylinder(0.5, 2, segments=256), np.pi / 2),
        (cylinder(0.5, 3, top=0.0, segments=256), np.pi / 4),
        (ellipsoid([0.5, 1, 2], segments=128), 4 / 3 * np.pi),
        (capsule(0.5, 1, segments=128), np.pi * (0.25 + 4 / 3 * 0.125)),
        (torus(1, 0.25, segments=128, sides=64), 2 * np.pi**2 * 0.25**2),
        (sweep(LINE, 0.5, sides=256), np.pi / 2),
        (sweep(LINE, [[1.0, 0.5]] * 5, section=rectangle(2, 2)), 4.0),
        (prism(circle(0.5, 256), 2), np.pi / 2),
        (ring_prism(circle(1.0, 256), circle(0.5, 256), 2), 2 * np.pi * 0.75),
        (mesh_of(ball([0, 0, 0], 0.5), [-0.5] * 3, [0.5] * 3, 48), np.pi / 6),
        (
            mesh_of(cut(block([0, 0, 0], [1, 1, 1]), [block([0, 0, 0.5], [0.5] * 3)]),
                    [-0.5] * 3, [0.5] * 3, 48),
            1 - 0.5**3 / 2,
        ),
    ],
)  # fmt: skip
def test_primitives_are_closed_outward_and_of_the_right_size(solid, expected):
    assert open_edges(solid) == 0
    assert volume(solid) == pytest.approx(expected, rel=0.02)


def test_a_closed_sweep_meets_itself_without_a_twist():
    path = np.stack([np.cos(TURN), np.sin(TURN), 0.3 * np.sin(2 * TURN)], axis=1)
    assert open_edges(sweep(path, 0.1, closed=True)) == 0
    length = np.linalg.norm(np.roll(path, -1, 0) - path, axis=1).sum()
    tube = sweep(path, 0.1, closed=True, sides=64)
    assert volume(tube) == pytest.approx(np.pi * 0.01 * length, rel=0.01)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_makes_seeded_normalised_outward_meshes(family):
    mesh, again, other = make_shape(family, 1), make_shape(family, 1), make_shape(family, 2)
    np.testing.assert_array_equal(mesh.vertices, again.vertices)
    np.testing.assert_array_equal(mesh.vertex_colors, again.vertex_colors)
    assert mesh.vertices.shape != other.vertices.shape or not np.allclose(
        mesh.vertices, other.vertices
    )
    low, high = mesh.bounds
    assert np.linalg.norm(high - low) == pytest.approx(1.0)
    assert np.allclose(low + high, 0)
    assert 200 <= len(mesh.faces) <= 20_000
    assert mesh.faces.min() >= 0
    assert mesh.faces.max() < len(mesh.vertices)
    assert volume(Solid(mesh.vertices, mesh.faces)) > 0


def test_held_out_families_are_never_trained_on():
    assert len(FAMILIES) >= 14
    assert not set(TRAIN_FAMILIES) & set(TEST_FAMILIES)
    train = shape_list("train", 100, seed=4)
    assert {ref.family for ref in train} <= set(TRAIN_FAMILIES)
    assert {ref.family for ref in shape_list("test", 100)} <= set(TEST_FAMILIES)


def test_longer_lists_continue_shorter_ones_and_ids_are_unique():
    longer = shape_list("train", 120, seed=7)
    assert longer[:30] == shape_list("train", 30, seed=7)
    assert len({ref.id for ref in longer}) == 120
    assert longer != shape_list("train", 120, seed=8)


def test_an_unknown_family_is_named_with_the_known_ones():
    with pytest.raises(ShapeError, match="teacup") as caught:
        make_shape("teacup", 0)
    assert "mug" in caught.value.remedy


def test_rotations_are_proper_and_go_where_they_say():
    for direction in ([0, 0, 1], [0, 0, -1], [1, 2, 3], [-1, 0.1, 0]):
        turn = rotation_to(direction)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1)
        np.testing.assert_allclose(turn[:, 2], np.array(direction) / np.linalg.norm(direction))
    np.testing.assert_allclose(
        rotation_about([0, 0, 2], np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12
    )
