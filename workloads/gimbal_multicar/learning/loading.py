"""Weights from files: a finished training as it was, or another model's as a beginning.

Everything is loaded to the CPU, so that weights trained on a card open on a laptop.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from gimbal.errors import ConfigError, StorageError
from gimbal.training.checkpoints import STATE_FILE, load
from gimbal_multicar.learning.fitting import INIT_FROM
from gimbal_multicar.learning.model import CoopTwins, build_model
from gimbal_multicar.learning.settings import ModelSettings, SampleSettings
from gimbal_multicar.learning.weight_files import State, read_weights
from gimbal_vision.multiview.patch_weights import (
    adapted_patches,
    depends_on_patch,
    fits_adapted,
)

NEUTRAL = ("agents.table",)
"""Weights that are zero where they are new, and change nothing by being there."""
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
    twins = build_model(model, samples)
    _load(twins, _weights_of(checkpoint), str(checkpoint))
    return twins.eval()


def _weights_of(checkpoint: Path) -> State:
    content: object = load(checkpoint)
    state = content.get("model") if isinstance(content, dict) else None
    if isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values()):
        return state
    raise StorageError(
        f"{checkpoint / STATE_FILE} holds no weights under 'model'",
        "train anew: gimbal run CONFIG --force train (the stage's name)",
    )


@dataclass(frozen=True, kw_only=True)
class Start:
    """What became of weights that a training starts from.

    Attributes:
        resized: Patch embeddings that were made to fit.
        fresh: Weights whose shape depends on the size of a patch: as they were drawn.
    """

    resized: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """In one line; empty where everything fitted as it was."""
        return "; ".join(
            f"{INIT_FROM}: {what}: {', '.join(names)}"
            for what, names in (
                ("made to fit the patches", self.resized),
                ("new at random, since their shape depends on model.patch", self.fresh),
            )
            if names
        )

    def require_trained(self, twins: CoopTwins, *, told: bool) -> None:
        """See that nothing that was drawn at random stays so and is used.

        Args:
            twins: Both networks.
            told: Whether the model is told geometry.

        Raises:
            ConfigError: `model.train_only: heads` would freeze it.
        """
        trained = {name: p.requires_grad for name, p in twins.model.named_parameters()}
        stuck = [n for n in self.fresh if not trained[n] and (told or "geometry." not in n)]
        if stuck:
            raise ConfigError(
                f"model.train_only would freeze what {INIT_FROM} cannot give at this model.patch: "
                f"{', '.join(stuck)}",
                "use train_only: all, or the model.patch those weights were trained with",
            )


def start_from(path: Path, twins: CoopTwins) -> Start:
    """Load the model's weights from an earlier training; its blind twin starts anew.

    Where patches differ (their size, or several images stacked as channels), the first layer's
    weights are made to fit, see `adapted_patches`; layers that have a number for every pixel of a
    patch stay as they were drawn. What changes nothing before it has learnt may be missing.

    Args:
        path: See `read_weights`.
        twins: What `build_model` returned.

    Raises:
        ConfigError: The weights do not fit, or cannot be loaded; the message names them.
        StorageError: They cannot be read.
    """
    state = read_weights(path)
    mine = twins.model.state_dict()
    prefix = "model."
    if any(name.startswith(prefix) for name in state):
        state = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    other = {name: tensor for name, tensor in state.items() if _differs(tensor, mine.get(name))}
    resized = [name for name, tensor in other.items() if fits_adapted(name, tensor, mine[name])]
    sides = {(state[name].shape[-1], mine[name].shape[-1]) for name in resized}
    fresh = [
        name
        for name, tensor in other.items()
        if name not in resized and depends_on_patch(tensor.shape, mine[name].shape, sides)
    ]
    neutral = {name: mine[name] for name in NEUTRAL if name in mine}
    fitted = {
        **neutral,
        **state,
        **{name: adapted_patches(state[name], mine[name].shape) for name in resized},
        **{name: mine[name] for name in fresh},
    }
    _load(twins.model, fitted, f"{path} ({INIT_FROM})")
    return Start(resized=tuple(resized), fresh=tuple(fresh))


def _differs(theirs: Tensor, mine: Tensor | None) -> bool:
    return mine is not None and theirs.shape != mine.shape


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
