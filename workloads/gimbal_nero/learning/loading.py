"""A trained shape from the files of its stage, ready to be asked.

Everything is loaded to the CPU, so that weights trained on a card open on a laptop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from gimbal.errors import ConfigError, StorageError
from gimbal.training.checkpoints import (
    INDEX_FILE,
    STATE_FILE,
    Checkpoint,
    best,
    folder_of,
    listed,
    load,
)
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.learning.photographer import Photographer
from gimbal_nero.learning.port import Fields
from gimbal_nero.volume.shape import ShapeFields

Which = int | Literal["best", "last"]
_SHOWN = 5
_EXPOSURES = "exposure.stops"


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedShape:
    """Networks as a training left them.

    Attributes:
        fields: Renders them.
        module: In evaluation mode, without gradients.
        step: Optimizer steps done.
        photographer: Who stood behind the camera.
    """

    fields: Fields
    module: nn.Module
    step: int
    photographer: Photographer = "none"


def load_shape(stage_dir: Path, model: ModelSettings, which: Which = "best") -> LoadedShape:
    """Load the networks of a stage `shape`.

    Args:
        stage_dir: The stage's folder.
        model: The model it was trained with.
        which: `best`, `last`, or a step of which there is a checkpoint.

    Raises:
        ConfigError: There is no such checkpoint, or it is of another model.
        StorageError: It is damaged.
    """
    found = checkpoint_of(stage_dir, which)
    state = state_of(found)
    exposures = state.get(_EXPOSURES)
    fields = ShapeFields(model, views=0 if exposures is None else len(exposures))
    module, _ = fields.build()
    fill(module, state, found)
    return LoadedShape(
        fields=fields,
        module=module.eval().requires_grad_(False),
        step=found.step,
        photographer=model.photographer,
    )


def checkpoint_of(stage_dir: Path, which: Which) -> Checkpoint:
    """Return a checkpoint of a stage `shape`; before anything is validated, the best is the last.

    Raises:
        ConfigError: There is no such checkpoint.
        StorageError: The index is damaged.
    """
    found = listed(stage_dir)
    if not found:
        raise ConfigError(
            f"{stage_dir} has no checkpoint yet",
            "run the config again: it continues; checkpoints are written along the way",
        )
    if which == "last" or (which == "best" and not (folder_of(stage_dir) / INDEX_FILE).is_file()):
        return found[-1]
    if which == "best":
        return _best_of(stage_dir, found)
    for one in found:
        if one.step == which:
            return one
    raise ConfigError(f"there is no checkpoint of step {which}", f"take one of {_steps(found)}")


def _best_of(stage_dir: Path, found: Sequence[Checkpoint]) -> Checkpoint:
    name = best(stage_dir).name
    for one in found:
        if one.path.name == name:
            return one
    raise StorageError(
        f"{folder_of(stage_dir) / INDEX_FILE} names {name} as the best checkpoint, and it is gone",
        f"take the last, or a step: {_steps(found)}",
    )


def state_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return weights by name.

    Raises:
        StorageError: The checkpoint is damaged.
    """
    content: object = load(checkpoint.path)
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise StorageError(
            f"{checkpoint.path / STATE_FILE} holds no weights under 'model'",
            "train anew: gimbal run CONFIG --force shape",
        )
    return state


def fill(module: nn.Module, state: dict[str, Tensor], checkpoint: Checkpoint) -> None:
    """Load weights, or say which do not fit.

    Raises:
        ConfigError: The checkpoint is of another model.
        StorageError: They are not finite.
    """
    mine = module.state_dict()
    wrong = [n for n, t in mine.items() if n not in state or state[n].shape != t.shape]
    wrong += [name for name in state if name not in mine]
    if wrong:
        raise ConfigError(
            f"the weights in {checkpoint.path} do not fit the model: "
            f"{', '.join(wrong[:_SHOWN])}" + (" and more" if len(wrong) > _SHOWN else ""),
            "give the model the settings those weights were trained with",
        )
    broken = [n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise StorageError(
            f"the weights in {checkpoint.path} are not finite: {', '.join(broken[:_SHOWN])}",
            "take an earlier step",
        )
    module.load_state_dict(state)


def _steps(found: Sequence[Checkpoint]) -> str:
    return ", ".join(str(one.step) for one in found)
