"""What a checkpoint remembers of a run, and putting it back on any number of workers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from gimbal.errors import ConfigError, StageFailed


def generators() -> dict[str, Any]:
    """Return the states of Python's, numpy's and torch's global generators, as plain values."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_generators(state: Mapping[str, Any]) -> None:
    """Put the generators back."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def load_weights(module: nn.Module, weights: Mapping[str, Any], where: str) -> None:
    """Load a module's weights.

    Raises:
        StageFailed: If the module is not the one that was saved.
    """
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as error:
        detail = str(error).splitlines()
        raise StageFailed(
            f"{where} holds another module: {' '.join(line.strip() for line in detail[1:3])}",
            "use an empty folder, or the task that wrote this one",
        ) from error


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any], where: str) -> None:
    """Load an optimizer's state.

    Raises:
        StageFailed: If its parameter groups are not those that were saved.
    """
    try:
        optimizer.load_state_dict(dict(state))
    except ValueError as error:
        raise StageFailed(
            f"{where} has other parameter groups: {error}",
            "use an empty folder, or the task that wrote this one",
        ) from error


def require_same(kept: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Refuse to continue a trajectory with settings that would bend it.

    Raises:
        ConfigError: Naming every key that differs.
    """
    changed = [
        f"{name} was {kept.get(name)!r}, now {now.get(name)!r}"
        for name in sorted(kept.keys() | now.keys())
        if kept.get(name) != now.get(name)
    ]
    if changed:
        raise ConfigError(
            f"{where} belongs to another run: {'; '.join(changed)}",
            "put the keys back, or train in an empty folder",
        )
