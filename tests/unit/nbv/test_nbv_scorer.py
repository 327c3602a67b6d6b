"""The scorer and its loss: equivariance, masks, blindness, and sums that add up over workers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gimbal_nbv.scorer import (
    FeatureMoments,
    NbvModel,
    nbv_loss,
    normalised_gains,
    soft_target_loss,
)

FEATURES, ANGLES = 7, 3


def moments() -> FeatureMoments:
    rng = np.random.default_rng(0)
    return FeatureMoments.of(
        rng.normal(size=(5, 9, FEATURES)).astype(np.float32),
        rng.normal(size=(5, 9, ANGLES)).astype(np.float32),
    )


def model() -> NbvModel:
    torch.manual_seed(0)
    return NbvModel.build(moments(), hidden=16)


def batch(states: int = 4, candidates: int = 12, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    used = torch.zeros(states, candidates, dtype=torch.bool)
    used[:, 0] = True
    used[0, 5] = True
    return {
        "features": torch.randn(states, candidates, FEATURES, generator=generator),
        "blind": torch.randn(states, candidates, ANGLES, generator=generator),
        "gains": torch.rand(states, candidates, generator=generator),
        "used": used,
    }


def test_permuting_candidates_permutes_scores():
    """Only then do the same weights serve any candidate set."""
    data, net = batch(), model()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    whole = net(data)
    turned = net({name: value[:, order] for name, value in data.items()})
    for name in ("policy", "blind"):
        torch.testing.assert_close(turned[name], whole[name][:, order])


@pytest.mark.parametrize("candidates", [3, 32, 100])
def test_any_number_of_candidates_is_scored(candidates):
    scores = model()(batch(candidates=max(candidates, 6)))["policy"]
    assert scores.shape == (4, max(candidates, 6))


def test_used_candidates_cannot_win_and_do_not_leak_into_other_scores():
    data, net = batch(), model()
    scores = net(data)["policy"]
    assert torch.isneginf(scores[data["used"]]).all()
    assert torch.isfinite(scores[~data["used"]]).all()
    changed = dict(data, features=data["features"].clone())
    changed["features"][data["used"]] = 1e3
    torch.testing.assert_close(net(changed)["policy"], scores)


def test_the_blind_twin_ignores_what_is_seen():
    data, net = batch(), model()
    seen = net(data)["blind"]
    other = net(dict(data, features=torch.zeros_like(data["features"])))["blind"]
    assert torch.equal(seen, other)
    assert torch.autograd.grad(
        seen[~data["used"]].sum(), list(net.policy.parameters()), allow_unused=True
    ) == (None,) * len(list(net.policy.parameters()))


def test_the_loss_is_zero_exactly_when_scores_are_the_target():
    data = batch()
    utility = normalised_gains(data["gains"], data["used"])
    scores = (utility / 0.1 + 3.0).masked_fill(data["used"], -torch.inf)
    total, count = soft_target_loss(scores, data["gains"], data["used"], 0.1)
    assert float(total) == pytest.approx(0, abs=1e-5)
    assert float(count) == 4
    worse, _ = soft_target_loss(
        torch.zeros(4, 12).masked_fill(data["used"], -torch.inf), data["gains"], data["used"], 0.1
    )
    assert float(worse) > 0.1


def test_utility_spans_zero_to_one_over_open_candidates():
    data = batch()
    utility = normalised_gains(data["gains"], data["used"])
    open_ = ~data["used"]
    for row in range(4):
        assert float(utility[row][open_[row]].min()) == 0
        assert float(utility[row][open_[row]].max()) == pytest.approx(1)
    flat = normalised_gains(torch.ones(1, 5), torch.zeros(1, 5, dtype=torch.bool))
    assert torch.isfinite(flat).all()


def test_scaling_or_shifting_gains_does_not_change_the_loss():
    """Late stages have tiny gains; they must weigh as much as the first."""
    data = batch()
    scores = model()(data)["policy"]
    one = soft_target_loss(scores, data["gains"], data["used"], 0.1)[0]
    other = soft_target_loss(scores, 0.01 * data["gains"] + 0.2, data["used"], 0.1)[0]
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_loss_sums_and_counts_add_up_over_shards():
    """The data-parallel law: workers' sums over workers' counts are the batch's mean."""
    data, net = batch(states=6), model()
    whole = nbv_loss(net, data)
    shards = [nbv_loss(net, {k: v[r::2] for k, v in data.items()}) for r in range(2)]
    for name, (total, count) in whole.items():
        torch.testing.assert_close(total, sum(s[name][0] for s in shards))
        assert float(count) == sum(float(s[name][1]) for s in shards) == 6


def test_gradients_are_finite_with_used_candidates():
    net = model()
    sum(total / count for total, count in nbv_loss(net, batch()).values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_array_scores_equal_tensor_scores():
    data, net = batch(), model()
    features, used = data["features"].numpy(), data["used"].numpy()
    np.testing.assert_array_equal(net.score(features, used), net(data)["policy"].detach().numpy())
    blind = net.score_blind(data["blind"].numpy(), used)
    np.testing.assert_array_equal(blind, net(data)["blind"].detach().numpy())
