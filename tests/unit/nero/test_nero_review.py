"""A fitted material is looked at without a truth, and a collapsed one is named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from nero_ball import RADIUS, ball_capture
from PIL import Image

from gimbal_nero.material.loading import LoadedMaterial
from gimbal_nero.material.model import MaterialModel
from gimbal_nero.material.networks import Material
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.review import LABELS, REVIEW_FILE, Reviewed, review
from gimbal_nero.material.review_settings import ReviewSettings
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.material.shading import PointShader
from gimbal_nero.reflectance.model import SMALLEST_ALPHA
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_nero.stages.reviewing import REVIEW_GATES
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.meshes import Mesh


class Uniform(torch.nn.Module):
    """One material everywhere."""

    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def forward(self, points):
        one = torch.ones(len(points), 1)
        return Material(albedo=0.5 * one.expand(-1, 3), metallic=one, alpha=self.alpha * one)


def loaded(alpha, step):
    torch.manual_seed(0)
    model = MaterialModel(MaterialSettings(size="tiny", picture_rows=8))
    model.surface = Uniform(alpha)
    return LoadedMaterial(module=model.eval().requires_grad_(False), step=step)


def reviewed(alphas, mc=None):
    ball = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    mesh = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces, np.int32))
    settings = mc or EstimatorSettings(diffuse_samples=8, specular_samples=8)
    return Reviewed(
        capture=ball_capture(),
        traced=TracedMesh(mesh),
        field=None,
        shader=PointShader(mesh, settings),
        points=PointSettings(),
        open_step=lambda step: loaded(alphas[step], step),
        steps=sorted(alphas),
        best=max(alphas),
        points_at_once=100,
    )


def missed(found):
    return [gate.name for gate in REVIEW_GATES if not gate.check(found).passed]


def test_a_review_says_what_the_networks_say_and_draws_it(tmp_path):
    found = review(reviewed({5: 0.09, 9: 0.25}), ReviewSettings(), tmp_path, lambda *_: None)
    assert found["roughness"] == pytest.approx(0.5, abs=1e-6), "the root of alpha"
    assert found["metallic"] == pytest.approx(1.0) and found["albedo"] == pytest.approx(0.5)
    assert missed(found) == [] or missed(found) == ["material_improves"]
    told = json.loads((tmp_path / REVIEW_FILE).read_text())
    assert [one["step"] for one in told["timeline"]] == [5, 9]
    assert told["timeline"][0]["roughness"] == pytest.approx(0.3, abs=1e-6)
    for name in (told["views"][0]["file"], told["timeline"][1]["file"]):
        width, height = Image.open(tmp_path / name).size
        assert width > 96 * (len(LABELS) - 1) and height > 24


@pytest.mark.parametrize("alpha", [SMALLEST_ALPHA, 1.0])
def test_a_surface_that_became_a_mirror_or_chalk_everywhere_is_named(tmp_path, alpha):
    found = review(reviewed({1: alpha}), ReviewSettings(), tmp_path, lambda *_: None)
    assert found["at_ends"] == 1.0
    assert "roughness_in_range" in missed(found)


def test_directions_that_follow_the_learnt_light_change_noise_and_no_mean(tmp_path):
    """`mc.environment_samples`, with a table of the light as it is learnt at that moment."""
    plain = EstimatorSettings(diffuse_samples=256, specular_samples=256)
    steered = plain.model_copy(update={"environment_samples": 256})
    maps = []
    for mc in (plain, steered):
        found = review(reviewed({1: 0.09}, mc), ReviewSettings(), tmp_path, lambda *_: None)
        maps.append(found["psnr"])
    assert maps[0] == pytest.approx(maps[1], abs=0.05)


def test_a_photographer_who_stays_is_seen_where_he_was_fitted(tmp_path):
    """Which of the two he is decides his frame, and so what the surface mirrors of him."""
    found = []
    for photographer in ("standing", "fixed"):
        torch.manual_seed(0)
        model = MaterialModel(MaterialSettings(size="tiny", picture_rows=8), photographer=True)
        torch.nn.init.constant_(model.photographer.light.layers[-1].bias, -0.05)
        model.surface = Uniform(SMALLEST_ALPHA)
        one = LoadedMaterial(module=model.eval().requires_grad_(False), step=1)
        seen = replace(
            reviewed({1: 0.09}), open_step=lambda _, one=one: one, photographer=photographer
        )
        found.append(review(seen, ReviewSettings(), tmp_path, lambda *_: None)["psnr"])
    assert abs(found[0] - found[1]) > 1e-3
