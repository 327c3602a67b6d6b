"""The objectives: against explicit sums and finite differences, and what must not change them."""

from __future__ import annotations

from math import pi

import pytest
import torch
from torch.nn import functional

from gimbal_nbv.attention.heads import HEAD_NUMBERS, aim, from_angles
from gimbal_nbv.attention.inputs import PolicyOutput
from gimbal_nbv.errors import PolicyError
from gimbal_nbv.objectives import ascent, regression
from gimbal_nbv.objectives.choosing import Objective, Weights, loss_terms
from gimbal_nbv.scorer import expected_regret, normalised_gains, soft_target_loss

SETTINGS = Weights()
B, M = 5, 12


def normal(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch() -> dict[str, torch.Tensor]:
    used = torch.zeros(B, M, dtype=torch.bool)
    used[:, [1, 7]] = True
    return {
        "gains": normal(B, M, seed=1).abs(),
        "used": used,
        "candidates": functional.normalize(normal(B, M, 3, seed=2), dim=-1),
        "unknown_share": normal(B, M, seed=8).sigmoid(),
        "coverage": normal(B, seed=9).sigmoid(),
        "uniform": normal(B, M, seed=10).sigmoid(),
    }


def discrete(raw: torch.Tensor, **more) -> PolicyOutput:
    scores = raw.masked_fill(batch()["used"], -torch.inf)
    return PolicyOutput(scores=scores, direction=None, raw=raw, **more)


def continuous(head, raw: torch.Tensor, state: dict[str, torch.Tensor]) -> PolicyOutput:
    meant = aim(head, raw)
    cosine = (state["candidates"] @ meant.direction[..., None])[..., 0]
    return PolicyOutput(
        scores=cosine.masked_fill(state["used"], -torch.inf), direction=meant.direction, raw=raw,
        continuous=True, point=meant.point, norm=meant.norm, angles=meant.angles,
    )  # fmt: skip


def total(terms) -> torch.Tensor:
    return sum(value / count for value, count in terms.values())


def every_loss(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the loss of every objective on every head it can train; Gumbel's noise is fixed."""
    losses = {}
    for objective in Objective:
        outputs = {"discrete": discrete(normal(B, M, seed=3))}
        for head, numbers in HEAD_NUMBERS.items():
            outputs[head] = continuous(head, normal(B, numbers, seed=4), state)
        for head, output in outputs.items():
            torch.manual_seed(0)
            try:
                losses[f"{objective}/{head}"] = total(
                    loss_terms(objective, output, state, SETTINGS)
                )
            except PolicyError:
                continue
    return losses


def test_smooth_utility_is_the_explicit_mean() -> None:
    state, sharpness = batch(), 4.0
    direction = functional.normalize(normal(B, 3), dim=1)
    utility = normalised_gains(state["gains"], state["used"])
    said = ascent.smooth_utility(direction, state["candidates"], utility, state["used"], sharpness)
    for row in range(B):
        open_ = [i for i in range(M) if not state["used"][row, i]]
        weights = [
            torch.exp(sharpness * direction[row] @ state["candidates"][row, i]) for i in open_
        ]
        expected = sum(w * utility[row, i] for w, i in zip(weights, open_, strict=True)) / sum(
            weights
        )
        torch.testing.assert_close(said[row], expected)


def test_discrete_ascent_is_the_explicit_expectation() -> None:
    state, output = batch(), discrete(normal(B, M, seed=3))
    value, count = loss_terms("map_ascent", output, state, SETTINGS)["ascent"]
    expected = 0.0
    for row in range(B):
        open_ = [i for i in range(M) if not state["used"][row, i]]
        gains = state["gains"][row, open_]
        utility = (gains - gains.min()) / (gains.max() - gains.min())
        chance = output.raw[row, open_].exp() / output.raw[row, open_].exp().sum()
        expected += 1 - float((chance * utility).sum())
    assert float(value) == pytest.approx(expected)
    assert float(count) == B


@pytest.mark.parametrize("head", HEAD_NUMBERS)
def test_the_gradient_of_ascent_is_that_of_finite_differences(head) -> None:
    state = batch()
    raw = normal(B, HEAD_NUMBERS[head], seed=4).requires_grad_()

    def loss(value: torch.Tensor) -> torch.Tensor:
        return total(loss_terms("map_ascent", continuous(head, value, state), state, SETTINGS))

    assert torch.autograd.gradcheck(loss, (raw,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("objective", ["oracle_soft", "map_ascent", "rri_regression"])
def test_the_gradient_of_scores_is_that_of_finite_differences(objective: str) -> None:
    state = batch()

    def loss(raw: torch.Tensor) -> torch.Tensor:
        return total(loss_terms(objective, discrete(raw), state, SETTINGS))

    raw = normal(B, M, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(loss, (raw,), eps=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(loss(raw), raw)
    assert (gradient[state["used"]] == 0).all()
    assert (gradient[~state["used"]] != 0).any(dim=0).any()


def test_ascending_leads_to_the_best_open_candidate() -> None:
    state = batch()
    state["gains"] = functional.one_hot(torch.full((B,), 4), M).double()
    state["candidates"] = functional.normalize(normal(1, M, 3, seed=2), dim=-1).expand(B, M, 3)
    raw = normal(B, 3, seed=4).requires_grad_()
    optimiser = torch.optim.Adam([raw], 0.1)
    for _ in range(60):
        optimiser.zero_grad()
        output = continuous("unit_vector", raw, state)
        total(loss_terms("map_ascent", output, state, SETTINGS)).backward()
        optimiser.step()
    assert (continuous("unit_vector", raw, state).scores.argmax(1) == 4).all()


def test_used_candidates_never_count() -> None:
    state = batch()
    before = every_loss(state)
    for value in (-3.0, 1e6):
        state["gains"] = state["gains"].masked_fill(state["used"], value)
        state["unknown_share"] = state["unknown_share"].masked_fill(state["used"], value)
        after = every_loss(state)
        assert after.keys() == before.keys()
        for name, loss in before.items():
            torch.testing.assert_close(after[name], loss, msg=name)


def test_turning_all_directions_together_changes_nothing() -> None:
    state = batch()
    turn, _ = torch.linalg.qr(normal(3, 3, seed=6))
    turned = {**state, "candidates": state["candidates"] @ turn.T}
    for head in ("unit_vector", "cartesian"):
        raw = normal(B, 3, seed=4)
        for objective in ("oracle_soft", "map_ascent", "argmax_regression"):
            one = loss_terms(objective, continuous(head, raw, state), state, SETTINGS)
            other = loss_terms(objective, continuous(head, raw @ turn.T, turned), turned, SETTINGS)
            torch.testing.assert_close(total(one), total(other))


def test_soft_targets_are_the_scorers() -> None:
    state, output = batch(), discrete(normal(B, M, seed=3))
    terms = loss_terms("oracle_soft", output, state, SETTINGS)
    divergence, _ = soft_target_loss(output.scores, state["gains"], state["used"], 0.1)
    missed, _ = expected_regret(output.scores, state["gains"], state["used"])
    torch.testing.assert_close(terms["soft_target"][0], divergence)
    torch.testing.assert_close(terms["regret"][0], 3 * missed)


def test_the_kernel_narrows_with_the_spacing() -> None:
    assert ascent.sharpness_of(64) == 25
    assert ascent.sharpness_of(256) == 100


def test_the_norm_penalty_pulls_towards_one() -> None:
    value, count = ascent.norm_penalty(torch.tensor([1.0, 0.0, 3.0]))
    assert (float(value), float(count)) == (5, 3)
    state, raw = batch(), normal(B, 3, seed=4)
    terms = loss_terms("map_ascent", continuous("unit_vector", raw, state), state, SETTINGS)
    torch.testing.assert_close(terms["norm"][0], 0.1 * (raw.norm(dim=1) - 1).square().sum())
    assert "norm" not in loss_terms(
        "map_ascent", continuous("cartesian", raw, state), state, SETTINGS
    )


def test_gains_are_regressed_linearly_beyond_delta() -> None:
    gains, used = torch.tensor([[0.0, 1.0, 5.0]]), torch.tensor([[False, False, True]])
    value, _ = regression.gain_regression(torch.tensor([[0.05, 3.0, 7.0]]), gains, used, 0.1)
    assert float(value) == pytest.approx((0.05**2 / 2 / 0.1 + (2 - 0.05)) / 2)


def test_the_mean_of_two_best_views_is_what_regression_wants_and_neither_of_them() -> None:
    """Two views 100 degrees apart are best in turn: the squared error is least in between."""
    pair = from_angles(torch.tensor([[-5 * pi / 18, 0.0], [5 * pi / 18, 0.0]]).double())
    candidates = pair.expand(2, 2, 3)
    gains, used = torch.eye(2).double(), torch.zeros(2, 2, dtype=torch.bool)
    errors = {}
    for degrees in (-50, -25, 0, 25, 50):
        said = from_angles(torch.tensor([[degrees * pi / 180, 0.0]]).double()).expand(2, 3)
        errors[degrees] = float(regression.best_direction(said, candidates, gains, used)[0])
    assert min(errors, key=errors.get) == 0


def test_angles_across_the_seam_are_called_far_apart() -> None:
    just_before, just_after = 2 * pi - 0.01, 0.01
    candidates = from_angles(torch.tensor([[[just_after, 0.0], [pi, 0.0]]]).double())
    gains, used = torch.tensor([[1.0, 0.0]]).double(), torch.zeros(1, 2, dtype=torch.bool)
    angles = torch.tensor([[just_before, 0.0]]).double()
    bad, _ = regression.best_angles(angles, candidates, gains, used)
    good, _ = regression.best_direction(from_angles(angles), candidates, gains, used)
    assert float(bad) == pytest.approx((2 * pi - 0.02) ** 2)
    assert float(good) < 0.001


def test_argmax_regression_compares_what_the_head_says() -> None:
    state = batch()
    best = regression.best_of(state["candidates"], state["gains"], state["used"])
    raw = normal(B, 3, seed=4)

    def value(head) -> torch.Tensor:
        output = continuous(head, raw[:, : HEAD_NUMBERS[head]], state)
        return loss_terms("argmax_regression", output, state, SETTINGS)["regression"][0]

    torch.testing.assert_close(value("cartesian"), (raw - best).square().sum())
    for head in ("unit_vector", "spherical_periodic"):
        said = aim(head, raw).direction
        torch.testing.assert_close(value(head), (said - best).square().sum())
    assert float(value("spherical")) > float(
        (aim("spherical", raw[:, :2]).direction - best).square().sum()
    )


def test_refinement_climbs_beside_a_discrete_objective() -> None:
    state = batch()
    moved = functional.normalize(normal(B, 3), dim=1)
    output = discrete(normal(B, M, seed=3))
    refined = PolicyOutput(scores=output.scores, direction=moved, raw=output.raw)
    plain = loss_terms("oracle_soft", output, state, SETTINGS)
    terms = loss_terms("oracle_soft", refined, state, SETTINGS)
    climbed, _ = ascent.direction_ascent(
        moved, state["candidates"], state["gains"], state["used"], ascent.sharpness_of(M)
    )
    torch.testing.assert_close(terms["refinement"][0], 0.25 * climbed)
    assert terms.keys() - plain.keys() == {"refinement"}


def test_auxiliary_guesses_are_regressed() -> None:
    state = batch()
    output = discrete(
        normal(B, M, seed=3), unknown_share=state["unknown_share"] + 0.5, coverage=state["coverage"]
    )
    terms = loss_terms("oracle_soft", output, state, SETTINGS)
    assert float(terms["unknown_share"][0]) == pytest.approx(3 * B * 0.25)
    assert float(terms["coverage"][0]) == 0


@pytest.mark.parametrize(
    ("objective", "head", "message"),
    [
        ("rri_regression", "unit_vector", "a score per candidate"),
        ("map_ascent_gumbel", "cartesian", "draws candidates"),
        ("argmax_regression", "discrete", "needs a direction"),
        ("hope", "discrete", "no objective 'hope'"),
    ],
)
def test_objectives_that_cannot_train_a_head_say_so(objective, head, message) -> None:
    state = batch()
    raw = normal(B, M if head == "discrete" else 3, seed=3)
    output = discrete(raw) if head == "discrete" else continuous(head, raw, state)
    with pytest.raises(PolicyError, match=message):
        loss_terms(objective, output, state, SETTINGS)


def test_no_gain_anywhere_gives_no_nan() -> None:
    state = batch()
    state["gains"] = torch.zeros(B, M, dtype=torch.float64)
    assert all(loss.isfinite() for loss in every_loss(state).values())
