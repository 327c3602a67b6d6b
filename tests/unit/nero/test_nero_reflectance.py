"""Reflected light is that of the surface's definition, whatever ways of choosing it is added by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from nero_half_quadrature import reflected
from pydantic import ValidationError

from gimbal_nero.reflectance.environment import EnvironmentTable
from gimbal_nero.reflectance.errors import ReflectanceError
from gimbal_nero.reflectance.estimators import shade
from gimbal_nero.reflectance.frames import frames_of, reflections
from gimbal_nero.reflectance.model import Surface, fixed_draws, random_draws
from gimbal_nero.reflectance.sampling import (
    cosine_density,
    cosine_directions,
    golden_points,
    normal_halves,
    normal_halves_density,
    on_ring,
    visible_halves,
    visible_halves_density,
)
from gimbal_nero.reflectance.settings import EstimatorSettings

ALPHAS = (0.0016, 0.04, 0.1, 0.25, 0.5, 1.0)
COSINES = (0.2, 0.5, 0.9)
FIELD_NOTES = {  # metal of albedo 1: what the published code makes of alpha, NoV .2, .5 and .9
    0.04: (1.33, 1.45, 1.19),
    0.1: (1.74, 2.00, 1.50),
    0.25: (1.51, 1.68, 1.61),
    0.5: (1.32, 1.32, 1.46),
    1.0: (1.06, 0.99, 0.99),
}
SPOT = torch.nn.functional.normalize(torch.tensor([-0.6, 0.2, 0.775]), dim=0)


def point(cosine, alpha, count=1, albedo=1.0, metallic=1.0, turn=None):
    """`count` times the same point, the world turned by `turn`."""
    turn = torch.eye(3) if turn is None else turn
    view = torch.tensor([math.sqrt(1.0 - cosine**2), 0.0, cosine])
    return Surface(
        points=torch.zeros(count, 3),
        normals=turn[:, 2].expand(count, 3),
        towards=(turn @ view).expand(count, 3),
        albedo=torch.full((count, 3), albedo),
        metallic=torch.full((count, 1), metallic),
        alpha=torch.full((count, 1), alpha),
    )


def white(points, directions, rows):
    return torch.ones_like(directions)


def spot(points, directions, rows=None):
    return torch.exp(40.0 * (directions @ SPOT - 1.0))[:, None].expand(-1, 3)


def spot_numpy(directions):
    return np.exp(40.0 * (directions @ SPOT.double().numpy() - 1.0))


def mean_radiance(surface, light, settings, environment=None):
    draws = random_draws(len(surface.points), torch.Generator().manual_seed(3))
    return shade(surface, light, settings, draws, environment).radiance[:, 0].mean().item()


@pytest.mark.parametrize("highlight", ["visible", "halves"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_white_furnace_gives_back_what_the_definition_says(alpha, highlight):
    settings = EstimatorSettings(highlight=highlight)
    for cosine in COSINES:
        found = mean_radiance(point(cosine, alpha, 16), white, settings)
        exact, _ = reflected(1.0, 1.0, alpha, cosine, lambda d: np.ones(d.shape[:-1]), 60)
        assert found == pytest.approx(exact[0], abs=0.002)
        assert found <= 1.002


@pytest.mark.parametrize("alpha", FIELD_NOTES)
def test_the_published_sum_makes_metals_as_bright_as_was_measured(alpha):
    settings = EstimatorSettings(estimator="official")
    for cosine, measured in zip(COSINES, FIELD_NOTES[alpha], strict=True):
        found = mean_radiance(point(cosine, alpha, 128), white, settings)
        assert found == pytest.approx(measured, abs=0.03)


def test_the_published_even_directions_are_not_cosine_weighted():
    settings = EstimatorSettings(estimator="official")
    shaded = shade(
        point(0.5, 0.5), lambda p, d, rows: d[:, 2:] ** 8 + 0 * d, settings, fixed_draws(1)
    )
    assert shaded.diffuse_light[0, 0].item() == pytest.approx(0.078, abs=0.001)
    shaded = shade(point(0.5, 0.5), lambda p, d, rows: d[:, 2:] + 0 * d, settings, fixed_draws(1))
    assert shaded.diffuse_light[0, 0].item() == pytest.approx(0.561, abs=0.002)


def environment_of_spot():
    rows = 32
    polar = (torch.arange(rows)[:, None] + 0.5) / rows * math.pi
    azimuth = (0.5 - (torch.arange(2 * rows)[None] + 0.5) / (2 * rows)) * 2 * math.pi
    height, turn = torch.broadcast_tensors(polar.cos(), azimuth / (2 * math.pi))
    directions = on_ring((1 - height**2).sqrt(), height, turn)
    return EnvironmentTable(spot(None, directions.reshape(-1, 3)).reshape(rows, 2 * rows, 3))


@pytest.mark.parametrize("environment_samples", [0, 128])
@pytest.mark.parametrize("alpha", [0.04, 0.25, 1.0])
def test_a_spot_light_is_answered_within_a_hundredth(alpha, environment_samples):
    settings = EstimatorSettings(environment_samples=environment_samples)
    for cosine in COSINES:
        surface = point(cosine, alpha, 32, albedo=0.7, metallic=0.5)
        found = mean_radiance(surface, spot, settings, environment_of_spot())
        exact, _ = reflected(0.7, 0.5, alpha, cosine, spot_numpy, 60)
        assert found == pytest.approx(exact[0], rel=0.01)


def test_light_chosen_by_its_picture_is_less_noisy_and_lights_what_the_definition_lights():
    surface, exact = point(0.5, 0.5, 128, 0.7, 0.5), reflected(0.7, 0.5, 0.5, 0.5, spot_numpy, 60)
    few = {"diffuse_samples": 16, "specular_samples": 16}
    draws = random_draws(128, torch.Generator().manual_seed(0))
    plain = shade(surface, spot, EstimatorSettings(**few), draws)
    steered = EstimatorSettings(environment_samples=16, **few)
    better = shade(surface, spot, steered, draws, environment_of_spot())
    assert better.radiance.std(0)[0] < 0.5 * plain.radiance.std(0)[0]
    assert better.diffuse_light[:, 0].mean().item() == pytest.approx(exact[1][0], rel=0.01)


def test_turning_the_world_changes_nothing():
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turn = turn * torch.linalg.det(turn)
    settings = EstimatorSettings()
    still = mean_radiance(point(0.5, 0.1, 64), spot, settings)
    turned = point(0.5, 0.1, 64, turn=turn)
    found = mean_radiance(turned, lambda p, d, rows: spot(p, d @ turn, rows), settings)
    assert found == pytest.approx(still, rel=0.01)


def test_light_is_never_asked_for_from_below_the_surface():
    asked = []

    def light(points, directions, rows):
        asked.append((points, directions))
        return torch.ones_like(directions)

    for estimator in ("mis", "official"):
        shade(point(0.2, 1.0, 4), light, EstimatorSettings(estimator=estimator), fixed_draws(4))
    assert len(asked) == 2
    for points, directions in asked:
        assert directions[:, 2].min() > 0
        assert points.shape == directions.shape
        assert len(points) < 4 * 768


def test_cosine_directions_have_the_moments_of_the_cosine():
    draws = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    height = cosine_directions(golden_points(512, draws))[..., 2]
    assert height.mean().item() == pytest.approx(2 / 3, rel=0.002)
    assert (height**8).mean().item() == pytest.approx(0.2, rel=0.002)
    assert (1 - height).mean().item() == pytest.approx(1 / 3, rel=0.002)


def whole_sphere(rows=400):
    """Gauss heights and even turns [1, K, 3], and the solid angle of each."""
    nodes, weights = np.polynomial.legendre.leggauss(rows)
    height = torch.from_numpy(nodes)[:, None].expand(rows, rows)
    turn = ((torch.arange(rows) + 0.5) / rows).double()[None].expand(rows, rows)
    directions = on_ring((1 - height**2).sqrt(), height, turn).reshape(1, -1, 3)
    solid = torch.from_numpy(weights)[:, None] * (2 * math.pi / rows) * torch.ones(1, rows)
    return directions, solid.reshape(1, -1, 1)


@pytest.mark.parametrize("cosine", COSINES)
def test_densities_add_up_to_one_and_are_those_of_the_directions(cosine):
    everywhere, solid = whole_sphere()
    view = torch.tensor([[[math.sqrt(1 - cosine**2), 0.0, cosine]]], dtype=torch.float64)
    alpha = torch.tensor([[[0.3]]], dtype=torch.float64)
    places = golden_points(20_000, torch.tensor([[0.5, 0.0]], dtype=torch.float64))
    by_normals = reflections(view, normal_halves(places, alpha))
    by_sight = reflections(view, visible_halves(places, view, alpha))
    ways = {
        "cosine": (cosine_density(everywhere), cosine_directions(places)),
        "normals": (normal_halves_density(view, everywhere, alpha), by_normals),
        "sight": (visible_halves_density(view, everywhere, alpha), by_sight),
    }
    above = everywhere[..., 2:] > 0
    for name, (density, chosen) in ways.items():
        if name != "normals":  # halves that look away from the view count for nothing
            assert (density * solid).sum().item() == pytest.approx(1.0, abs=0.005)
        mean = (density * solid * everywhere * above).sum((0, 1))
        assert torch.allclose(mean, (chosen * (chosen[..., 2:] > 0)).mean((0, 1)), atol=0.003)
        share = (chosen[..., 2] > 0).double().mean()
        assert torch.allclose((density * solid * above).sum(), share, atol=0.003)


def test_densities_of_a_picture_add_up_to_one_and_are_those_of_the_directions():
    table, (everywhere, solid) = environment_of_spot(), whole_sphere()
    density = table.density(everywhere)
    chosen = table.directions(golden_points(20_000, torch.tensor([[0.5, 0.0]])))
    assert (density * solid).sum().item() == pytest.approx(1.0, abs=0.005)
    mean = (density * solid * everywhere).sum((0, 1))
    assert torch.allclose(mean, chosen.mean((0, 1)).double(), atol=0.005)
    assert table.density(chosen).min() > 0


@pytest.mark.parametrize("normal", [[0, 0, 1.0], [0, 0, -1.0], [0.6, 0, -0.8], [1.0, 0, 0]])
def test_frames_are_right_handed_rotations_onto_the_normal(normal):
    frame = frames_of(torch.tensor([normal]))[0]
    assert torch.allclose(frame @ frame.T, torch.eye(3), atol=1e-6)
    assert torch.linalg.det(frame).item() == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(frame[2], torch.tensor(normal))


@pytest.mark.parametrize("estimator", ["mis", "official"])
@pytest.mark.parametrize("alpha", [0.0016, 1.0])
@pytest.mark.parametrize("cosine", [-0.5, 0.0, 1.0])
def test_gradients_stay_finite_at_mirrors_and_at_grazing_views(estimator, alpha, cosine):
    surface = point(cosine, alpha, 8, albedo=0.5, metallic=0.5)
    learnt = (surface.albedo, surface.metallic, surface.alpha)
    for part in learnt:
        part.requires_grad_()
    settings = EstimatorSettings(estimator=estimator)
    torch.autograd.backward(shade(surface, spot, settings, fixed_draws(8)).radiance.sum())
    for part in learnt:
        assert part.grad is not None
        assert part.grad.isfinite().all()


def test_the_slope_by_alpha_is_that_of_the_integral():
    surface = point(0.5, 0.3, 256, albedo=0.7, metallic=0.5)
    surface.alpha.requires_grad_()
    draws = random_draws(256, torch.Generator().manual_seed(0))
    radiance = shade(surface, spot, EstimatorSettings(), draws).radiance[:, 0].mean()
    torch.autograd.backward(radiance)
    above, below = (
        reflected(0.7, 0.5, alpha, 0.5, spot_numpy, 60)[0][0] for alpha in (0.301, 0.299)
    )
    assert surface.alpha.grad.sum().item() == pytest.approx((above - below) / 0.002, rel=0.02)


def test_light_learns_through_what_it_lights():
    strength = torch.tensor(2.0, requires_grad=True)
    settings = EstimatorSettings()
    shaded = shade(
        point(0.5, 0.3, 4), lambda p, d, rows: strength + 0 * d, settings, fixed_draws(4)
    )
    torch.autograd.backward(shaded.radiance.sum())
    assert strength.grad.item() == pytest.approx(shaded.radiance.sum().item() / 2.0, rel=1e-4)


def test_environment_samples_need_a_picture_and_are_none_of_the_published_sum():
    with pytest.raises(ReflectanceError, match="no picture"):
        shade(point(0.5, 0.3), white, EstimatorSettings(environment_samples=8), fixed_draws(1))
    with pytest.raises(ValidationError, match="environment_samples"):
        EstimatorSettings(estimator="official", environment_samples=8)


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (torch.zeros(4, 8, 3), "black"),
        (torch.ones(4, 4, 3), "shape"),
        (torch.full((4, 8, 3), math.nan), "not finite"),
    ],
)
def test_a_picture_that_is_no_light_is_refused(picture, told):
    with pytest.raises(ReflectanceError, match=told):
        EnvironmentTable(picture)
