"""Where each continuous head breaks and where it does not, by algebra."""

from __future__ import annotations

from math import pi

import pytest
import torch
from torch.nn import functional

from gimbal_nbv.attention.harmonics import harmonics
from gimbal_nbv.attention.heads import HEAD_NUMBERS, aim, from_angles, length, refine, to_angles
from gimbal_nbv.attention.shape import HeadName


def vectors(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def directions(count: int, seed: int = 0) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, 3, generator=made, dtype=torch.float64), dim=1)


def jacobian(head: HeadName, raw: torch.Tensor) -> torch.Tensor:
    """Return d(direction)/d(raw) [3,K] at one point."""
    return torch.autograd.functional.jacobian(lambda r: aim(head, r[None]).direction[0], raw)


@pytest.mark.parametrize("head", HEAD_NUMBERS)
def test_directions_are_unit_vectors(head: HeadName) -> None:
    raw = torch.randn(50, HEAD_NUMBERS[head], generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(aim(head, raw).direction.norm(dim=1), torch.ones(50).double())


def test_angles_and_directions_are_inverse() -> None:
    some = directions(200)
    torch.testing.assert_close(from_angles(to_angles(some)), some)
    assert (to_angles(some)[:, 0] >= 0).all()
    assert (to_angles(some)[:, 0] < 2 * pi).all()


def test_the_first_camera_is_at_azimuth_zero_and_its_opposite_is_the_middle() -> None:
    z = vectors((0, 0, 1))
    torch.testing.assert_close(to_angles(z), vectors((0, 0)))
    torch.testing.assert_close(to_angles(-z), vectors((pi, 0)))
    torch.testing.assert_close(aim("spherical", vectors((0, 0))).direction, -z)


def test_every_head_reaches_every_direction() -> None:
    wanted = directions(40)
    angles = to_angles(wanted)
    tanh_azimuth = torch.atanh(angles[:, 0] / pi - 1)
    tanh_elevation = torch.atanh(angles[:, 1] / (pi / 2))
    raws = {
        "cartesian": 5 * wanted,
        "unit_vector": 0.2 * wanted,
        "spherical": torch.stack([tanh_azimuth, tanh_elevation], 1),
        "spherical_periodic": torch.stack(
            [angles[:, 0].cos(), angles[:, 0].sin(), tanh_elevation], 1
        ),
    }
    for head, raw in raws.items():
        torch.testing.assert_close(aim(head, raw).direction, wanted)


def test_the_spherical_heads_gradient_dies_towards_the_seam() -> None:
    steps = [jacobian("spherical", vectors((a, 0.0))[0])[:, 0].norm() for a in (0.0, 2.0, 6.0)]
    for a, step in zip((0.0, 2.0, 6.0), steps, strict=True):
        derivative = pi * (1 - torch.tanh(torch.tensor(a, dtype=torch.float64)) ** 2)
        torch.testing.assert_close(step, derivative)
    assert steps[2] < 1e-4 * steps[0]


def test_neighbours_across_the_seam_are_far_apart_for_the_spherical_head_only() -> None:
    left, right = from_angles(vectors((0.01, 0.0), (2 * pi - 0.01, 0.0)))
    assert torch.dot(left, right) > 0.999
    a = torch.atanh(vectors((0.01, 2 * pi - 0.01))[0] / pi - 1)
    assert (a[1] - a[0]).abs() > 5
    near = vectors((0.01, 1.0, 0.0), (-0.01, 1.0, 0.0))
    for head in ("cartesian", "unit_vector"):
        one, other = aim(head, near).direction
        assert torch.dot(one, other) > 0.999


def test_the_periodic_head_is_continuous_all_the_way_round() -> None:
    angle = torch.linspace(0, 4 * pi, 4001, dtype=torch.float64)
    raw = torch.stack([angle.cos(), angle.sin(), torch.full_like(angle, 0.3)], 1)
    said = aim("spherical_periodic", raw).direction
    jump = (said[1:] - said[:-1]).norm(dim=1)
    elevation = pi / 2 * torch.tanh(torch.tensor(0.3, dtype=torch.float64))
    torch.testing.assert_close(jump, jump.new_full(jump.shape, 1) * elevation.cos() * pi / 1000)


@pytest.mark.parametrize("b", [0.0, 0.8, 3.0])
def test_azimuth_says_less_towards_the_pole(b: float) -> None:
    elevation = pi / 2 * torch.tanh(torch.tensor(b, dtype=torch.float64))
    azimuth_step = jacobian("spherical", vectors((0.0, b))[0])[:, 0].norm()
    torch.testing.assert_close(azimuth_step, pi * elevation.cos())
    turned = jacobian("spherical_periodic", vectors((1.0, 0.0, b))[0])[:, 1].norm()
    torch.testing.assert_close(turned, elevation.cos())


def test_elevation_saturates_where_tanh_does() -> None:
    for head, raw in (("spherical", (0.0, 5.0)), ("spherical_periodic", (1.0, 0.0, 5.0))):
        step = jacobian(head, vectors(raw)[0])[:, -1].norm()
        expected = pi / 2 * (1 - torch.tanh(torch.tensor(5.0, dtype=torch.float64)) ** 2)
        torch.testing.assert_close(step, expected)
        assert step < 1e-3


@pytest.mark.parametrize("head", ["cartesian", "unit_vector"])
def test_a_vector_has_the_same_slope_everywhere_but_grows_steep_near_zero(head: HeadName) -> None:
    for row in directions(10):
        for size in (1.0, 0.1):
            slope = jacobian(head, size * row)
            tangent = torch.eye(3, dtype=torch.float64) - torch.outer(row, row)
            torch.testing.assert_close(slope, tangent / size, atol=1e-9, rtol=1e-6)


def test_a_zero_vector_gives_no_nan() -> None:
    raw = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    meant = aim("unit_vector", raw)
    assert meant.norm is not None
    (meant.direction.sum() + meant.norm.sum()).backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


def test_only_the_unit_vector_head_tells_its_length_and_only_the_spherical_its_angles() -> None:
    raw = vectors((3.0, 0.0, 4.0))
    torch.testing.assert_close(aim("unit_vector", raw).norm, vectors((5,))[0])
    assert aim("cartesian", raw).norm is None
    assert aim("spherical_periodic", raw).angles is None
    assert aim("spherical", raw[:, :2]).angles is not None


def test_a_refined_direction_moves_along_the_tangent_by_at_most_half_the_spacing() -> None:
    corners = vectors((0, 0, 1), (1, 0, 0), (0, 1, 0))[None]
    best = torch.tensor([0])
    unmoved = refine(corners, best, vectors((0, 0, 9)))
    torch.testing.assert_close(unmoved, corners[:, 0], atol=1e-5, rtol=0)
    half = refine(corners, best, vectors((1, 0, 5)))
    angle = pi / 4 / 2
    expected = vectors((torch.tensor(angle).sin(), 0, torch.tensor(angle).cos()))
    torch.testing.assert_close(half, expected, atol=1e-6, rtol=0)
    far = refine(corners, best, vectors((1e9, 0, 0)))
    torch.testing.assert_close(far, vectors((0.5**0.5, 0, 0.5**0.5)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e20, 3e38])
def test_numbers_as_large_as_the_type_holds_have_a_direction(size: float) -> None:
    """Squares of 1e20 are infinite in float32: one head then said 0, another NaN."""
    wanted = functional.normalize(torch.tensor([[1.0, -0.5, 0.25]]), dim=1)
    raw = (size * wanted).requires_grad_()
    for head in ("unit_vector", "cartesian"):
        torch.testing.assert_close(aim(head, raw).direction, wanted)
    around = aim("spherical_periodic", raw).direction
    torch.testing.assert_close(around.norm(dim=1), torch.ones(1))
    torch.testing.assert_close(length(raw), torch.tensor([size]))
    candidates = torch.eye(3)[None]
    refined = refine(candidates, torch.tensor([0]), raw)
    known = refine(candidates.double(), torch.tensor([0]), raw.detach().double())
    torch.testing.assert_close(refined.double(), known, atol=1e-6, rtol=1e-5)
    (refined.sum() + around.sum() + aim("unit_vector", raw).direction.sum()).backward()
    assert raw.grad is not None and raw.grad.isfinite().all()


def test_the_scale_leaves_no_trace_in_gradients() -> None:
    raw = (3 * directions(5)).requires_grad_()
    candidates = torch.eye(3, dtype=torch.float64).expand(5, 3, 3)
    best = torch.arange(5) % 3
    for function in (
        length,
        lambda r: aim("unit_vector", r).direction,
        lambda r: refine(candidates, best, r),
    ):
        assert torch.autograd.gradcheck(function, (raw,))


def test_each_degree_of_harmonics_keeps_its_length() -> None:
    values = harmonics(directions(100))
    for part in (values[:, :3], values[:, 3:8], values[:, 8:]):
        torch.testing.assert_close(part.square().sum(1), torch.ones(100).double())


def test_harmonics_turn_into_combinations_of_their_own_degree() -> None:
    some = directions(60)
    turn, _ = torch.linalg.qr(directions(3, seed=4))
    before, after = harmonics(some), harmonics(some @ turn.T)
    for start, end in ((0, 3), (3, 8), (8, 15)):
        matrix = torch.linalg.lstsq(before[:, start:end], after[:, start:end]).solution
        torch.testing.assert_close(before[:, start:end] @ matrix, after[:, start:end])
