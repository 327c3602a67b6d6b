"""A learnt material and its light from the files of its stage, ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gimbal_nero.exporting import environment as lights
from gimbal_nero.exporting import material as appearances
from gimbal_nero.learning.loading import Which, checkpoint_of, fill, state_of
from gimbal_nero.material.model import MaterialModel
from gimbal_nero.material.settings import MaterialSettings

_PHOTOGRAPHER = "photographer."


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedMaterial:
    """Networks as a fitting left them.

    Attributes:
        module: On the CPU, in evaluation mode, without gradients.
        step: Optimizer steps done.
    """

    module: MaterialModel
    step: int

    def appearance(self) -> appearances.Material:
        """Return the material as exporting asks for it: of points [N, 3] of the unit frame."""

        def at(points: appearances.Floats) -> tuple[appearances.Floats, ...]:
            with torch.no_grad():
                said = self.module.surface(torch.from_numpy(np.ascontiguousarray(points)))
            return said.albedo.numpy(), said.metallic.numpy(), said.alpha.numpy()

        return at  # type: ignore[return-value]

    def environment(self) -> lights.Light:
        """Return light from afar as exporting asks for it: of directions seen from the centre."""

        def along(directions: lights.Floats) -> lights.Floats:
            asked = torch.from_numpy(np.ascontiguousarray(directions))
            with torch.no_grad():
                said = self.module.light.from_afar(torch.zeros_like(asked), asked)
            return np.asarray(said.numpy(), np.float32)

        return along


def load_material(
    stage_dir: Path, settings: MaterialSettings, which: Which = "best"
) -> LoadedMaterial:
    """Load the networks of a stage `material`.

    Args:
        stage_dir: The stage's folder.
        settings: The networks' sizes, as they were fitted.
        which: `best`, `last`, or a step of which there is a checkpoint.

    Raises:
        ConfigError: There is no such checkpoint, or it is of other networks.
        StorageError: It is damaged.
    """
    found = checkpoint_of(stage_dir, which)
    state = state_of(found)
    standing = any(name.startswith(_PHOTOGRAPHER) for name in state)
    module = MaterialModel(settings, photographer=standing)
    fill(module, state, found)
    return LoadedMaterial(module=module.eval().requires_grad_(False), step=found.step)
