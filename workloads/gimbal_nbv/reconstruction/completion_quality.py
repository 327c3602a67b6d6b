"""How well a completion net completes objects it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gimbal_nbv.reconstruction.completion_net import completion_loss
from gimbal_nbv.voxels import SURFACE


def quality_of(
    module: nn.Module,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    threshold: float,
    offset_weight: float,
) -> dict[str, float]:
    """Measure a net on samples; see `CompletionTask.validate` for the names.

    Args:
        module: The net.
        batches: `codes`, `surface` and `offsets` of samples.
        threshold: Least probability at which a voxel counts as completed.
        offset_weight: Weight of the offset in `loss`.
    """
    sums: dict[str, Tensor] = {}
    rows: list[dict[str, float]] = []
    device = next(module.parameters()).device
    for batch in batches:
        codes, surface, offsets = (
            torch.as_tensor(batch[name]).to(device) for name in ("codes", "surface", "offsets")
        )
        for name, pair in completion_loss(module, codes, surface, offsets).items():
            sums[name] = sums.get(name, torch.zeros(2, device=device)) + torch.stack(pair)
        chances = torch.sigmoid(module(codes)[0]).flatten(1).cpu().numpy()
        observed = codes[:, SURFACE].flatten(1).cpu().numpy()
        truth = surface.flatten(1).cpu().numpy() > 0
        rows += [_sample(*row, threshold) for row in zip(chances, observed, truth, strict=True)]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    losses = {f"loss/{name}": float(total / count) for name, (total, count) in sums.items()}
    loss = losses["loss/surface"] + offset_weight * losses["loss/offset"]
    return {"loss": loss} | losses | means


def _sample(
    chances: NDArray[np.float32],
    observed: NDArray[np.float32],
    truth: NDArray[np.bool_],
    threshold: float,
) -> dict[str, float]:
    return {
        "iou": intersection_over_union(chances >= threshold, truth),
        "iou_observed": intersection_over_union(observed > 0, truth),
        "average_precision": average_precision(chances, truth),
        "average_precision_observed": average_precision(observed, truth),
    }


def intersection_over_union(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the share of voxels in either set that are in both; 1 where both are empty."""
    either = int((guess | truth).sum())
    return float((guess & truth).sum() / either) if either else 1.0


def average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Return the area under the precision-recall curve; voxels of one score are taken together.

    Args:
        scores: Higher means surface more likely [V].
        truth: Which voxels hold surface [V], at least one.
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    recall = hits[ends] / hits[-1]
    precision = hits[ends] / (ends + 1)
    return float((np.diff(recall, prepend=0.0) * precision).sum())
