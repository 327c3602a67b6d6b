"""Encodings, networks and the split sum against algebra and independent ways to the same number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from nero_split_sum import albedo_by_quadrature
from scipy.special import sph_harm_y
from torch.nn import functional

from gimbal_nero.fields import directional, split_sum
from gimbal_nero.fields.encodings import integrated_positional, positional, positional_pullback
from gimbal_nero.fields.model import ShapeModel
from gimbal_nero.fields.photographer import PhotographerLight
from gimbal_nero.fields.sdf import SdfNetwork
from gimbal_nero.fields.settings import HeadSettings, ModelSettings, SdfSettings
from gimbal_nero.fields.shading import sphere_exit

DOUBLE = torch.float64


def unit(count, seed=0):
    drawn = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return functional.normalize(drawn, dim=-1)


def count_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_networks_have_the_published_number_of_weights():
    model = ShapeModel(ModelSettings())
    sizes = {name: count_of(part) for name, part in model.named_children()}
    assert sizes == {
        "distance": 529_076,
        "sharpness": 1,
        "shader": 1_070_616,
        "background": 606_596,
    }


def test_a_preset_gives_way_to_what_is_written():
    settings = ModelSettings.model_validate({"size": "tiny", "sdf": {"width": 32}})
    assert (settings.sdf.layers, settings.sdf.width) == (4, 32)
    assert ModelSettings.model_validate(settings.model_dump()) == settings


def test_radiance_refuses_what_only_light_has():
    with pytest.raises(ValueError, match="photographer has no effect"):
        ModelSettings(mode="radiance", photographer="standing")


def test_positional_encoding_lists_sines_before_cosines_of_each_octave():
    x = torch.tensor([0.3, -0.2], dtype=DOUBLE)
    expected = torch.cat([x, x.sin(), x.cos(), (2 * x).sin(), (2 * x).cos()])
    assert torch.allclose(positional(x, 2), expected)


def test_pullback_is_the_transposed_jacobian():
    x = unit(5).requires_grad_()
    weights = torch.randn(5, 39, dtype=DOUBLE)
    (expected,) = torch.autograd.grad((positional(x, 6) * weights).sum(), x)
    assert torch.allclose(positional_pullback(x.detach(), weights, 6), expected, atol=1e-12)


def test_integrated_encoding_is_the_mean_over_a_gaussian():
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    mean, variance = torch.tensor([[0.4, -0.7]], dtype=DOUBLE), torch.tensor([[0.09]], dtype=DOUBLE)
    drawn = mean[:, None] + 0.3 * torch.as_tensor(nodes)[None, :, None]
    share = torch.as_tensor(weights / weights.sum())
    waves = [
        (share[None, :, None] * wave(2**k * drawn)).sum(1)
        for k in range(4)
        for wave in (torch.sin, torch.cos)
    ]
    assert torch.allclose(integrated_positional(mean, variance, 4), torch.cat(waves, -1), atol=1e-9)


def test_directional_encoding_without_roughness_is_spherical_harmonics():
    at = unit(20)
    polar, azimuth = np.arccos(at[:, 2].numpy()), np.arctan2(at[:, 1].numpy(), at[:, 0].numpy())
    pairs = [(degree, order) for degree in (1, 2, 4, 8, 16) for order in range(degree + 1)]
    expected = np.stack([sph_harm_y(n, m, polar, azimuth) for n, m in pairs], -1)
    said = directional.directional(at, torch.zeros(1, 1, dtype=DOUBLE)).numpy()
    assert np.allclose(said, np.concatenate([expected.real, expected.imag], -1), atol=1e-11)
    single = directional.directional(at.float(), torch.zeros(1, 1)).numpy()
    assert np.abs(single - said).max() < 1e-4, "degree 16 must survive single precision"


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.1])
def test_roughness_fades_harmonics_like_a_von_mises_fisher_lobe(spread):
    nodes, weights = np.polynomial.legendre.leggauss(400)
    lobe = weights * np.exp((nodes - 1.0) / spread)
    lobe /= lobe.sum()
    top = torch.tensor([[0.0, 0.0, 1.0]], dtype=DOUBLE)
    sharp, rough = (
        directional.directional(top, torch.tensor([[value]], dtype=DOUBLE))[0]
        for value in (0.0, spread)
    )
    columns = {1: 0, 2: 2, 4: 5}
    for degree, column in columns.items():
        exact = (lobe * np.polynomial.legendre.legval(nodes, np.eye(degree + 1)[degree])).sum()
        faded = float(rough[column] / sharp[column])
        assert faded == pytest.approx(math.exp(-degree * (degree + 1) * spread / 2))
        if degree * (degree + 1) * spread <= 1.0:
            assert faded == pytest.approx(exact, rel=0.016)


@pytest.mark.parametrize("layers", [4, 8])
def test_the_distance_gradient_is_what_autograd_says_and_so_is_its_own_gradient(layers):
    """The eikonal loss trains through the gradient: second derivatives count as well."""
    torch.manual_seed(1)
    net = SdfNetwork(SdfSettings(layers=layers, width=48)).double()
    points = 0.5 * unit(30)
    found = net(points)
    asked = points.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net.sdf(asked).sum(), asked, create_graph=True)
    assert torch.allclose(found.gradients, expected, atol=1e-7)
    assert torch.allclose(found.sdf, net.sdf(points), atol=1e-12)
    parameters = list(net.parameters())

    def eikonal(gradients):
        loss = (gradients.norm(dim=-1) - 1.0).square().mean()
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    for ours, theirs in zip(eikonal(found.gradients), eikonal(expected), strict=True):
        if theirs is not None:
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_distance_network_starts_as_a_sphere():
    torch.manual_seed(0)
    net = SdfNetwork(SdfSettings())
    radius = torch.rand(2000, 1, generator=torch.Generator().manual_seed(1))
    points = unit(2000).float() * radius
    with torch.no_grad():
        found = net(points)
    off = found.sdf - (radius[:, 0] - 0.5)
    assert abs(float(off.mean())) < 0.12 and float(off.std()) < 0.2
    outward = functional.cosine_similarity(found.gradients, points, dim=-1)
    assert float(outward.mean()) > 0.85
    with torch.no_grad():
        assert float(net.sdf(torch.zeros(1, 3))) < 0 < float(net.sdf(torch.tensor([[1.0, 0, 0]])))


def test_split_sum_table_agrees_with_its_definition():
    """From row 4 on, where mean 1e-3 and at most 1e-2 would do; measured: 3.7e-4 and 3.6e-3."""
    table = split_sum.table().numpy()
    off = [
        np.abs(
            table[:, row, column] - albedo_by_quadrature((column + 0.5) / 256, (row + 0.5) / 256)
        )
        for row in (4, 6, 12, 30, 60, 128, 200, 255)
        for column in (0, 1, 3, 8, 40, 128, 250, 255)
    ]
    assert np.mean(off) < 6e-4
    assert np.max(off) < 5e-3


def test_split_sum_never_sends_more_than_it_gets_and_is_exact_at_texels():
    table = split_sum.table()
    assert float(table.sum(0).max()) <= 1.0 + 1e-4 and float(table.min()) >= 0.0
    centre = torch.tensor([[(77 + 0.5) / 256]])
    scale, offset = split_sum.look_up(centre, torch.tensor([[(33 + 0.5) / 256]]))
    assert float(scale) == pytest.approx(float(table[0, 33, 77]), abs=1e-6)
    assert float(offset) == pytest.approx(float(table[1, 33, 77]), abs=1e-6)
    outside = split_sum.look_up(torch.tensor([[-0.3]]), torch.tensor([[1.4]]))
    assert float(outside[0]) == pytest.approx(float(table[0, 255, 0]), abs=1e-6)


def test_rays_leave_the_unit_sphere_where_a_quadratic_says():
    points, directions = 0.6 * unit(50, 1), unit(50, 2)
    leaves = sphere_exit(points, directions)
    assert torch.allclose(leaves.norm(dim=-1), torch.ones(50, dtype=DOUBLE))
    back = functional.normalize(leaves - points, dim=-1)
    assert torch.allclose(back, directions, atol=1e-5)
    assert torch.isfinite(sphere_exit(1.5 * unit(5, 3), unit(5, 4))).all()


def test_the_photographer_is_seen_only_by_rays_that_reach_his_plane():
    light = PhotographerLight(HeadSettings(layers=1, width=8)).double()
    torch.nn.init.constant_(light.light.layers[-1].bias, 0.0)
    frames = torch.eye(4, dtype=DOUBLE)[None, :3].expand(4, -1, -1)
    points = torch.tensor([[0.0, 0.0, 1.0]] * 4, dtype=DOUBLE)
    towards = torch.tensor(
        [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [1.0, 0.0, -0.02], [0.3, 0.1, -0.9]], dtype=DOUBLE
    )
    towards = functional.normalize(towards, dim=-1)
    colour, coverage = light(points, towards, torch.full((4, 1), 0.2, dtype=DOUBLE), frames)
    reached = (coverage[:, 0] > 0).tolist()
    assert reached == [True, False, False, True], "away, and beyond 5 units to the side, is nobody"
    assert (colour[1:3] == 0).all() and float(coverage.max()) <= 1.0
