"""Opacity, sampling and rendering against exact shapes and an independent tracer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nero_exact import exact_model, parallel_rays
from torch.nn import functional

from gimbal_nero.fields.settings import ModelSettings, SamplingSettings
from gimbal_nero.volume.alpha import annealed_slope, ray_weights, section_alpha
from gimbal_nero.volume.colour import to_linear, to_srgb
from gimbal_nero.volume.model import Jitter, Moment, Rays
from gimbal_nero.volume.occlusion_target import traced_occlusion
from gimbal_nero.volume.render import render_rays
from gimbal_nero.volume.sampling import outer_distances, resample, span
from gimbal_nero.volume.shape import ShapeFields

DOUBLE = torch.float64


def plane_weights(cosine, inv_s, density, count=2000, at=1.0):
    """Weights of sections between 0 and 2 along a ray that meets a plane."""
    edges = torch.linspace(0.0, 2.0, count + 1, dtype=DOUBLE)
    middles, length = 0.5 * (edges[1:] + edges[:-1]), edges[1:] - edges[:-1]
    sdf = (at - middles) * cosine
    slope = torch.full_like(sdf, -cosine)
    alpha = section_alpha(sdf, slope, length, torch.tensor(inv_s, dtype=DOUBLE), density)
    return middles, ray_weights(alpha[None])[0]


@pytest.mark.parametrize("cosine", [1.0, 0.5, 0.2])
@pytest.mark.parametrize(
    ("inv_s", "count"), [(20.0, 128), (40.0, 128), (512.0, 128), (40.0, 2000), (512.0, 2000)]
)
@pytest.mark.parametrize("at", [1.0, 1.003])
def test_weights_peak_at_a_plane_at_any_incidence(cosine, inv_s, count, at):
    """The published opacity is unbiased; this is what shapes are right for.

    128 sections are about those of a published ray. The count matters: every section leaks an
    opacity of about 1e-5 / sigmoid (the floor in NeuS's ratio), so 2000 of them draw the peak of a
    soft, slanted plane (inv_s 20, cosine .2) 2 to 3 of their sections nearer; see the next test.
    """
    middles, weights = plane_weights(cosine, inv_s, "cdf_ratio", count, at)
    assert abs(float(middles[weights.argmax()]) - at) <= 0.5 * 2.0 / count + 1e-9
    assert float(weights.sum()) >= 0.98


def test_only_the_floor_of_the_opacity_moves_the_peak_of_very_many_sections():
    """It thins the ray at a rate of 2 floor / length where the logistic bends (inv_s cos)^2 / 2."""
    middles, weights = plane_weights(0.2, 20.0, "cdf_ratio", 2000)
    nearer = (2 * 1e-5 / 0.001) / (0.5 * (20.0 * 0.2) ** 2)
    assert 1.0 - float(middles[weights.argmax()]) == pytest.approx(nearer, abs=0.001)


def test_the_sigmoid_density_puts_a_slanted_plane_too_near():
    """Measured for the source note's formula: .901 at cos .5 and inv_s 20, instead of 1."""
    middles, weights = plane_weights(0.5, 20.0, "sigmoid")
    assert float((weights * middles).sum() / weights.sum()) == pytest.approx(0.901, abs=0.01)
    middles, weights = plane_weights(1.0, 200.0, "sigmoid")
    assert float((weights * middles).sum() / weights.sum()) == pytest.approx(1.0, abs=0.01)


def test_annealing_ends_at_the_true_slope():
    cosine = torch.tensor([-1.0, -0.3, 0.4])
    assert annealed_slope(cosine, 1.0).tolist() == pytest.approx([-1.0, -0.3, 0.0])
    assert annealed_slope(cosine, 0.0).tolist() == pytest.approx([-1.0, -0.65, -0.3])


def test_weights_are_a_partition_of_what_is_seen():
    alpha = torch.rand(7, 40, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) * 0.2
    left = torch.prod(1.0 - alpha, dim=-1)
    assert torch.allclose(ray_weights(alpha).sum(-1) + left, torch.ones(7, dtype=DOUBLE), atol=1e-5)


def test_resampling_follows_the_weights():
    edges = torch.linspace(0.0, 4.0, 5, dtype=DOUBLE)[None]
    drawn = resample(edges, torch.tensor([[0.0, 3.0, 1.0, 0.0]], dtype=DOUBLE), 400)[0]
    counts = np.histogram(drawn.numpy(), bins=4, range=(0.0, 4.0))[0]
    assert counts.tolist() == pytest.approx([0, 300, 100, 0], abs=1)
    assert bool((drawn.diff() >= 0).all())


@pytest.mark.parametrize("inv_s", [512.0, 3000.0])
@pytest.mark.parametrize("behind", [False, True])
def test_depth_of_an_exact_sphere(inv_s, behind):
    """Through the published sampler: 64 samples and four rounds of 16."""
    impacts = [0.0, 0.1, 0.2, 0.35, 0.48]
    model = exact_model(inv_s=inv_s, sampling={"behind_sphere_only": behind})
    rendered = render_rays(model, parallel_rays(impacts))
    exact = 3.0 - (0.25 - torch.tensor(impacts, dtype=DOUBLE).square()).sqrt()
    assert (rendered.depth_along_ray - exact).abs().max() < 1e-3
    assert rendered.opacity.min() > 0.99
    outward = functional.normalize(
        parallel_rays(impacts).origins + exact[:, None] * parallel_rays(impacts).directions, dim=-1
    )
    assert functional.cosine_similarity(rendered.normal, outward, dim=-1).min() > 0.999


def test_rays_beside_the_sphere_see_the_background_alone():
    rays = parallel_rays([0.2, 0.9, 1.4])
    model = exact_model(inv_s=512.0, sampling={"background": 8, "behind_sphere_only": True})
    rendered = render_rays(model, rays)
    assert rendered.opacity[1:].max() < 2e-2 and rendered.opacity[0] > 0.99
    assert (rendered.inner_colour[2] == 0).all()
    outside = rendered.distances[~rendered.inside]
    nearest_exit = span(rays, True)[1].min()
    beyond = (rendered.weights * ~rendered.inside) > 0
    assert rendered.distances[beyond].min() >= nearest_exit and len(outside)


def test_published_background_may_stand_before_the_sphere_and_ours_may_not():
    far = parallel_rays([0.5])
    for behind, expected in ((False, True), (True, False)):
        model = exact_model(sampling={"background": 8, "behind_sphere_only": behind})
        seen = render_rays(model, far)
        before = (seen.distances < span(far, True)[0][:, None]) & (seen.weights > 0)
        assert bool(before.any()) is expected


def test_background_distances_are_even_in_their_inverse_and_stay_in_their_bins():
    settings = SamplingSettings(background=32)
    rays = parallel_rays([0.0])
    far = float(span(rays, False)[1])
    middle = outer_distances(rays, None, settings)[0]
    inverse = 1.0 / (middle - 1.0 / 32)
    assert float(inverse.diff().std()) < 1e-9 and float(middle[0]) > far
    for draw in (0.0, 0.999):
        jitter = Jitter(inner=torch.full((1,), draw), outer=torch.full((1, 32), draw))
        moved = outer_distances(rays, jitter, settings)[0]
        assert bool((moved.diff() > 0).all())
    assert float(middle[-1]) > 900.0


def ray_hits(points, directions, centres, radii):
    """Whether rays meet a sphere ahead of them, from a quadratic: the independent tracer."""
    towards = centres[None] - points[:, None]
    along = (towards * directions[:, None]).sum(-1)
    miss2 = (towards**2).sum(-1) - along**2
    return ((along > 0) & (miss2 < radii**2)).any(-1)


def test_traced_occlusion_agrees_with_a_ray_tracer_on_two_spheres():
    centres = torch.tensor([[-0.35, 0.0, 0.0], [0.25, 0.1, 0.0]], dtype=DOUBLE)
    radii = torch.tensor([0.3, 0.35], dtype=DOUBLE)
    model = exact_model(centres.tolist(), radii.tolist(), inv_s=2000.0)
    generator = torch.Generator().manual_seed(0)
    outward, towards = (
        functional.normalize(torch.randn(600, 3, generator=generator, dtype=DOUBLE), dim=-1)
        for _ in range(2)
    )
    towards = torch.where((towards * outward).sum(-1, keepdim=True) < 0, -towards, towards)
    points = centres[0] + radii[0] * 1.005 * outward
    said = traced_occlusion(model, points, towards)
    exact = ray_hits(points, towards, centres[1:], radii[1:])
    assert 0.08 < float(exact.double().mean()) < 0.6
    assert float(((said > 0.5) == exact).double().mean()) >= 0.95
    assert traced_occlusion(model, points[:0], towards[:0]).shape == (0,)


def small_shape(**settings):
    fields = ShapeFields(
        ModelSettings.model_validate(
            {
                "sdf": {"layers": 4, "width": 16},
                "heads": {"layers": 1, "width": 16},
                "background": {"layers": 2, "width": 16, "frequencies": 3},
                "sampling": {"uniform": 16, "rounds": 2, "per_round": 4, "background": 4}
                | settings.pop("sampling", {}),
            }
            | settings
        )
    )
    torch.manual_seed(0)
    module, _ = fields.build()
    return fields, module.double()


def some_rays(count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    origins = torch.randn(count, 3, generator=generator, dtype=DOUBLE)
    origins = 3.0 * functional.normalize(origins, dim=-1)
    aims = 0.4 * torch.randn(count, 3, generator=generator, dtype=DOUBLE)
    return Rays(origins=origins, directions=functional.normalize(aims - origins, dim=-1))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mode": "radiance"},
        {"compositing": "linear", "sampling": {"behind_sphere_only": True}},
        {"sphere_direction": True, "occlusion": False},
        {"density": "sigmoid", "sampling": {"background": 0}},
    ],
)
def test_a_ray_does_not_depend_on_the_rays_beside_it(settings):
    """Workers and pieces share a batch out as they like."""
    fields, module = small_shape(**settings)
    rays = some_rays()
    jitter = Jitter(
        inner=torch.rand(12, dtype=DOUBLE),
        outer=torch.rand(12, fields.background_samples, dtype=DOUBLE),
    )
    whole = fields.render(module, rays, jitter, Moment(anneal=0.3))
    parts = [
        fields.render(
            module,
            Rays(origins=rays.origins[part], directions=rays.directions[part]),
            Jitter(inner=jitter.inner[part], outer=jitter.outer[part]),
            Moment(anneal=0.3),
        )
        for part in (slice(0, 5), slice(5, 12))
    ]
    for name in ("colour", "opacity", "depth_along_ray", "gradients", "weights"):
        pieces = torch.cat([getattr(part, name) for part in parts])
        assert torch.allclose(getattr(whole, name), pieces, atol=1e-10), name
    assert torch.isfinite(whole.colour).all()


def test_what_is_seen_is_the_sum_of_its_branches_and_every_network_learns_from_it():
    fields, module = small_shape()
    seen = fields.render(module, some_rays(), None, Moment())
    assert torch.allclose(seen.colour, seen.inner_colour + seen.outer_colour)
    assert torch.allclose((seen.weights * seen.inside).sum(-1), seen.opacity)
    (seen.colour.sum() + seen.occlusion_raw.sum()).backward()
    silent = [name for name, part in module.named_parameters() if part.grad is None]
    assert silent == []


def test_occlusion_teaches_neither_shape_nor_material():
    fields, module = small_shape()
    fields.render(module, some_rays(), None, Moment()).occlusion_raw.sum().backward()
    taught = {name.split(".")[1] for name, p in module.named_parameters() if p.grad is not None}
    assert taught == {"occlusion"}


def test_a_resting_sharpness_gets_no_gradient():
    fields, module = small_shape()
    for trains in (False, True):
        module.zero_grad(set_to_none=True)
        seen = fields.render(module, some_rays(), None, Moment(variance_trains=trains))
        seen.colour.sum().backward()
        assert (module.sharpness.theta.grad is not None) is trains


def test_skipping_light_samples_moves_colours_by_no_more_than_their_weights():
    fields, module = small_shape()
    with torch.no_grad():
        module.sharpness.theta.fill_(0.55)
    every = fields.settings.sampling.model_copy(update={"skip_weight_below": 0.0})
    module.settings = fields.settings.model_copy(update={"sampling": every})
    skipping = fields.settings.sampling.model_copy(update={"skip_weight_below": 1e-4})
    rays = some_rays(40)
    whole = fields.render(module, rays, None, Moment())
    module.settings = fields.settings.model_copy(update={"sampling": skipping})
    part = fields.render(module, rays, None, Moment())
    assert 0 < int(part.shaded.sum()) < len(part.shaded)
    assert (whole.colour - part.colour).abs().max() <= 1e-4 * whole.weights.shape[1]
    assert torch.equal(whole.weights, part.weights)


def test_srgb_round_trip_and_the_space_of_targets():
    light = torch.linspace(0.0, 1.0, 1001, dtype=DOUBLE)
    assert torch.allclose(to_linear(to_srgb(light)), light, atol=1e-6)
    fields, _ = small_shape(compositing="linear")
    assert torch.allclose(fields.srgb(fields.target(light)), light, atol=1e-6)
    assert torch.equal(small_shape()[0].target(light), light)


def test_exposures_are_learnt_up_to_a_common_one():
    """Two views of the same light, one a stop brighter: the difference is found, their mean not."""
    fields = ShapeFields(ModelSettings(exposure="learned", sdf={"layers": 2, "width": 8}), views=2)
    module, _ = fields.build()
    colour = fields.srgb(to_srgb(torch.tensor([[0.2, 0.1, 0.05]]).repeat(2, 1)))
    views = torch.tensor([0, 1])
    target = to_srgb(to_linear(colour) * torch.tensor([[1.0], [2.0]]) / 2**0.5)
    optimizer = torch.optim.Adam(module.exposure.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        (fields.expose(module, colour, views) - target).square().sum().backward()
        optimizer.step()
    stops = module.exposure.stops.detach()
    assert float(stops[1] - stops[0]) == pytest.approx(1.0, abs=0.02)
    same, _ = small_shape()
    assert same.expose(small_shape()[1], colour, views) is colour
