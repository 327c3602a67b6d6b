"""Weights from files: a finished training as it was, or another model's as a beginning.

Everything is loaded to the CPU, so that weights trained on a card open on a laptop.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gimbal.errors import ConfigError
from gimbal.experiment.files import storage_errors
from gimbal.training.checkpoints import STATE_FILE, load
from gimbal_multicar.learning.model import CoopTwins, build_model
from gimbal_multicar.learning.settings import ModelSettings, SampleSettings
from gimbal_vision.multiview.patch_weights import adapted_patches

State = Mapping[str, Tensor]
_SHOWN = 5


def load_twins(checkpoint: Path, model: ModelSettings, samples: SampleSettings) -> CoopTwins:
    """Rebuild both networks from a checkpoint, ready to be asked.

    Args:
        checkpoint: Folder of a checkpoint of stage `train`.
        model: The model it was trained with.
        samples: What a view was.

    Raises:
        StorageError: The checkpoint is missing or damaged.
        ConfigError: It is of another model.
    """
    state = load(checkpoint)["model"]
    twins = build_model(model, samples)
    _load(twins, state, str(checkpoint))
    return twins.eval()


def start_from(path: Path, twins: CoopTwins) -> None:
    """Load the model's weights from an earlier training; its blind twin starts anew.

    Where only the patches differ (their size, or several images stacked as channels), the first
    layer's weights are made to fit; see `adapted_patches`.

    Args:
        path: Folder of a checkpoint, or a file of weights: a dictionary of tensors, or one that
            holds it under `model`.
        twins: What `build_model` returned.

    Raises:
        ConfigError: The weights do not fit; the message names them.
        StorageError: They cannot be read.
    """
    state = _weights(path)
    mine = twins.model.state_dict()
    prefix = "model."
    if any(name.startswith(prefix) for name in state):
        state = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    fitted = {
        name: adapted_patches(tensor, mine[name].shape)
        if name in mine and _is_patch_weight(name, tensor, mine[name])
        else tensor
        for name, tensor in state.items()
    }
    _load(twins.model, fitted, str(path))


def _weights(path: Path) -> State:
    if path.is_dir():
        if not (path / STATE_FILE).exists():
            raise ConfigError(
                f"model.init_from: {path} is no checkpoint: it has no {STATE_FILE}",
                "name a folder such as runs/EXPERIMENT/RUN/stages/train/checkpoints/step-00000500",
            )
        state: State = load(path)["model"]
        return state
    with storage_errors(path, "read the weights"):
        content = torch.load(path, map_location="cpu", weights_only=True)
    inner = content.get("model", content) if isinstance(content, Mapping) else content
    if not isinstance(inner, Mapping) or not all(isinstance(t, Tensor) for t in inner.values()):
        raise ConfigError(
            f"model.init_from: {path} holds no dictionary of tensors",
            "write one with torch.save(model.state_dict(), FILE), or name a checkpoint folder",
        )
    return inner


def _is_patch_weight(name: str, theirs: Tensor, mine: Tensor) -> bool:
    return "patch" in name and theirs.ndim == mine.ndim == 4 and theirs.shape != mine.shape


def _load(module: nn.Module, state: State, where: str) -> None:
    """Load all weights, or name those that do not fit.

    Raises:
        ConfigError: Some are missing, unknown or of another shape.
    """
    mine = module.state_dict()
    problems = [
        f"{name} is {list(state[name].shape)}, not {list(tensor.shape)}"
        if name in state
        else f"{name} is missing"
        for name, tensor in mine.items()
        if name not in state or state[name].shape != tensor.shape
    ]
    problems += [f"{name} is unknown" for name in state if name not in mine]
    if problems:
        more = len(problems) - _SHOWN
        raise ConfigError(
            f"the weights in {where} do not fit the model: {'; '.join(problems[:_SHOWN])}"
            + (f"; and {more} more" if more > 0 else ""),
            "give the model the size those weights were trained with (model.size and its keys, "
            "model.patch, samples.views), or other weights",
        )
    module.load_state_dict(dict(state))
