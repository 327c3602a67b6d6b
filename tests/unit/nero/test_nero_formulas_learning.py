"""What of the formulas depends on the step, and terms of the loss, each computed once by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nero_ball import ball_capture
from nero_exact import ExactSpheres, exact_model, parallel_rays
from torch import nn

from gimbal_nero.fields.sdf import Distances
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.learning.task import ShapePlan, ShapeTask
from gimbal_nero.learning.terms import prior_inside_term
from gimbal_nero.volume.model import Moment
from gimbal_nero.volume.render import render_rays
from gimbal_nero.volume.shape import ShapeFields

INV_S = 30.0


class Steep(ExactSpheres):
    """Twice the distance: its gradient has length 2, and rendering must use that."""

    def sdf(self, points):
        return 2.0 * super().sdf(points)

    def forward(self, points):
        found = super().forward(points)
        return Distances(sdf=self.sdf(points), gradients=2 * found.gradients, hidden=found.hidden)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


@pytest.mark.parametrize("anneal", [0.0, 0.3, 1.0])
def test_weights_of_a_ray_at_a_moment(anneal):
    """Cosine annealing, NeuS's ratio and compositing, from 24 places of one ray."""
    model = exact_model(inv_s=INV_S, sampling={"uniform": 24, "rounds": 0})
    model.distance = Steep([[0.0, 0.0, 0.0]], [0.5])
    seen = render_rays(model, parallel_rays([0.3]), None, Moment(anneal=anneal))
    along = np.linspace(2.0, 4.0, 24)
    lengths = np.diff(along, append=2 * along[-1] - along[-2])
    middles = along + lengths / 2
    radius = np.hypot(3.0 - middles, 0.3)
    sdf = 2 * (radius - 0.5)
    cosine = 2 * -(3.0 - middles) / radius
    slope = -(np.maximum(0.5 - 0.5 * cosine, 0) * (1 - anneal) + np.maximum(-cosine, 0) * anneal)
    before, after = (sigmoid(INV_S * (sdf + way * slope * lengths / 2)) for way in (-1, 1))
    alpha = np.clip((before - after + 1e-5) / (before + 1e-5), 0, 1) * (radius <= 1)
    weights = alpha * np.concatenate([[1.0], np.cumprod(1 - alpha + 1e-7)[:-1]])
    np.testing.assert_allclose(seen.distances[0].numpy(), middles)
    np.testing.assert_allclose(seen.weights[0].detach().numpy(), weights, atol=1e-7)
    assert seen.depth_along_ray.item() == pytest.approx((weights * middles).sum(), rel=1e-6)


class Constant(nn.Module):
    """An occlusion network that says x whatever it is asked."""

    def __init__(self, x):
        super().__init__()
        self.x = nn.Parameter(torch.tensor(x, dtype=torch.float64))

    def forward(self, asked):
        return self.x.expand(len(asked), 1)


class SphereFields(ShapeFields):
    """The real renderer on an exact sphere that learns only how sharp it is and what blocks it."""

    def __init__(self, said=0.0):
        self.model = exact_model(inv_s=INV_S)
        self.model.shader.occlusion = Constant(said)
        super().__init__(self.model.settings)
        self.moments = []

    def build(self):
        return self.model, [{"params": list(self.model.parameters())}]

    def render(self, module, rays, jitter, moment):
        self.moments.append(moment)
        return super().render(module, rays, jitter, moment)


def terms_at(fields, step, **loss):
    """The terms of some rays of a ball's photographs."""
    plan = ShapePlan(
        loss=LossSettings(**loss), schedule=ScheduleSettings(), rays=RaySettings(), seed=0
    )
    task = ShapeTask(plan, fields, ball_capture())
    module, _ = task.build()
    ids = np.arange(0, 600, 20)
    batch = {k: torch.as_tensor(v) for k, v in task.source("train").fetch(ids).items()}
    return task.loss(module, batch | {"sample_ids": torch.as_tensor(ids)}, step)


@pytest.mark.parametrize(("x", "expected"), [(2.0, 1.5), (-3.0, 1.0), (0.4, 0.7)])
def test_the_occlusion_loss_is_of_half_x_and_a_half_not_clamped(x, expected):
    """Nothing blocks a lone sphere, so the loss is |x / 2 + 1/2|, and it teaches beyond 0 and 1."""
    fields = SphereFields(x)
    total, count = terms_at(fields, 20_000, occlusion_band=0.05)["occlusion"]
    assert int(count) > 10
    assert total.item() / int(count) == pytest.approx(expected, abs=1e-9)
    total.backward()
    taught = fields.model.shader.occlusion.x.grad.item() / int(count)
    assert taught == pytest.approx(0.5 if x > -1 else -0.5)
    assert fields.model.sharpness.theta.grad is None


def test_something_is_asked_for_only_within_a_tenth_of_the_centre():
    """Of all points there, whether they break the rule or not; beyond it none counts."""
    points = torch.tensor([[0.05, 0, 0], [0, 0.08, 0], [0, 0, 0.09], [0.2, 0, 0], [0.1001, 0, 0]])
    sdf = torch.tensor([0.1, -0.01, -0.05, 5.0, 5.0])
    total, count = prior_inside_term(points, sdf)
    assert int(count) == 3
    assert float(total) == pytest.approx((0.1 + 0.05) + (-0.01 + 0.02) + 0.0, abs=1e-6)


@pytest.mark.parametrize(("step", "trains"), [(0, False), (14_999, False), (15_000, True)])
def test_the_step_reaches_the_renderer_and_sharpness_rests_until_its_own(step, trains):
    fields = SphereFields()
    total, _ = terms_at(fields, step)["colour"]
    total.backward()
    assert fields.moments == [Moment(anneal=step / 50_000, variance_trains=trains, step=step)]
    slope = fields.model.sharpness.theta.grad
    assert (slope is not None and slope.abs().item() > 0) is trains
