"""The formulas of shading, background and photographer, each computed once by hand in numpy.

Networks are replaced by small modules with a known output, so that what is left is the formula.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from nero_exact import exact_model, parallel_rays
from nero_split_sum import albedo_by_quadrature
from torch import nn

from gimbal_nero.fields.background import BackgroundNetwork
from gimbal_nero.fields.photographer import PhotographerLight
from gimbal_nero.fields.settings import BackgroundSettings, HeadSettings, ModelSettings
from gimbal_nero.fields.shading import ReflectionShader, Samples, Shaded
from gimbal_nero.volume.render import render_rays

DOUBLE = torch.float64
SMALL = HeadSettings(layers=1, width=8)
ALBEDO, METALLIC, ROUGHNESS = np.array([0.9, 0.5, 0.2]), 0.3, 0.4
PERSON, COVERAGE = np.array([0.02, 0.4, 0.1]), 0.35


class Says(nn.Module):
    """A network that says one thing and remembers what it was asked."""

    def __init__(self, *values):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values, dtype=DOUBLE))

    def forward(self, asked):
        self.asked = asked.detach().numpy()
        return self.values.expand(len(asked), -1)


class Computes(nn.Module):
    """A network that is a plain function of what it is asked."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *asked):
        return self.function(*asked)


def degree_one(lobe):
    """Undo Y_1: the direction [N, 3] of an encoded lobe, shortened by exp(-1 / kappa)."""
    x, y = (lobe[:, column] / -math.sqrt(3 / (8 * math.pi)) for column in (1, 37))
    return torch.stack([x, y, lobe[:, 0] / math.sqrt(3 / (4 * math.pi))], dim=-1)


def told(**settings):
    """A shader of known heads; direct light is brightest along +xyz, indirect light along -xyz."""
    shader = ReflectionShader(ModelSettings(heads=SMALL, **settings), 4).double()
    shader.metallic, shader.roughness = Says(METALLIC), Says(ROUGHNESS)
    shader.albedo = Says(*ALBEDO)
    shader.direct = Computes(lambda lobe: 0.5 + 0.4 * degree_one(lobe))
    shader.indirect = Computes(
        lambda asked: 0.3 + 0.1 * asked[:, :3] - 0.2 * degree_one(asked[:, 51:])
    )
    if shader.occlusion is not None:
        shader.occlusion = Computes(lambda asked: 2.2 * asked[:, 51:52] + 0.3 * asked[:, :1])
    if shader.photographer is not None:
        shader.photographer = Computes(
            lambda points, reflected, roughness, frames: (
                torch.as_tensor(PERSON) + 0.1 * reflected * roughness + frames[:, :, 3],
                torch.full((len(points), 1), COVERAGE, dtype=DOUBLE) + 0.1 * points[:, :1],
            )
        )
    return shader


def rows(values):
    return np.asarray(values) / np.linalg.norm(values, axis=-1, keepdims=True)


POINTS = np.array([[0.3, -0.2, 0.1], [-0.4, 0.2, 0.5], [0.0, 0.6, -0.1], [0.1, 0.1, 0.2]])
NORMALS = rows([[1.0, 0.2, 0.1], [-0.3, 0.5, 0.8], [0.1, 1.0, -0.4], [0.7, 0.1, 0.7]])
TOWARDS = rows([[0.9, 0.5, -0.2], [-0.9, 0.1, 0.2], [0.6, 0.9, 0.3], [0.6, -0.7, -0.8]])
FRAMES = np.broadcast_to(np.eye(4)[:3] + np.array([0.0, 0.0, 0.0, 0.05]), (4, 3, 4))


def samples(frames=None):
    tensors = {
        "points": POINTS,
        "normals": NORMALS,
        "towards": TOWARDS,
        "features": np.full((4, 4), 0.7),
    } | ({} if frames is None else {"frames": frames})
    return Samples(**{name: torch.as_tensor(value.copy()) for name, value in tensors.items()})


def by_hand(occluded, person):
    """Colour [4, 3] of the samples (nero.md 3.5), and occlusion not clamped [4, 1]."""
    facing = (NORMALS * TOWARDS).sum(-1, keepdims=True)
    reflected = 2 * facing * NORMALS - TOWARDS
    diffuse = 0.5 + 0.4 * NORMALS * math.exp(-1.0)
    specular = 0.5 + 0.4 * reflected * math.exp(-ROUGHNESS)
    if person:
        covers = COVERAGE + 0.1 * POINTS[:, :1]
        specular = covers * (PERSON + 0.1 * reflected * ROUGHNESS + 0.05) + (1 - covers) * specular
    raw = 0.5 * (2.2 * reflected[:, :1] + 0.3 * POINTS[:, :1]) + 0.5
    if occluded:
        blocked = np.clip(raw, 0.0, 1.0)
        indirect = 0.3 + 0.1 * POINTS - 0.2 * reflected * math.exp(-ROUGHNESS)
        specular = blocked * indirect + (1 - blocked) * specular
    cosines = np.maximum(facing[:, 0], 0.5 / 256)
    scale, offset = np.array([albedo_by_quadrature(c, ROUGHNESS) for c in cosines]).T[..., None]
    at_normal = 0.04 * (1 - METALLIC) + METALLIC * ALBEDO
    return (1 - METALLIC) * ALBEDO * diffuse + (at_normal * scale + offset) * specular, raw


@pytest.mark.parametrize("occluded", [True, False])
@pytest.mark.parametrize("person", [True, False])
def test_the_colour_of_a_sample(occluded, person):
    """F0, both lobes, their light, what blocks it and who stands in it; the 4th sample faces away.

    The tolerance is what the table's 192 points and its interpolation leave.
    """
    shader = told(occlusion=occluded, photographer="standing" if person else "none")
    said = shader(samples(FRAMES if person else None))
    expected, raw = by_hand(occluded, person)
    assert (NORMALS[3] * TOWARDS[3]).sum() < 0 < (NORMALS[:3] * TOWARDS[:3]).sum(-1).min()
    np.testing.assert_allclose(said.colour.detach().numpy(), expected, atol=2e-3)
    if not occluded:
        assert said.occlusion_raw is None and "occlusion" not in said.material
        return
    assert raw.min() < 0 and raw.max() > 1, "the check could fail"
    np.testing.assert_allclose(said.occlusion_raw.detach().numpy(), raw, atol=1e-12)
    shown = said.material["occlusion"].detach().numpy()
    np.testing.assert_allclose(shown, np.clip(raw, 0, 1), atol=1e-12)


def test_material_is_asked_by_feature_and_place():
    shader = told()
    shader(samples())
    for head in (shader.metallic, shader.roughness, shader.albedo):
        np.testing.assert_allclose(head.asked, np.hstack([np.full((4, 4), 0.7), POINTS]))


def test_a_photographer_who_is_not_in_the_picture_sends_nothing():
    """Rays without a frame are lit as if there were no such network."""
    with_him, without = told(photographer="standing"), told()
    assert torch.equal(with_him(samples()).colour, without(samples()).colour)


def test_the_photographers_plane_is_asked_by_a_gaussian_of_the_lobe():
    """Mean .3 xy where the ray meets his plane, variance roughness (.3 distance)^2."""
    light = PhotographerLight(SMALL).double()
    light.light = Says(0.2, 0.3, 0.4, 0.6)
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    shift = np.array([0.2, -0.1, 2.5])
    starts = np.array([[0.4, 0.1, 2.0], [-0.3, 0.2, 3.0], [0.0, 0.5, -1.0]])
    towards = rows([[0.3, 0.2, -1.0], [-0.5, 0.4, -0.7], [0.1, -0.3, 0.4]])
    roughness = np.array([[0.1], [0.5], [0.9]])
    frames = np.broadcast_to(np.column_stack([turned, shift]), (3, 3, 4)).copy()
    colour, coverage = light(
        *(torch.as_tensor(v) for v in ((starts - shift) @ turned, towards @ turned)),
        torch.as_tensor(roughness),
        torch.as_tensor(frames),
    )
    distance = -starts[:, 2:] / towards[:, 2:]
    mean = 0.3 * (starts + distance * towards)[:, :2]
    variance = roughness * (0.3 * distance) ** 2
    damped = [
        np.exp(-0.5 * 4**k * variance) * wave(2**k * mean)
        for k in range(6)
        for wave in (np.sin, np.cos)
    ]
    np.testing.assert_allclose(light.light.asked, np.hstack(damped), atol=1e-9)
    np.testing.assert_allclose(colour.detach().numpy(), [[0.2, 0.3, 0.4]] * 3)
    np.testing.assert_allclose(coverage.detach().numpy(), [[0.6]] * 3)


@pytest.mark.parametrize(
    ("start", "towards", "seen"),
    [
        ((4.99, 0.0, 1.0), (0.0, 0.0, -1.0), True),
        ((5.01, 0.0, 1.0), (0.0, 0.0, -1.0), False),
        ((0.0, 0.0, 1.0), (0.0, 0.0, 1.0), False),
        ((0.0, 0.0, -1e-4), (1.0, 0.0, 0.0), True),
        ((0.0, 0.0, 1e-4), (1.0, 0.0, 0.0), False),
        ((0.0, 0.0, -1e-4), (1.0, 0.0, -5e-5), True),
    ],
)
def test_the_photographers_picture_ends_at_five_units(start, towards, seen):
    """.3 x 5 = 1.5; a ray almost in his plane counts as one that rises by 1e-4."""
    light = PhotographerLight(SMALL).double()
    light.light = Says(0.2, 0.3, 0.4, 1.7)
    asked = (torch.tensor([v], dtype=DOUBLE) for v in (start, towards, (0.3,)))
    colour, coverage = light(*asked, torch.eye(4, dtype=DOUBLE)[None, :3])
    assert coverage.item() == (1.0 if seen else 0.0), "coverage is never above 1"
    assert (colour > 0).all().item() is seen


def background_that_says(density, *log_colour):
    """A background of one opacity a length and one colour."""
    net = BackgroundNetwork(BackgroundSettings(layers=2, width=8)).double()
    net.density, net.colour = Says(density), Says(*log_colour)
    return net


LOG_COLOUR = (7.0, -1.0, 5.5)
GLOW = np.exp([5.0, -1.0, 5.0])
"""Its logarithm is held at 5."""


def test_background_is_asked_in_the_inverted_sphere_and_says_softplus_and_a_held_exponential():
    net = background_that_says(-0.7, *LOG_COLOUR)
    places, views = [], []
    net.layers[0].register_forward_pre_hook(lambda _, asked: places.append(asked[0].numpy()))
    net.view.register_forward_pre_hook(lambda _, asked: views.append(asked[0].detach().numpy()))
    points, directions = 4.0 * POINTS + 2.0, TOWARDS
    density, colour = net(torch.as_tensor(points), torch.as_tensor(directions))
    np.testing.assert_allclose(density.detach().numpy(), np.log1p(np.exp(-0.7)), rtol=1e-6)
    np.testing.assert_allclose(colour.detach().numpy(), [GLOW] * 4, rtol=1e-12)
    radius = np.linalg.norm(points, axis=-1, keepdims=True)
    np.testing.assert_allclose(places[0][:, :4], np.hstack([points / radius, 1 / radius]))
    np.testing.assert_allclose(places[0][:, -4:], np.cos(512 * places[0][:, :4]), atol=1e-9)
    np.testing.assert_allclose(views[0][:, 8:11], -directions)


def to_srgb_by_hand(linear):
    bright = (211 * np.maximum(linear, 1e-9) ** (5 / 12) - 11) / 200
    return np.where(linear <= 0.0031308, 323 / 25 * linear, bright)


def weights_by_hand(alpha):
    return alpha * np.concatenate([[1.0], np.cumprod(1 - alpha + 1e-7)[:-1]])


def test_background_is_composited_as_exponential_sections_whose_srgb_is_not_clamped():
    """A ray beside the sphere: 6 even places, 4 even in inverse distance, last length doubled."""
    model = exact_model(sampling={"uniform": 6, "rounds": 0, "background": 4})
    model.background = background_that_says(-2.0, *LOG_COLOUR)
    seen = render_rays(model, parallel_rays([1.4]))
    places = np.linspace(1e-3, 1 - 1 / 5, 4)
    along = np.concatenate([np.linspace(2.0, 4.0, 6), 4.0 / places[::-1] + 1 / 4])
    lengths = np.diff(along, append=2 * along[-1] - along[-2])
    np.testing.assert_allclose(seen.distances[0].numpy(), along + lengths / 2, rtol=1e-6)
    alpha = 1 - np.exp(-np.log1p(np.exp(-2.0)) * lengths)
    weights = weights_by_hand(alpha)
    np.testing.assert_allclose(seen.weights[0].detach().numpy(), weights, atol=1e-9)
    expected = weights.sum() * to_srgb_by_hand(GLOW)
    assert expected.max() > 5, "it may be brighter than any picture"
    np.testing.assert_allclose(seen.outer_colour[0].detach().numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(seen.colour[0].detach().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("compositing", ["srgb", "linear"])
def test_every_sample_is_encoded_and_clamped_before_samples_are_added(compositing):
    """Clamping or encoding the sum instead would give another colour: the surface is soft."""
    model = exact_model(inv_s=20.0, compositing=compositing)
    light = np.array([2.0, 0.3, 0.002])
    model.shader = Computes(
        lambda samples: Shaded(colour=torch.as_tensor(light) * (1.3 + samples.points[:, :1]))
    )
    rays = parallel_rays([0.0, 0.4])
    seen = render_rays(model, rays)
    at = 3.0 - seen.distances.numpy()
    linear = light * (1.3 + at[..., None])
    each = np.clip(to_srgb_by_hand(linear), 0, 1) if compositing == "srgb" else linear
    weights = (seen.weights * seen.inside).detach().numpy()[..., None]
    expected = (weights * each).sum(1)
    assert linear.max() > 2 and 0.5 < weights.sum(1).min() < 0.98, "the check could fail"
    np.testing.assert_allclose(seen.colour.detach().numpy(), expected, atol=1e-6)
