"""Geometry and heads compute in full precision, also under autocast: metres do not fit bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def full(tensor: Tensor) -> Tensor:
    """Return half-precision tensors as float32, others as they are."""
    half = tensor.dtype in (torch.bfloat16, torch.float16)
    return tensor.float() if half else tensor


@contextmanager
def full_precision(like: Tensor) -> Iterator[None]:
    """Switch autocast off on the device of `like`."""
    with torch.autocast(like.device.type, enabled=False):
        yield
