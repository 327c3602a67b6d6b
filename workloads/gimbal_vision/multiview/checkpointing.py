"""Which parts of the model forget their activations and compute them again in the backward pass.

Each block is a unit of its own, so the peak holds one block's activations instead of all. The
model has no randomness, so no generator's state is kept for the second pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpointing:
    """Three switches: less memory, more time.

    Attributes:
        encoder: Blocks of the image encoder.
        trunk: Blocks of the trunk.
        heads: The dense and the pose head.
    """

    encoder: bool = False
    trunk: bool = False
    heads: bool = False


def run(function: Callable[..., Result], *arguments: Any, again: bool) -> Result:
    """Return function(*arguments); with `again`, its activations are recomputed when needed."""
    if not (again and torch.is_grad_enabled()):
        return function(*arguments)
    result: Result = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    return result
