"""Networks of material and light: their published size, their ranges, and who sends light where."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from pydantic import ValidationError
from torch.nn import functional

from gimbal_nero.material.lighting import LightNetworks, TracedLight
from gimbal_nero.material.networks import MaterialNetwork
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.reflectance.environment import EnvironmentTable
from gimbal_nero.reflectance.model import SMALLEST_ALPHA
from gimbal_nero.tracing.secondary import SecondaryRays
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.meshes import Mesh


def unit(count, seed=0):
    drawn = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=-1)


def test_the_published_networks_have_the_published_number_of_weights():
    settings = MaterialSettings()
    parts = (MaterialNetwork(settings), LightNetworks(settings))
    assert sum(p.numel() for part in parts for p in part.parameters()) == 1_403_670
    real = LightNetworks(settings.model_copy(update={"sphere_direction": True}))
    assert real.from_afar(unit(3), unit(3, 1)).shape == (3, 3)


def test_a_preset_gives_way_to_what_is_written():
    tiny = MaterialSettings.model_validate({"size": "tiny", "heads": {"layers": 1}})
    assert (tiny.width, tiny.heads.layers, tiny.heads.width) == (64, 1, 64)
    assert MaterialSettings.model_validate(tiny.model_dump()) == tiny


def test_materials_are_in_their_ranges_and_every_network_learns():
    network = MaterialNetwork(MaterialSettings(size="tiny"))
    found = network(unit(50) * 0.7)
    assert float(found.alpha.min()) >= SMALLEST_ALPHA and float(found.alpha.max()) <= 1.0
    assert found.albedo.shape == (50, 3) and found.metallic.shape == (50, 1)
    (found.alpha.sum() + found.albedo.sum() + found.metallic.sum()).backward()
    assert all(p.grad is not None for p in network.parameters())


def asked_once(rows):
    """A network of light, uneven on purpose, and one of the same weights that is looked up."""
    torch.manual_seed(3)
    every = LightNetworks(MaterialSettings(size="tiny", light="network"))
    for name, weight in every.outer.named_parameters():
        if name.endswith("original0"):
            torch.nn.init.constant_(weight, 1.5)
    looked = LightNetworks(MaterialSettings(size="tiny", light="network", light_rows=rows))
    looked.load_state_dict(every.state_dict())
    return every, looked


def apart(one, other):
    return float((one - other).norm() / other.norm())


@torch.no_grad()
def test_light_that_is_looked_up_nears_the_network_as_its_picture_grows():
    directions = unit(4000)
    every, _ = asked_once(16)
    wanted = every.from_afar(directions, directions)
    assert float(wanted.std() / wanted.mean()) > 0.2, "even light would prove nothing"
    errors = []
    for rows in (16, 64, 256):
        _, looked = asked_once(rows)
        errors.append(apart(looked.from_afar(directions, directions), wanted))
    assert errors[0] > 3.0 * errors[1] > 9.0 * errors[2] and errors[2] < 5e-3


def test_light_that_is_looked_up_learns_as_the_network_does():
    every, looked = asked_once(128)
    directions, target = unit(4000), torch.rand(4000, 3)
    gradients = []
    for networks in (every, looked):
        (networks.from_afar(directions, directions) * target).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in networks.outer.parameters()]))
    assert apart(gradients[1], gradients[0]) < 0.02


def test_light_that_is_looked_up_is_never_older_than_its_weights():
    """Not even where it was asked without a gradient before."""
    _, looked = asked_once(16)
    directions = unit(50)
    with torch.no_grad():
        before = looked.from_afar(directions, directions)
        for weight in looked.outer.parameters():
            weight.mul_(0.5)
    after = looked.from_afar(directions, directions)
    assert after.requires_grad and apart(after.detach(), before) > 0.05


@pytest.mark.parametrize("light", ["network", "picture"])
def test_the_picture_of_a_light_steers_as_the_light_shines(light):
    """Directions that its table chooses weigh the light's whole power alike on average."""
    torch.manual_seed(3)
    networks = LightNetworks(MaterialSettings(size="tiny", light=light))
    for weight in networks.outer.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    picture = networks.picture(32)
    assert picture.shape == (32, 64, 3) and not picture.requires_grad
    table = EnvironmentTable(picture)
    directions = table.directions(torch.rand(20_000, 2))
    even = unit(20_000)
    with torch.no_grad():
        chosen = (
            networks.from_afar(directions, directions).mean(-1) / table.density(directions)[:, 0]
        )
        wanted = networks.from_afar(even, even).mean(-1).mean() * 4.0 * math.pi
    assert float(chosen.mean()) == pytest.approx(float(wanted), rel=0.02)
    assert float(chosen.std() / chosen.mean()) < 0.3


@pytest.mark.parametrize("other", [{"light": "picture"}, {"sphere_direction": True}])
def test_only_light_of_directions_alone_is_looked_up(other):
    with pytest.raises(ValidationError, match="write light_rows: 0"):
        MaterialSettings.model_validate({"light_rows": 64} | other)


class TwoLights:
    """From afar 1, from the object where it is and where its mirror image lies."""

    def from_afar(self, points, directions):
        return torch.ones_like(points)

    def from_object(self, points, mirrored):
        return torch.cat([points[:, :1], mirrored[:, :2]], dim=-1)


@pytest.fixture(scope="module")
def ball():
    made = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    mesh = Mesh(np.asarray(made.vertices), np.asarray(made.faces, np.int32))
    return SecondaryRays(TracedMesh(mesh))


def test_open_directions_see_afar_and_others_the_object(ball):
    light = TracedLight(TwoLights(), ball)
    points = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.3, 0.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    found = light(points, directions, torch.arange(len(points)))
    assert found[0].tolist() == [1.0, 1.0, 1.0]
    assert found[1].tolist() == pytest.approx([0.5, 1.0, 0.0], abs=2e-3)
    normal = np.array([0.4, 0.3]) / 0.5
    mirrored = np.array([-1.0, 0.0]) - 2 * -normal[0] * normal
    assert found[2].tolist() == pytest.approx([0.4, *mirrored], abs=2e-2)


def test_light_reaches_its_networks_and_nothing_is_asked_of_no_ray(ball):
    networks = LightNetworks(MaterialSettings(size="tiny"))
    light = TracedLight(networks, ball)
    outward = unit(40)
    found = light(
        0.6 * outward, torch.cat([outward[:20], -outward[20:]]), torch.arange(len(outward))
    )
    assert float(found.min()) > 0.0
    found.sum().backward()
    assert all(p.grad is not None for p in networks.parameters())
    assert light(outward[:0], outward[:0], torch.arange(0)).shape == (0, 3)
