"""Samples taken out of a padded batch, and what was said of each put together again.

A model is asked about one sample at a time, as `infer` has it: sums over a batch round otherwise
than over one sample, and what a model chooses by them (a vote, a nearest patch) may then differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from gimbal_vision.multiview.views import InputUse

_T = TypeVar("_T")
_SHARED_AXES = {"rays": 3, "solid_angle": 2}
"""Axes of what all views of a batch may share."""
_PER_SAMPLE = ("metric_scaling_factor",)


def alone(batch: Mapping[str, Any], sample: int) -> dict[str, Any]:
    """Return one sample of a batch as if it had been fetched alone, without padding.

    Args:
        batch: See `batch`; tensors.
        sample: Which.
    """
    views = int(batch["present"][sample].sum())
    found = {name: _alone(name, value, sample, views) for name, value in batch.items()}
    return {**found, "full": True}


def used_alone(use: InputUse | None, sample: int, views: int) -> InputUse | None:
    """Return what is told of one sample of a batch that has so many views."""
    if use is None:
        return None
    kept = {field.name: getattr(use, field.name) for field in fields(use)}
    return InputUse(**{name: _alone(name, value, sample, views) for name, value in kept.items()})


def together(said: Sequence[_T], views: int) -> _T:
    """Return what was said of samples one by one as said of a batch.

    Args:
        said: Dataclasses of tensors [1, N, ...], or [1, 1] per sample; scalars are all the same.
        views: Views the batch is padded to; padding repeats a sample's last view.
    """
    first = cast("Any", said[0])
    joined = {
        field.name: _together(field.name, [getattr(one, field.name) for one in said], views)
        for field in fields(first)
    }
    whole: _T = replace(first, **joined)
    return whole


def _alone(name: str, value: Any, sample: int, views: int) -> Any:
    if not isinstance(value, Tensor) or value.ndim <= _SHARED_AXES.get(name, 0):
        return value
    mine = value[sample : sample + 1]
    return (mine if mine.ndim == 1 else mine[:, :views]).clone()


def _together(name: str, values: Sequence[Any], views: int) -> Any:
    first = values[0]
    if is_dataclass(first):
        return together(values, views)
    if not isinstance(first, Tensor) or first.ndim == 0:
        return first
    if name in _PER_SAMPLE:
        return torch.cat(list(values))
    return torch.cat([_padded(value, views) for value in values])


def _padded(value: Tensor, views: int) -> Tensor:
    own = value.shape[1]
    if own == views:
        return value
    return value[:, torch.arange(views, device=value.device).clamp(max=own - 1)]
