"""How the trained networks that others build on are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gimbal.errors import ConfigError
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.learned_settings import Learned

if TYPE_CHECKING:
    from gimbal_nbv.reconstruction.base import Reconstruction
    from gimbal_nbv.reconstruction.completion import Completion
    from gimbal_nbv.reconstruction.multiview import MultiviewReconstruction

ReconstructionName = Literal["fusion", "completion", "multiview"]


def reconstruction_of(
    name: ReconstructionName, learned: Learned, inputs: StageInputs, grid: int
) -> Reconstruction:
    """Return the reconstruction of a config's `objective.reconstruction`.

    Args:
        name: Which.
        learned: Settings of the networks.
        inputs: Holds the finished stage of that name.
        grid: Voxels along each side of the protocol's cube.

    Raises:
        ConfigError: The network is not among what is given.
        StorageError: Its checkpoint is damaged.
    """
    if name == "fusion":
        from gimbal_nbv.reconstruction.fusion import DepthFusion

        return DepthFusion()
    if name == "completion":
        return completion_of(learned, inputs, grid)
    return multiview_of(learned, inputs)


def completion_of(learned: Learned, inputs: StageInputs, grid: int) -> Completion:
    """Return the completion net of stage `completion`; see `reconstruction_of`."""
    from gimbal.training.checkpoints import best
    from gimbal_nbv.stages.completion import load_completion

    if learned.completion is None or "completion" not in inputs:
        raise _missing("completion")
    return load_completion(best(inputs["completion"].path), learned.completion, grid)


def multiview_of(learned: Learned, inputs: StageInputs) -> MultiviewReconstruction:
    """Return the multi-view model of stage `multiview`; see `reconstruction_of`."""
    from gimbal_nbv.reconstruction.multiview import MultiviewReconstruction
    from gimbal_nbv.stages.multiview import load_multiview

    if learned.multiview is None or "multiview" not in inputs:
        raise _missing("multiview")
    model = load_multiview(inputs["multiview"].path, learned.multiview)
    return MultiviewReconstruction(model, learned.multiview.image_size)


def _missing(name: str) -> ConfigError:
    return ConfigError(
        f"there is no trained network of stage '{name}'",
        f"add `{name}: {{}}` to the config, or name a run that finished this stage",
    )
