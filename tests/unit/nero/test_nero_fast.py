"""Grids, cached distances and guided samples of the fast mode, against exact answers."""

from __future__ import annotations

import pytest
import torch
from nero_exact import exact_model, parallel_rays
from torch.autograd import gradcheck
from torch.nn import functional

from gimbal_nero.fields.distance_cache import DistanceCache
from gimbal_nero.fields.model import ShapeModel
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.fields.splines import places, products
from gimbal_nero.learning.settings import LossSettings
from gimbal_nero.learning.terms import dual_colour_term
from gimbal_nero.volume.model import Moment
from gimbal_nero.volume.render import render_rays

DOUBLE = torch.float64
SMALL = {"levels": 2, "features": 3, "coarsest": 5, "finest": 9, "width": 16, "frequencies": 2}


def points_in_cube(count, seed=0, reach=0.97):
    drawn = torch.rand(count, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    return reach * (2.0 * drawn - 1.0)


def learnt(geometry, **grid):
    """A distance whose grid and decoder are no longer at their start."""
    settings = ModelSettings(size="fast", geometry=geometry, grid={**SMALL, **grid})
    torch.manual_seed(0)
    distance = ShapeModel(settings).distance.double()
    with torch.no_grad():
        for parameter in distance.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return distance


def test_a_quadratic_spline_reproduces_lines_and_their_slopes():
    """Control values at Greville abscissae of f(x) = x give x: (k - 1/2) cells for quadratics."""
    side = 9
    x = torch.linspace(-1.0, 1.0, 41, dtype=DOUBLE)
    first, weights, slopes = places(x, side)
    control = (torch.arange(side, dtype=DOUBLE) - 0.5) * 2.0 / (side - 2) - 1.0
    taps = control[first[:, None] + torch.arange(3)]
    torch.testing.assert_close((weights * taps).sum(-1), x)
    torch.testing.assert_close((slopes * taps).sum(-1), torch.ones_like(x))


def test_slopes_of_a_spline_do_not_jump_at_its_cells():
    side, at = 9, -1.0 + 2.0 * 3 / 7
    near = torch.tensor([at - 1e-9, at + 1e-9], dtype=DOUBLE)
    first, _, slopes = places(near, side)
    assert first[0] != first[1]
    values = torch.randn(side, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    before, after = (slopes * values[first[:, None] + torch.arange(3)]).sum(-1)
    assert float(before) == pytest.approx(float(after), abs=1e-6)


def test_products_of_weights_are_those_of_a_tensor_product():
    _, weights, slopes = places(points_in_cube(4), 7)
    rows = products(weights, slopes)
    assert rows.shape == (4, 4, 27)
    torch.testing.assert_close(rows[:, 0].sum(-1), torch.ones(4, dtype=DOUBLE))
    expected = torch.einsum("ni,nj,nk->nijk", weights[:, 0], slopes[:, 1], weights[:, 2])
    torch.testing.assert_close(rows[:, 2], expected.flatten(1))


@pytest.mark.parametrize("geometry", ["planes", "hash"])
def test_gradients_are_those_of_autograd(geometry):
    """log2_rows 8 holds 256 rows: the coarse level is not hashed, the fine one is."""
    distance = learnt(geometry, log2_rows=8)
    points = points_in_cube(60).requires_grad_()
    found = distance(points)
    (expected,) = torch.autograd.grad(distance.sdf(points).sum(), points)
    torch.testing.assert_close(found.gradients, expected)
    torch.testing.assert_close(found.sdf, distance.sdf(points))


@pytest.mark.parametrize("geometry", ["planes", "hash"])
def test_a_loss_on_gradients_reaches_the_tables(geometry):
    distance = learnt(geometry, coarsest=4, finest=5, features=1, width=8)
    points = points_in_cube(3)
    tables = list(distance.grid.tables)

    def slopes(*_):
        return distance(points).gradients

    assert gradcheck(slopes, tables, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("geometry", ["planes", "hash"])
def test_it_starts_as_a_sphere(geometry):
    distance = ShapeModel(ModelSettings(size="fast", geometry=geometry, grid=SMALL)).distance
    points = 0.5 * functional.normalize(torch.randn(50, 3), dim=-1)
    found = distance(points)
    assert float(found.sdf.detach().abs().max()) < 1e-6
    outward = functional.normalize(points, dim=-1)
    assert float((found.gradients - outward).norm(dim=-1).max()) < 0.03


@pytest.mark.parametrize("geometry", ["planes", "hash"])
def test_no_points_have_no_distances(geometry):
    found = learnt(geometry)(torch.zeros(0, 3, dtype=DOUBLE))
    assert (found.sdf.shape, found.gradients.shape) == ((0,), (0, 3))
    found.gradients.sum().backward()


def test_only_levels_that_are_awake_learn():
    distance = learnt("planes")
    distance.focus(0.5)
    distance.sdf(points_in_cube(20)).sum().backward()
    assert [table.grad is not None for table in distance.grid.tables] == [True, False]
    said = distance.sdf(points_in_cube(20))
    distance.focus(1.0)
    torch.testing.assert_close(distance.sdf(points_in_cube(20)), said)


def test_a_cache_knows_linear_fields_exactly():
    cache = DistanceCache(6).double()
    slope = torch.tensor([0.3, -0.5, 0.9], dtype=DOUBLE)
    cache.update(lambda points: points @ slope + 0.1)
    points = points_in_cube(30).view(5, 6, 3)
    torch.testing.assert_close(cache.look_up(points), points @ slope + 0.1)


FEW = {
    "uniform": 48,
    "rounds": 2,
    "per_round": 12,
    "background": 0,
    "behind_sphere_only": True,
}


def guided_model(centres=((0.0, 0.0, 0.0),), radii=(0.5,), inv_s=512.0):
    model = exact_model(centres, radii, inv_s, sampling={**FEW, "cache": 32})
    model.cache.update(model.distance.sdf)
    return model


def asked(model, name):
    """Count the points that a method of the distance is asked for."""
    counted, plain = [], getattr(model.distance, name)

    def spy(points):
        counted.append(len(points))
        return plain(points)

    setattr(model.distance, name, spy)
    return counted


@pytest.mark.parametrize("inv_s", [64.0, 512.0])
def test_a_few_guided_samples_see_a_sphere_where_it_is(inv_s):
    """Parallel rays meet it at 3 - sqrt(r^2 - impact^2); all but a tangent's opacity is 1."""
    impacts = torch.tensor([0.0, 0.1, 0.2, 0.35, 0.45], dtype=DOUBLE)
    seen = render_rays(guided_model(inv_s=inv_s), parallel_rays(impacts))
    depth = seen.depth_along_ray / seen.opacity
    assert float((depth - (3.0 - (0.25 - impacts.square()).sqrt())).abs().max()) < 0.01
    assert float(seen.opacity.detach().min()) > (0.94 if inv_s < 100.0 else 0.99)


def test_of_two_spheres_in_a_row_the_nearer_is_seen():
    """The long empty stretch between both holds no opacity."""
    model = guided_model(((0.6, 0.0, 0.0), (-0.6, 0.0, 0.0)), (0.2, 0.3))
    seen = render_rays(model, parallel_rays([0.0, 0.25]))
    depth = (seen.depth_along_ray / seen.opacity).tolist()
    assert depth == pytest.approx([2.2, 3.6 - (0.09 - 0.0625) ** 0.5], abs=0.01)


def test_rays_that_meet_nothing_ask_nothing():
    model = guided_model()
    sdf, whole = asked(model, "sdf"), asked(model, "forward")
    seen = render_rays(model, parallel_rays([0.8, 0.9, 1.4]))
    assert float(seen.opacity.abs().max()) == 0.0
    assert sum(sdf) == sum(whole) == 0


def test_samples_are_only_near_the_surface():
    seen = render_rays(guided_model(), parallel_rays([0.0, 0.2]))
    assert int(seen.inside.sum()) > 0
    points = seen.inner_points
    assert float((points.norm(dim=-1) - 0.5).abs().max()) < 0.1


def test_cached_distances_change_at_their_steps_alone():
    model = ShapeModel(ModelSettings(size="fast", grid=SMALL))
    rays = parallel_rays([0.0])
    rays = type(rays)(origins=rays.origins.float(), directions=rays.directions.float())
    with torch.no_grad():
        model.distance.head.bias += 0.2
    before = model.cache.values.clone()
    every = model.settings.sampling.cache_every
    for moment in (Moment(), Moment(step=1), Moment(step=every - 1)):
        render_rays(model, rays, moment=moment)
        assert torch.equal(model.cache.values, before)
    render_rays(model, rays, moment=Moment(step=every))
    torch.testing.assert_close(model.cache.values, before + 0.2)
    assert "cache.values" in model.state_dict()


def test_the_plain_colour_counts_as_its_share_says():
    said = (torch.full((2, 3), 0.3), torch.full((2, 3), 0.6))
    share = torch.tensor([0.0, 1.0], requires_grad=True)
    total, count = dual_colour_term(
        said, share, torch.full((2, 3), 0.5), torch.ones(2), LossSettings(colour="l1")
    )
    assert float(total) == pytest.approx(0.2 + 0.1)
    assert int(count) == 2
    assert not total.requires_grad


def test_a_preset_gives_way_to_what_is_written():
    fast = ModelSettings(size="fast")
    assert (fast.geometry, fast.trunk, fast.sampling.cache) == ("planes", "shared", 32)
    own = ModelSettings(size="fast", geometry="hash", sampling={"cache": 0})
    assert (own.geometry, own.sampling.cache, own.sampling.per_round) == ("hash", 0, 10)
    assert ModelSettings().geometry == "mlp"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sampling": {"cache": 16}}, "behind_sphere_only"),
        ({"size": "fast", "sampling": {"rounds": 0}}, "rounds"),
        ({"mode": "radiance", "dual": True}, "dual"),
    ],
)
def test_settings_that_do_not_fit_together_are_told(given, said):
    with pytest.raises(ValueError, match=said):
        ModelSettings(**given)
