"""How to read the values: robust distances in metres, masks that collapsed, names of weights."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from multiview_loss_support import perfect, random_truth

from gimbal_vision.errors import LossError
from gimbal_vision.multiview.losses.match_term import MatchTerm
from gimbal_vision.multiview.losses.presets import PRESETS, TERMS, LossWeights, preset
from gimbal_vision.multiview.losses.robust import (
    length,
    log_map,
    metres_of,
    rho,
    rho_inverse,
    robust,
)
from gimbal_vision.multiview.losses.total import MultiViewLoss

ONE_CAR_M = 15.65
TWO_CARS_M = 27.45
COVERED = 0.33

# logged value: normalised error at weight 1 and 3, metres at weight 1 of one car and of two.
READING = {
    1.0: (0.090, 0.044, 1.4, 2.5),
    3.0: (0.237, 0.090, 3.7, 6.5),
    5.0: (0.431, 0.135, 6.7, 11.8),
    7.0: (0.678, 0.184, 10.6, 18.6),
    7.5: (0.748, 0.197, 11.7, 20.5),
    8.0: (0.821, 0.210, 12.9, 22.5),
    10.0: (1.148, 0.266, 18.0, 31.5),
}


@pytest.mark.parametrize("value", READING)
def test_a_logged_pose_loss_is_read_in_metres(value):
    once, thrice, one_car, two_cars = READING[value]
    assert rho_inverse(value) == pytest.approx(once, abs=5e-4)
    assert rho_inverse(value / 3.0) == pytest.approx(thrice, abs=5e-4)
    assert metres_of(value, 1.0, ONE_CAR_M) == pytest.approx(one_car, abs=0.055)
    assert metres_of(value, 1.0, TWO_CARS_M) == pytest.approx(two_cars, abs=0.055)
    assert metres_of(value, 3.0, ONE_CAR_M) == pytest.approx(thrice * ONE_CAR_M, abs=0.01)


@given(error=st.floats(0.0, 1e3))
def test_the_inverse_is_exact(error):
    assert rho_inverse(rho(error)) == pytest.approx(error, rel=1e-6, abs=1e-7)


@given(error=st.floats(0.0, 1e3))
def test_the_loss_is_barrons_with_shape_one_half(error):
    alpha, c = 0.5, 0.05
    apart = abs(alpha - 2.0)
    wanted = apart / alpha * (((error / c) ** 2 / apart + 1.0) ** (alpha / 2.0) - 1.0)
    assert rho(error) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    squared = torch.tensor(error, dtype=torch.float64) ** 2
    assert float(robust(squared)) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_no_error_has_is_not_inverted(value):
    with pytest.raises(LossError, match="no value of the robust distance"):
        rho_inverse(value)


@pytest.mark.parametrize(("weight", "g"), [(0.0, 10.0), (1.0, 0.0), (-1.0, 10.0)])
def test_metres_need_a_weight_and_a_normaliser(weight, g):
    with pytest.raises(LossError, match="positive"):
        metres_of(5.0, weight, g)


def test_the_log_map_keeps_directions_and_has_a_gradient_at_zero():
    x = torch.tensor([[0.0, 3.0, 1e-12], [0.0, -4.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    x.requires_grad_()
    mapped = log_map(x, length(x), torch.tensor(0.5, dtype=torch.float64))
    assert mapped[:, 0].tolist() == [0.0, 0.0, 0.0]
    assert mapped[:, 1].tolist() == pytest.approx([0.6 * math.log(3.5), -0.8 * math.log(3.5), 0.0])
    mapped.sum().backward()
    assert x.grad[:, 0].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert x.grad[:, 2].tolist() == pytest.approx([0.5, 0.5, 0.5])


def mask_terms(probability: torch.Tensor, positive: float = 1.0) -> dict[str, float]:
    """Return the mask's terms of a truth that covers a third of each image."""
    truth = random_truth((1, 2, 10, 100))
    covered = torch.arange(100) < 100 * COVERED
    truth.non_ambiguous_mask[:] = covered
    said = perfect(truth)
    said.non_ambiguous_mask_logits.copy_(torch.logit(probability.to(torch.float64)))
    loss = MultiViewLoss(LossWeights(), mask_pos_weight=positive)
    return {
        name: float(total / count)
        for name, (total, count) in loss(said, truth).items()
        if "mask" in name
    }


ENTROPY = -COVERED * math.log(COVERED) - (1 - COVERED) * math.log(1 - COVERED)


@pytest.mark.parametrize("constant", [0.001, 0.05, 0.2, COVERED, 0.6, 0.99])
def test_no_constant_mask_gets_below_the_entropy(constant):
    found = mask_terms(torch.tensor(constant))
    assert found["mask"] >= ENTROPY - 1e-9
    assert found["pred_mask_mean"] == pytest.approx(constant)
    assert found["gt_mask_mean"] == pytest.approx(COVERED)


def test_an_all_zero_mask_is_far_above_the_entropy_and_a_perfect_one_near_zero():
    assert abs(ENTROPY - 0.634) < 1e-3
    assert mask_terms(torch.tensor(1e-4))["mask"] > 4 * ENTROPY
    right = torch.where(torch.arange(100) < 100 * COVERED, 1 - 1e-6, 1e-6)
    assert mask_terms(right)["mask"] < 1e-5


def test_a_mask_loss_of_eight_thousandths_is_no_collapse():
    sure = math.exp(-0.008)
    found = mask_terms(torch.where(torch.arange(100) < 100 * COVERED, sure, 1 - sure))
    assert found["mask"] == pytest.approx(0.008, abs=1e-6)
    assert found["pred_mask_mean"] == pytest.approx(found["gt_mask_mean"], abs=0.01)


def test_a_positive_weight_makes_an_all_zero_mask_dearer():
    zero = torch.tensor(0.01)
    assert mask_terms(zero, 3.0)["mask"] == pytest.approx(
        -3 * COVERED * math.log(0.01) - (1 - COVERED) * math.log(0.99)
    )


def test_the_share_of_known_ranges_that_the_predicted_mask_keeps():
    sides = torch.tensor([0.9, 0.1]).repeat_interleave(50)
    left, right = mask_terms(sides), mask_terms(1.0 - sides)
    kept = [side["pred_valid_mask_ratio"] for side in (left, right)]
    assert sum(kept) == pytest.approx(1.0)
    assert kept[0] == pytest.approx(0.5, abs=0.1)
    assert mask_terms(torch.tensor(0.9))["pred_valid_mask_ratio"] == 1.0


def test_an_unknown_weight_names_those_there_are():
    with pytest.raises(LossError, match="pose_translation") as caught:
        LossWeights().replaced({"pose_translation": 2.0})
    assert all(term in caught.value.remedy for term in TERMS)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_weight_is_finite_and_not_negative(weight):
    with pytest.raises(LossError, match="depth"):
        LossWeights().replaced({"depth": weight})


def test_matches_are_taught_to_a_model_that_gives_some():
    truth = random_truth()
    loss = MultiViewLoss(LossWeights(), match=MatchTerm(patch=1))
    with pytest.raises(LossError, match=r"predictions\.matches") as caught:
        loss(perfect(truth), truth)
    assert "matching" in caught.value.remedy


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(LossError, match="opv2v") as caught:
        preset("opv2v")
    assert all(name in caught.value.remedy for name in PRESETS)
    assert preset("overall") is PRESETS["overall"]
