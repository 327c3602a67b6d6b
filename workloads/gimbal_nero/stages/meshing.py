"""Stage `mesh`: the surface of the trained shape as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.meshing.settings import MeshSettings
from gimbal_nero.stages.preparing import PREPARE
from gimbal_nero.stages.shaping import SHAPE

if TYPE_CHECKING:
    from gimbal_nero.config import NeroConfig

MESH = "mesh"


@dataclass(frozen=True, kw_only=True)
class MeshStage(TaskStage):
    """Cuts out the surface; see `mesh_stage`, which makes it from a config.

    Attributes:
        model: The model that was trained.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "torch", "scikit-image", "trimesh")

    settings: MeshSettings
    model: ModelSettings
    inputs: tuple[str, ...] = (PREPARE, SHAPE)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `unit.ply`, `mesh.ply` and `mesh.glb` of the best checkpoint."""
        from gimbal_nero.capture_files import load_capture
        from gimbal_nero.learning.loading import load_shape
        from gimbal_nero.meshing.files import measured, write_meshes
        from gimbal_nero.meshing.make import mesh_of

        shape = load_shape(inputs[SHAPE].path, self.model)
        mesh, pieces = mesh_of(shape, self.settings, progress)
        write_meshes(mesh, load_capture(inputs[PREPARE].path).normalisation, out_dir)
        return {"step": shape.step, **measured(mesh, pieces)}


def mesh_stage(config: NeroConfig) -> MeshStage:
    """Return the stage that a config asks for."""
    return MeshStage(
        name=MESH,
        settings=config.mesh,
        seed=config.seed,
        model=config.model,
        gates=(
            Gate(
                name="surface_closed",
                metric="watertight",
                op=">=",
                threshold=1.0,
                hint="the surface has holes or touches itself: raise mesh.resolution, or look at "
                "the slices of stage watch for what the shape fits instead of the object",
            ),
        ),
    )
