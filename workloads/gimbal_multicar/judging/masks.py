"""How the predicted mask of unambiguous pixels compares with the true one.

The means are what tells a dead mask: a cross entropy near zero only says that the mask is easy, as
it is where it is the rig's own (multicar.md F3).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def mask_errors(logits: Floats, true: Bools, valid: Bools) -> dict[str, float | None]:
    """Return means, overlap and cross entropy of a mask, and how much of each mask has ranges.

    Args:
        logits: [...] of the predicted mask.
        true: [...] covered, and not sky.
        valid: [...] where the true range is known as well.

    Returns:
        `pred_mask_mean`, the mean probability; `pred_mask_share`, the share above one half;
        `gt_mask_mean`; `iou`, of what is above one half; `bce`; `valid_mask_ratio`, the share of
        the true mask whose range is known; `pred_valid_mask_ratio`, that of the predicted mask.
        Null where nothing is divided by.
    """
    x = logits.astype(np.float64)
    found = x > 0
    return {
        "pred_mask_mean": float((0.5 * (1.0 + np.tanh(0.5 * x))).mean()),
        "pred_mask_share": float(found.mean()),
        "gt_mask_mean": float(true.mean()),
        "iou": _ratio((found & true).sum(), (found | true).sum()),
        "bce": float((np.logaddexp(0.0, x) - x * true).mean()),
        "valid_mask_ratio": _ratio((valid & true).sum(), true.sum()),
        "pred_valid_mask_ratio": _ratio((valid & found).sum(), found.sum()),
    }


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None
