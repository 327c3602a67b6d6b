"""What a trained pair says of samples: the one function behind validation, judging and pictures.

Each sample is asked about on its own and without padding, so what is said of it depends neither on
how samples are read nor on who asks. Images only: nothing a car could not photograph is told,
whatever the training told, unless the model has priors of where cars are (`model.priors`): then
their noise is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gimbal_multicar.learning.batch import as_tensors, truth_of, views_of
from gimbal_multicar.learning.blind import BLIND_KEYS, BlindPoses, seats_of
from gimbal_multicar.learning.model import CoopTwins
from gimbal_multicar.learning.priors import with_agent_priors
from gimbal_multicar.learning.settings import PriorSettings
from gimbal_multicar.learning.single import alone, together, used_alone
from gimbal_vision.multiview.views import InputUse, Predictions, Truth

SAMPLES_AT_ONCE = 8
"""Samples that are read together where nothing limits them; each is asked about on its own."""

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


def predict(
    twins: CoopTwins,
    batch: Mapping[str, Any],
    use: InputUse | None = None,
    *,
    priors: PriorSettings | None = None,
) -> Predictions:
    """Return the model's predictions for a batch, without gradients.

    Args:
        twins: Both networks, on the batch's device.
        batch: See `batch`; tensors. What is present is a prefix.
        use: What the model is told besides images; None: nothing but the priors.
        priors: Of where cars are; None: those the model has.
    """
    told, dtype = priors or twins.priors, dtype_of(twins)
    said = []
    for sample in range(len(batch["present"])):
        one = alone(batch, sample)
        own = used_alone(use, sample, one["present"].shape[1])
        with torch.no_grad():
            said.append(twins.seen(*with_agent_priors(views_of(one, dtype), own, one, told)))
    return together(said, batch["present"].shape[1])


def answers(
    twins: CoopTwins, source: Source, indices: Any, *, priors: PriorSettings | None = None
) -> Answers:
    """Fetch samples and ask both networks.

    Args:
        twins: Both networks.
        source: Held-out samples.
        indices: int64 [B].
        priors: See `predict`.
    """
    batch = as_tensors(source.fetch(np.asarray(indices)), next(twins.parameters()).device)
    return Answers(
        said=predict(twins, batch, priors=priors),
        blind=_guessed(twins, batch),
        truth=truth_of(batch, dtype_of(twins)),
        batch=batch,
    )


def _guessed(twins: CoopTwins, batch: Mapping[str, Any]) -> BlindPoses:
    """Return what the blind twin says, of each sample on its own."""
    count, views = batch["present"].shape
    samples = (alone({n: batch[n] for n in BLIND_KEYS if n in batch}, i) for i in range(count))
    with torch.no_grad():
        said: list[BlindPoses] = [twins.blind(one["present"], seats_of(one)) for one in samples]
    return together(said, views)


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
