"""Running a loss only to see what it counts, leaving no trace of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def without_trace(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Run the block without gradients; neither buffers nor torch's generators move."""
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    cuda = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=cuda):
        try:
            yield
        finally:
            for name, buffer in module.named_buffers():
                buffer.copy_(kept[name])
