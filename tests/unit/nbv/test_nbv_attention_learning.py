"""The attention policy learns from what tokens show, on a problem where nothing else can help.

An object is a ball whose surface is missing on one side. Tokens hold points and normals of what is
left, seen from views that have nothing to do with that side, and a candidate gains by facing it. So
where the views stand says nothing: the blind twin can only guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nbv.attention.inputs import PolicyInputs
from gimbal_nbv.attention.policy import AttentionNBVPolicy
from gimbal_nbv.attention.shape import AttentionShape
from gimbal_nbv.objectives.choosing import Weights, loss_terms
from gimbal_nbv.scorer import expected_regret, normalised_gains

SMALL = AttentionShape(
    token_dim=6, tokens_per_view=8, width=24, heads=2, layers=1, pooling="none", has_points=True,
    relative=True,
)  # fmt: skip

STEPS = 30
See = Callable[[PolicyInputs], PolicyInputs]


def states(count: int, seed: int) -> tuple[PolicyInputs, dict[str, Tensor]]:
    made = torch.Generator().manual_seed(seed)

    def directions(*size: int) -> Tensor:
        return functional.normalize(torch.randn(*size, 3, generator=made), dim=-1)

    missing = directions(count, 1)
    normals = directions(count, 2 * 8)
    normals = torch.where((normals * missing).sum(-1, keepdim=True) > 0.2, -normals, normals)
    tokens = torch.cat([0.4 * normals, normals], dim=-1).reshape(count, 2, 8, 6)
    candidates = directions(count, 20)
    used = torch.rand(count, 20, generator=made) < 0.1
    gains = (candidates * missing).sum(-1).clamp_min(0)
    inputs = PolicyInputs(
        tokens=tokens,
        present=torch.ones(count, 2, dtype=torch.bool),
        view_directions=directions(count, 2),
        candidates=candidates,
        used=used,
    )
    return inputs, {"gains": gains, "used": used, "candidates": candidates}


def shown(inputs: PolicyInputs) -> PolicyInputs:
    return inputs


def hidden(inputs: PolicyInputs) -> PolicyInputs:
    return replace(inputs, tokens=torch.zeros_like(inputs.tokens))


@cache
def regret_after(shape: AttentionShape, steps: int, see: See = shown) -> float:
    """Train on fresh states at every step and return the mean 1 - u of the choices on others."""
    torch.manual_seed(0)
    net = AttentionNBVPolicy(shape)
    optimiser = torch.optim.AdamW(net.parameters(), 4e-3)
    for step in range(steps):
        inputs, batch = states(12, seed=step)
        terms = loss_terms("oracle_soft", net(see(inputs)), batch, Weights())
        optimiser.zero_grad()
        sum((value / count for value, count in terms.values()), torch.tensor(0.0)).backward()
        optimiser.step()
    inputs, batch = states(400, seed=10_000)
    with torch.no_grad():
        taken = net(see(inputs)).scores.argmax(1, keepdim=True)
    utility = normalised_gains(batch["gains"], batch["used"])
    return float((1 - utility.gather(1, taken)).mean())


def random_regret() -> float:
    """Return the mean 1 - u of a uniformly drawn open candidate of the same held-out states."""
    _, batch = states(400, seed=10_000)
    everywhere = torch.zeros_like(batch["gains"]).masked_fill(batch["used"], -torch.inf)
    missed, count = expected_regret(everywhere, batch["gains"], batch["used"])
    return float(missed / count)


@pytest.mark.parametrize("coordinates", [True, False])
def test_it_learns_what_only_tokens_show(coordinates: bool) -> None:
    """The regret on states never seen falls below a third of a random choice's."""
    regret = regret_after(replace(SMALL, coordinates=coordinates), steps=STEPS)
    assert regret < random_regret() / 3


def test_its_blind_twin_learns_nothing_here() -> None:
    regret = regret_after(SMALL, steps=STEPS, see=hidden)
    assert regret > 0.85 * random_regret()


def test_absolute_coordinates_alone_learn_slower() -> None:
    """Why relative geometry is the default: without it as many steps reach nowhere near."""
    slow = regret_after(replace(SMALL, relative=False), steps=STEPS)
    assert slow > 2 * regret_after(SMALL, steps=STEPS)
