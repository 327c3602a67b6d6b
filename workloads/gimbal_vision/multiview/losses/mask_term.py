"""Loss of the mask, and the means that tell whether it collapsed.

The value of the loss tells nothing of that: a mask that is a constant of the rig is learnt at once
and costs .008, while an all-zero answer sits far *above* the entropy of the truth (multicar.md F3).
What tells is `pred_mask_mean` beside `gt_mask_mean`: shares of pixels, unweighted, to be compared
with the coverage that calibration foretells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gimbal_vision.multiview.losses.target import Target
from gimbal_vision.multiview.precision import full


def mask(logits: Tensor, target: Target, positive_weight: float) -> Tensor:
    """Return the summed binary cross entropy of all pixels.

    Args:
        logits: [B, N, H, W].
        target: The true mask, and what counts.
        positive_weight: Weight of positive pixels, against an all-zero answer; it raises the sum
            and not the count.
    """
    logits = full(logits)
    return binary_cross_entropy_with_logits(
        logits,
        target.ambiguity_free.to(logits.dtype),
        weight=target.weight,
        pos_weight=logits.new_tensor(positive_weight),
        reduction="sum",
    )


def mask_means(logits: Tensor, target: Target) -> dict[str, Tensor]:
    """Return summed shares of pixels.

    `pred_mask_mean` is the predicted probability; `valid_mask_ratio` the known ranges among the
    unambiguous pixels; `pred_valid_mask_ratio` the known ranges that the predicted mask keeps.
    """
    logits = full(logits)
    return {
        "pred_mask_mean": (torch.sigmoid(logits) * target.shown).sum(),
        "gt_mask_mean": target.ambiguity_free.sum().to(target.dtype),
        "valid_mask_ratio": (target.valid & target.ambiguity_free).sum().to(target.dtype),
        "pred_valid_mask_ratio": (target.known * (logits > 0)).sum(),
    }


def mask_count(target: Target) -> dict[str, Tensor]:
    """Return the weight of the pixels that `mask` sums."""
    return {"mask": target.weight.sum()}


def mask_mean_counts(target: Target) -> dict[str, Tensor]:
    """Return how many pixels each of `mask_means` sums."""
    pixels = target.shown.sum()
    return {
        "pred_mask_mean": pixels,
        "gt_mask_mean": pixels,
        "valid_mask_ratio": target.ambiguity_free.sum().to(target.dtype),
        "pred_valid_mask_ratio": target.known.sum(),
    }
