"""What a trained pair says of a batch: the one function behind validation, judging and pictures.

Images only: nothing a car could not photograph is told, whatever the training told, unless the
model has priors of where cars are (`model.priors`): then their noise is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gimbal_multicar.learning.batch import as_tensors, truth_of, views_of
from gimbal_multicar.learning.blind import BlindPoses
from gimbal_multicar.learning.model import CoopTwins
from gimbal_multicar.learning.priors import with_agent_priors
from gimbal_vision.multiview.views import InputUse, Predictions, Truth

SAMPLES_AT_ONCE = 8
"""Samples of one forward pass where nothing limits them; the numbers do not depend on it."""

if TYPE_CHECKING:
    from gimbal.training.task import Source

_T = TypeVar("_T", Predictions, Truth, BlindPoses)


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """What both networks say of a piece of samples, and what is true.

    Attributes:
        said: The model's.
        blind: The twin's.
        truth: What is true.
        batch: The piece, as tensors.
    """

    said: Predictions
    blind: BlindPoses
    truth: Truth
    batch: Mapping[str, Any]


def predict(twins: CoopTwins, batch: Mapping[str, Any], use: InputUse | None = None) -> Predictions:
    """Return the model's predictions for a batch, without gradients.

    Args:
        twins: Both networks, on the batch's device.
        batch: See `batch`; tensors.
        use: What the model is told besides images; None: nothing but the priors it has.
    """
    with torch.no_grad():
        views = views_of(batch, dtype_of(twins))
        return twins.seen(*with_agent_priors(views, use, batch, twins.priors))


def answers(twins: CoopTwins, source: Source, indices: Any) -> Answers:
    """Fetch samples and ask both networks.

    Args:
        twins: Both networks.
        source: Held-out samples.
        indices: int64 [B].
    """
    device, dtype = next(twins.parameters()).device, dtype_of(twins)
    batch = as_tensors(source.fetch(np.asarray(indices)), device)
    with torch.no_grad():
        blind = twins.blind(batch["present"])
    return Answers(
        said=predict(twins, batch), blind=blind, truth=truth_of(batch, dtype), batch=batch
    )


def in_chunks(count: int, largest: int | None = None) -> Iterator[Any]:
    """Yield the indices 0 to count in order, so many at a time."""
    size = largest or SAMPLES_AT_ONCE
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def one_of(values: _T, sample: int, views: int) -> _T:
    """Return one sample of a batch without its padding; what all views share stays whole.

    Args:
        values: Fields [B, N, ...] or [B, ...], or shared by all views: rays [H, W, 3] and solid
            angles [H, W].
        sample: Which.
        views: How many views it has.
    """
    kept: dict[str, Any] = {
        field.name: _one(field.name, getattr(values, field.name), sample, views)
        for field in fields(values)
    }
    return replace(values, **kept)


def _one(name: str, value: Any, sample: int, views: int) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _one(f.name, getattr(value, f.name), sample, views) for f in fields(value)}
        return replace(value, **parts)
    if not isinstance(value, Tensor) or value.ndim <= _SHARED.get(name, 0):
        return value
    mine = value[sample : sample + 1]
    return mine if name in _PER_SAMPLE else mine[:, :views]


_SHARED = {"ray_directions_cam": 3, "solid_angle": 2}
"""Axes of what all views of a batch may share."""
_PER_SAMPLE = ("metric_scaling_factor", "is_metric_scale", "is_synthetic")


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the type of a module's numbers."""
    return next(module.parameters()).dtype
