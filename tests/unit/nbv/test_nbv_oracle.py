"""Oracle maps against brute force, against geometry, and against the laws of coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from gimbal_nbv.building import build_oracle, noisy, reconstruction_distances, render_depth
from gimbal_nbv.coverage import coverable_samples, visible_from
from gimbal_nbv.errors import UnusableObject
from gimbal_nbv.oracle import OracleMap, pack, popcount
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.shapes.primitives import box, ellipsoid
from gimbal_vision.meshes import Mesh, normalise
from gimbal_vision.rendering.rays import RayCaster


def mesh_of(solid) -> Mesh:
    return Mesh(vertices=solid.vertices, faces=solid.faces)


def unpacked(oracle: OracleMap) -> np.ndarray:
    bits = np.unpackbits(oracle.visible.view(np.uint8), axis=1, bitorder="little")
    return bits[:, : oracle.sample_count].astype(bool)


def test_coverage_and_gains_equal_sets_of_samples(mug_oracle):
    visible = unpacked(mug_oracle)
    sets = np.array([[3, -1, -1], [3, 7, -1], [15, 0, 8]], dtype=np.int32)
    for row, views in enumerate([[3], [3, 7], [15, 0, 8]]):
        covered = visible[views].any(axis=0)
        assert mug_oracle.coverage(sets)[row] == covered.mean()
        for candidate in range(mug_oracle.views):
            gain = (visible[candidate] & ~covered).mean()
            assert mug_oracle.gains(sets)[row, candidate] == pytest.approx(gain)


@pytest.mark.parametrize("squared", [False, True])
def test_chamfer_equals_brute_force_over_all_pairs(mug_oracle, small_protocol, squared):
    """One matrix of all distances between fused depth and samples says the same."""
    mesh = normalise(make_shape("mug", 3))
    depth = render_depth(mesh, small_protocol)
    cloud = small_protocol.cameras.unproject(depth)
    views = [1, 6, 12]
    points = np.concatenate([cloud[v][depth[v] > 0] for v in views])
    pairs = cdist(mug_oracle.samples, points)
    power = 2 if squared else 1
    expected = (pairs.min(axis=1) ** power).mean() + (pairs.min(axis=0) ** power).mean()
    sets = np.array([[*views, -1]], dtype=np.int32)
    assert mug_oracle.chamfer(sets, squared=squared)[0] == pytest.approx(expected, rel=2e-3)
    if not squared:
        completeness, accuracy = pairs.min(axis=1).mean(), pairs.min(axis=0).mean()
        assert mug_oracle.completeness(sets)[0] == pytest.approx(completeness, rel=2e-3)
        assert mug_oracle.accuracy_of(sets)[0] == pytest.approx(accuracy, rel=2e-3)
        precision = (pairs.min(axis=0) < 0.01).mean()
        recall = (pairs.min(axis=1) < 0.01).mean()
        f_score = 2 * precision * recall / (precision + recall)
        assert mug_oracle.f_score(sets)[0] == pytest.approx(f_score, abs=0.01)


def test_chamfer_gains_equal_what_adding_each_view_does(mug_oracle):
    sets = np.array([[2, 9]], dtype=np.int32)
    after = [
        mug_oracle.chamfer(np.array([[2, 9, view]], dtype=np.int32))[0]
        for view in range(mug_oracle.views)
    ]
    expected = mug_oracle.chamfer(sets)[0] - np.array(after)
    np.testing.assert_allclose(mug_oracle.chamfer_gains(sets)[0], expected, atol=1e-6)


views_of = st.lists(st.integers(0, 15), min_size=1, max_size=5, unique=True)


@settings(max_examples=60, deadline=None)
@given(smaller=views_of, extra=views_of, candidate=st.integers(0, 15))
def test_coverage_is_monotone_and_submodular(mug_oracle, smaller, extra, candidate):
    """More views never cover less, and a view never gains more once others were taken."""
    larger = list(dict.fromkeys([*smaller, *extra]))

    def padded(views: list[int]) -> np.ndarray:
        return np.array([views + [-1] * (12 - len(views))], dtype=np.int32)

    assert mug_oracle.coverage(padded(larger))[0] >= mug_oracle.coverage(padded(smaller))[0]
    assert mug_oracle.completeness(padded(larger))[0] <= mug_oracle.completeness(padded(smaller))[0]
    early, late = mug_oracle.gains(padded(smaller)), mug_oracle.gains(padded(larger))
    assert late[0, candidate] <= early[0, candidate] + 1e-12
    assert np.all(late[0, larger] == 0)


def sphere_cap(radius: float, distance: float, max_incidence: float) -> float:
    """Share of a sphere seen from a distance under a largest incidence (law of sines)."""
    emission = np.arcsin(radius / distance * np.sin(max_incidence))
    polar = max_incidence - emission
    return (1 - np.cos(polar)) / 2


def test_one_view_and_its_antipode_cover_the_caps_of_a_sphere():
    """On a sphere visibility is elementary geometry: two disjoint caps."""
    protocol = SphereProtocol(views=8, image_size=32, samples=4000, grid=8)
    mesh = normalise(mesh_of(ellipsoid([1, 1, 1], segments=96)))
    tester = RayCaster(mesh, threads=1)
    samples, normals = coverable_samples(mesh, tester, protocol, 0)
    position = np.array([[0.3, -0.5, 0.8]]) / np.linalg.norm([0.3, -0.5, 0.8]) * protocol.radius
    ends = np.concatenate([position, -position])
    seen = visible_from(ends, samples, normals, tester, protocol)
    radius = float(np.linalg.norm(mesh.vertices, axis=1).max())
    cap = sphere_cap(radius, protocol.radius, np.deg2rad(protocol.max_incidence_deg))
    assert seen.mean(axis=1) == pytest.approx([cap, cap], abs=0.02)
    assert not (seen[0] & seen[1]).any()
    assert seen.any(axis=0).mean() == pytest.approx(2 * cap, abs=0.02)


def test_inner_faces_are_not_asked_for():
    """A ball inside a closed box is part of the mesh, but no camera can see it."""
    inner = ellipsoid([0.2, 0.2, 0.2])
    outer = box([1, 1, 1])
    mesh = Mesh(
        vertices=np.concatenate([outer.vertices, inner.vertices]),
        faces=np.concatenate([outer.faces, inner.faces + len(outer.vertices)]),
    )
    mesh = normalise(mesh)
    protocol = SphereProtocol(samples=500)
    samples, _ = coverable_samples(mesh, RayCaster(mesh, threads=1), protocol, 0)
    assert len(samples) == 500
    assert np.linalg.norm(samples, axis=1).min() > 0.25


def test_a_flat_sheet_is_left_out_with_a_reason():
    square = Mesh(
        vertices=np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float),
        faces=np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32),
    )
    with pytest.raises(UnusableObject, match="one view sees"):
        build_oracle(square, SphereProtocol(views=16, image_size=16, samples=200, grid=8))


def test_arrays_round_trip(mug_oracle, small_protocol):
    again = OracleMap.from_arrays(mug_oracle.to_arrays() | {"other": np.zeros(1)}, small_protocol)
    sets = np.array([[0, 5]], dtype=np.int32)
    assert again.chamfer(sets) == mug_oracle.chamfer(sets)
    np.testing.assert_array_equal(again.gains(sets), mug_oracle.gains(sets))


def test_building_is_seeded(mug_oracle, small_protocol):
    again = build_oracle(make_shape("mug", 3), small_protocol)
    for name, values in mug_oracle.to_arrays().items():
        np.testing.assert_array_equal(values, again.to_arrays()[name], err_msg=name)
    other = build_oracle(make_shape("mug", 3), small_protocol, seed=1)
    assert not np.array_equal(other.samples, mug_oracle.samples)


def test_depth_noise_moves_measured_points_only():
    depth = np.zeros((1, 8, 8), np.float32)
    depth[0, 2:6, 2:6] = 1.5
    moved = noisy(depth, 0.01, seed=0)
    assert np.all((moved > 0) == (depth > 0))
    assert 0.004 < np.abs(moved - depth)[depth > 0].mean() < 0.02


def test_a_view_that_measures_nothing_is_far_from_everything(small_protocol):
    depth = np.zeros((16, 32, 32), np.float32)
    distance, accuracy = reconstruction_distances(depth, np.zeros((5, 3)), small_protocol)
    assert np.all(distance == 1)
    assert np.all(accuracy == 0)


def test_bits_are_packed_lowest_first_and_counted():
    flags = np.zeros((2, 70), dtype=bool)
    flags[0, [0, 63, 64]] = True
    words = pack(flags)
    assert words.shape == (2, 2)
    assert words[0, 0] == (1 | 1 << 63)
    assert words[0, 1] == 1
    assert popcount(words).tolist() == [3, 0]
