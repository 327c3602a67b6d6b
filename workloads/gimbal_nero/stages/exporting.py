"""Stage `export`: a learnt material and its light as files that other programs read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_nero.exporting.settings import ExportSettings
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.stages.fitting import MATERIAL, material_stage
from gimbal_nero.stages.meshing import MESH
from gimbal_nero.stages.preparing import PREPARE

if TYPE_CHECKING:
    from gimbal_nero.config import NeroConfig

EXPORT = "export"
EXPORT_GATES = (
    Gate(
        name="shape_is_kept",
        metric="moved_texels",
        op="<=",
        threshold=4.0,
        hint="simplifying the mesh moved its surface by more than textures can hide: raise "
        "export.most_faces",
    ),
    Gate(
        name="textures_say_the_material",
        metric="texture_error",
        op="<=",
        threshold=0.1,
        hint="textures are too coarse for the material: raise export.texture_side",
    ),
)


class ExportStageSettings(Settings):
    """What decides the files."""

    export: ExportSettings
    networks: MaterialSettings


@dataclass(frozen=True, kw_only=True)
class ExportStage(TaskStage):
    """Writes files; see `export_stage`, which makes it from a config."""

    libraries: ClassVar[tuple[str, ...]] = (
        "numpy",
        "scipy",
        "torch",
        "trimesh",
        "fast-simplification",
        "xatlas",
        "embreex",
        "pillow",
    )

    settings: ExportStageSettings
    inputs: tuple[str, ...] = (PREPARE, MESH, MATERIAL)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write what `exporting.export.FILES` names."""
        folders = {name: inputs[name].path for name in self.inputs}
        return export_of(folders, self.settings, out_dir, progress)


def export_of(
    folders: dict[str, Path], settings: ExportStageSettings, out_dir: Path, progress: Progress
) -> dict[str, Any]:
    """Export the best checkpoint of a run's material.

    Args:
        folders: Of stages `prepare`, `mesh` and `material`.
        settings: Of the files and of the networks.
        out_dir: Where; made if it is missing.
        progress: Told of each step.

    Raises:
        GimbalError: Something is missing or damaged, or cannot be written.
    """
    from gimbal_nero.capture_files import load_capture
    from gimbal_nero.exporting.export import Learnt, export
    from gimbal_nero.material.loading import load_material
    from gimbal_nero.meshing.files import UNIT_MESH
    from gimbal_vision.meshes import load_mesh

    loaded = load_material(folders[MATERIAL], settings.networks)
    learnt = Learnt(
        mesh=load_mesh(folders[MESH] / UNIT_MESH),
        material=loaded.appearance(),
        light=loaded.environment(),
        normalisation=load_capture(folders[PREPARE]).normalisation,
    )
    return {"step": loaded.step, **export(learnt, settings.export, out_dir, progress)}


def export_stage(config: NeroConfig) -> ExportStage:
    """Return the stage that a config asks for.

    Raises:
        ConfigError: The config asks for no material.
    """
    return ExportStage(
        name=EXPORT,
        settings=ExportStageSettings(
            export=config.export, networks=material_stage(config).settings.fit.networks
        ),
        seed=config.seed,
        gates=EXPORT_GATES,
    )
