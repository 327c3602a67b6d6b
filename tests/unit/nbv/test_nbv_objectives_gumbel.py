"""Straight-through draws: distributed as the softmax says, with a gradient that climbs."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gimbal_nbv.objectives import ascent


def test_gumbel_draws_what_the_softmax_says() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0, -torch.inf]], dtype=torch.float64).repeat(40_000, 1)
    used = torch.isinf(scores)
    gains = torch.tensor([[0.0, 0.3, 1.0, 9.0]], dtype=torch.float64).expand(40_000, 4)
    made = torch.Generator().manual_seed(0)
    uniform = torch.rand(scores.shape, generator=made, dtype=torch.float64)
    drawn, count = ascent.gumbel_ascent(scores, gains, used, 0.5, uniform)
    exact, _ = ascent.score_ascent(scores, gains, used)
    assert float(drawn / count) == pytest.approx(float(exact / count), abs=0.01)


def test_gumbels_gradient_points_like_the_exact_one() -> None:
    made = torch.Generator().manual_seed(0)
    raw = torch.randn(5, 12, generator=made, dtype=torch.float64).requires_grad_()
    gains = torch.rand(5, 12, generator=made, dtype=torch.float64)
    used = torch.zeros(5, 12, dtype=torch.bool)
    used[:, 3] = True
    scores = raw.masked_fill(used, -torch.inf)
    exact = gradient(ascent.score_ascent(scores, gains, used)[0], raw)
    drawn = torch.zeros_like(exact)
    for _ in range(120):
        uniform = torch.rand(scores.shape, generator=made, dtype=torch.float64)
        drawn += gradient(ascent.gumbel_ascent(scores, gains, used, 1.0, uniform)[0], raw)
    assert functional.cosine_similarity(drawn.flatten(), exact.flatten(), dim=0) > 0.9
    assert (drawn[used] == 0).all()


def gradient(loss: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, raw, retain_graph=True)[0]


def test_gumbels_temperature_falls_from_one_to_a_tenth() -> None:
    values = [ascent.annealed(p) for p in (-1, 0, 0.5, 1, 2)]
    assert values == pytest.approx([1, 1, 0.1**0.5, 0.1, 0.1])
