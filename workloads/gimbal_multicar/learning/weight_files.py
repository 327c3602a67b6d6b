"""Files of weights to start a training from, and what can be wrong with them."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gimbal.errors import ConfigError
from gimbal.experiment.files import storage_errors
from gimbal.training.checkpoints import STATE_FILE, load
from gimbal_multicar.learning.fitting import A_CHECKPOINT, INIT_FROM

State = Mapping[str, Tensor]

_NO_WEIGHTS = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError,
    AttributeError, AssertionError, ImportError, struct.error,
)  # fmt: skip
"""What torch raises where a file is not, or not wholly, one that torch.save wrote."""


def read_weights(path: Path) -> State:
    """Return the weights of a checkpoint's folder, or of a file.

    Args:
        path: Folder of a checkpoint, or a file of weights: a dictionary of tensors, or one that
            holds it under `model`.

    Raises:
        ConfigError: It is neither, or holds numbers that are not finite.
        StorageError: It cannot be read.
    """
    content = _content(path)
    inner = content.get("model", content) if isinstance(content, Mapping) else content
    if (
        not isinstance(inner, Mapping)
        or not all(isinstance(tensor, Tensor) for tensor in inner.values())
        or not all(isinstance(name, str) for name in inner)
    ):
        raise ConfigError(
            f"{INIT_FROM}: {path} holds no dictionary of tensors by name",
            f"write one with torch.save(model.state_dict(), FILE), or name {A_CHECKPOINT}",
        )
    wild = [name for name, tensor in inner.items() if not bool(torch.isfinite(tensor).all())]
    if wild:
        more = f" and {len(wild) - 1} more" if len(wild) > 1 else ""
        raise ConfigError(
            f"{INIT_FROM}: {path} has numbers that are not finite in {wild[0]}{more}",
            "name an earlier checkpoint of that training, from before it diverged",
        )
    return inner


def _content(path: Path) -> Any:
    if not path.exists():
        raise ConfigError(f"{INIT_FROM}: there is nothing at {path}", f"name {A_CHECKPOINT}")
    if path.is_dir():
        if not (path / STATE_FILE).exists():
            raise ConfigError(
                f"{INIT_FROM}: {path} is no checkpoint: it has no {STATE_FILE}",
                f"name {A_CHECKPOINT}",
            )
        return load(path)
    try:
        with storage_errors(path, "read the weights"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except _NO_WEIGHTS as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ConfigError(
            f"{INIT_FROM}: {path} is no file of weights, or is cut short ({said[:100]})",
            f"write one with torch.save(model.state_dict(), FILE), or name {A_CHECKPOINT}",
        ) from error
