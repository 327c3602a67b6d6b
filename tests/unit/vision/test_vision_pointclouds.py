"""Point-cloud distances equal their definitions, and their gradients are right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from gimbal_vision import nearest as nearest_module
from gimbal_vision import pointclouds
from gimbal_vision.errors import PointCloudError
from gimbal_vision.nearest import match, nearest


def clouds(p: int, q: int, dtype=np.float64, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(p, 3)).astype(dtype), rng.normal(size=(q, 3)).astype(dtype)


def brute_force(a, b):
    """All distances, by definition."""
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return distance.min(axis=1), distance.min(axis=0), distance.argmin(axis=1)


@pytest.fixture(params=["pykdtree", "scipy"])
def either_tree(request, monkeypatch):
    """Both trees give the same; scipy's is for machines without a wheel of the other."""
    if request.param == "scipy":
        monkeypatch.setattr(nearest_module, "KDTree", cKDTree)


@pytest.mark.parametrize(("p", "q"), [(1, 1), (1, 50), (300, 70), (4500, 200)])
def test_metrics_equal_their_definitions(either_tree, p, q):
    a, b = clouds(p, q)
    to_b, to_a, index = brute_force(a, b)
    m = pointclouds.cloud_metrics(a, b, tau=0.5)
    precision, recall = (to_b <= 0.5).mean(), (to_a <= 0.5).mean()
    harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    expected = {
        "accuracy": to_b.mean(),
        "completeness": to_a.mean(),
        "chamfer_l1": to_b.mean() + to_a.mean(),
        "chamfer_squared": (to_b**2).mean() + (to_a**2).mean(),
        "precision": precision,
        "recall": recall,
        "f_score": harmonic,
    }
    assert m.as_dict() == pytest.approx(expected, rel=1e-12)
    assert pointclouds.chamfer_l1(a, b) == pytest.approx(expected["chamfer_l1"], rel=1e-12)
    assert pointclouds.chamfer_squared(a, b) == pytest.approx(expected["chamfer_squared"])
    distance, found = nearest(a, b)
    np.testing.assert_allclose(distance, to_b)
    np.testing.assert_array_equal(found, index)


def test_sorting_along_a_curve_changes_no_answer():
    """Large clouds are matched in another order; every index must come back in the caller's."""
    a, b = clouds(20_000, 9_000, np.float32)
    expected, index = cKDTree(b).query(a)
    distance, found = nearest(a, b)
    np.testing.assert_allclose(distance, expected, rtol=1e-5)
    assert (found != index).mean() < 1e-4, "ties of float32 only"
    m = match(a, b)
    np.testing.assert_array_equal(m.first, a[m.first_order])
    np.testing.assert_array_equal(m.second, b[m.second_order])
    np.testing.assert_array_equal(m.second_order[m.nearest_second], found[m.first_order])


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("sizes", [(40, 23), (5000, 4200)])
def test_value_and_gradient_equal_those_of_torch(squared, sizes):
    """Against a plain gather with the same neighbours, in both clouds."""
    a, b = (torch.from_numpy(x).requires_grad_() for x in clouds(*sizes))
    function = pointclouds.chamfer_squared if squared else pointclouds.chamfer_l1
    value = function(a, b)
    found = torch.autograd.grad(3 * value, (a, b))
    i = torch.from_numpy(nearest(a.detach().numpy(), b.detach().numpy())[1])
    j = torch.from_numpy(nearest(b.detach().numpy(), a.detach().numpy())[1])
    power = (lambda x: x.square().sum(-1)) if squared else (lambda x: x.norm(dim=-1))
    reference = power(a - b[i]).mean() + power(b - a[j]).mean()
    expected = torch.autograd.grad(3 * reference, (a, b))
    torch.testing.assert_close(value, reference)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("function", [pointclouds.chamfer_l1, pointclouds.chamfer_squared])
def test_gradient_against_finite_differences(function):
    a, b = (torch.from_numpy(x).requires_grad_() for x in clouds(12, 9))
    assert torch.autograd.gradcheck(function, (a, b))
    assert torch.autograd.gradcheck(lambda x: function(x, b.detach()), (a,))


def test_gradient_is_zero_where_clouds_coincide():
    """The L1 distance has a kink at 0; a NaN there would poison training at its very goal."""
    a = torch.rand(50, 3, requires_grad=True)
    pointclouds.chamfer_l1(a, a.detach().clone()).backward()
    assert a.grad.abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_type_of_the_value_and_gradient_is_that_of_the_clouds(dtype):
    a = torch.rand(30, 3).to(dtype).requires_grad_()
    value = pointclouds.chamfer_squared(a, torch.rand(20, 3).to(dtype))
    value.backward()
    assert (value.dtype, a.grad.dtype) == (dtype, dtype)


def test_batches_may_be_ragged():
    pairs = [clouds(p, q, seed=p) for p, q in ((10, 7), (5, 9), (30, 1))]
    first, second = zip(*pairs, strict=True)
    values = pointclouds.chamfer_batch(first, second)
    np.testing.assert_allclose(values, [pointclouds.chamfer_l1(a, b) for a, b in pairs])
    tensor = torch.rand(4, 6, 3, requires_grad=True)
    pointclouds.chamfer_batch(tensor, torch.rand(4, 5, 3), squared=True).sum().backward()
    assert tensor.grad.abs().sum(dim=(1, 2)).min() > 0
    with pytest.raises(PointCloudError, match="paired"):
        pointclouds.chamfer_batch(first, second[:2])


def test_normal_consistency_is_one_for_parallel_and_zero_for_perpendicular():
    a, b = clouds(500, 400)
    up, east = np.array([0.0, 0, 1]), np.array([1.0, 0, 0])
    same = pointclouds.normal_consistency(a, np.tile(up, (500, 1)), b, np.tile(-up, (400, 1)))
    crossed = pointclouds.normal_consistency(a, np.tile(up, (500, 1)), b, np.tile(east, (400, 1)))
    assert (same, crossed) == (pytest.approx(1.0), pytest.approx(0.0))


def test_normals_keep_their_points_in_large_clouds():
    a, _ = clouds(6000, 1)
    n = a / np.linalg.norm(a, axis=-1, keepdims=True)
    assert pointclouds.normal_consistency(a, n, a[::-1], n[::-1]) == pytest.approx(1.0)


NAN = np.full((3, 3), np.nan)
GOOD = np.zeros((3, 3))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (np.empty((0, 3)), GOOD, "first cloud is empty"),
        (GOOD, np.empty((0, 3)), "second cloud is empty"),
        (NAN, GOOD, "3 points with NaN"),
        (GOOD, GOOD + np.array([np.inf, 0, 0]), "NaN or inf"),
        (GOOD[:, :2], GOOD, "shape"),
        (GOOD[None], GOOD, "shape"),
    ],
)
def test_clouds_without_a_distance_are_refused(first, second, words):
    for call in (
        pointclouds.chamfer_l1,
        pointclouds.cloud_metrics,
        lambda a, b: pointclouds.chamfer_squared(torch.from_numpy(a), torch.from_numpy(b)),
    ):
        with pytest.raises(PointCloudError, match=words) as caught:
            call(first, second)
        assert caught.value.remedy


def test_other_bad_arguments_are_refused():
    with pytest.raises(PointCloudError, match="tau"):
        pointclouds.cloud_metrics(GOOD, GOOD, tau=0.0)
    with pytest.raises(PointCloudError, match="Normals"):
        pointclouds.normal_consistency(GOOD, NAN, GOOD, GOOD)
    with pytest.raises(PointCloudError, match="one type"):
        pointclouds.chamfer_l1(torch.zeros(3, 3), torch.zeros(3, 3, dtype=torch.float64))


@pytest.mark.parametrize("value", [0.0, 1e-38, 1e30])
def test_many_equal_points_do_not_defeat_the_tree(value):
    cloud = np.full((2000, 3), value, np.float32)
    assert pointclouds.chamfer_l1(cloud, cloud) == 0
