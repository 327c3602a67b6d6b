"""Stage `mesh`: the surface of the trained shape, or somebody else's mesh, as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.errors import ConfigError
from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.meshing.settings import MeshSettings
from gimbal_nero.stages.preparing import PREPARE
from gimbal_nero.stages.shaping import SHAPE

if TYPE_CHECKING:
    from gimbal_nero.config import NeroConfig

MESH = "mesh"


_FRAME = (
    "the mesh must be in the frame of the photographs' poses, as mesh.ply of `gimbal nero mesh` "
    "and `gimbal nero export` is; write mesh.axes: y_up for a y-up file beside z-up poses"
)
FOREIGN_GATES = (
    Gate(
        name="mesh_is_seen",
        metric="fit.least_seen_share",
        op=">",
        threshold=0.005,
        hint=f"a view (fit.least_seen_view) sees next to nothing of the mesh; {_FRAME}",
    ),
    Gate(
        name="mesh_in_sphere",
        metric="radius",
        op="<=",
        threshold=1.2,
        hint=f"the mesh leaves the unit sphere that the photographs show; {_FRAME}",
    ),
    Gate(
        name="mesh_fits_masks",
        metric="fit.outline_iou",
        op=">=",
        threshold=0.8,
        hint=f"the mesh and the photographs' masks cover different pixels; {_FRAME}",
    ),
)


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


@dataclass(frozen=True, kw_only=True)
class ForeignMeshStage(TaskStage):
    """Takes a mesh file; see `mesh_stage`.

    Attributes:
        file: The mesh.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "trimesh")
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"file"}

    settings: MeshSettings
    file: Path
    inputs: tuple[str, ...] = (PREPARE,)

    def external_files(self) -> Sequence[Path]:
        """The mesh file."""
        return (self.file,)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `unit.ply`, `mesh.ply` and `mesh.glb`, and return how mesh and photographs fit."""
        from gimbal_nero.capture_files import load_capture
        from gimbal_nero.meshing.files import measured, write_meshes
        from gimbal_nero.meshing.foreign import fit_of, load_foreign
        from gimbal_nero.meshing.pieces import piece_of_faces

        capture = load_capture(inputs[PREPARE].path)
        mesh = load_foreign(self.file, capture, self.settings.axes)
        fit = fit_of(mesh, capture, progress)
        write_meshes(mesh, capture.normalisation, out_dir)
        return {**measured(mesh, int(piece_of_faces(mesh).max()) + 1), "fit": fit}


def mesh_stage(config: NeroConfig) -> MeshStage | ForeignMeshStage:
    """Return the stage that a config asks for.

    Raises:
        ConfigError: A mesh is named that is not there.
    """
    if config.mesh.file is not None:
        if not config.mesh.file.is_file():
            raise ConfigError(f"there is no mesh {config.mesh.file}", "name a file in mesh.file")
        return ForeignMeshStage(
            name=MESH,
            settings=config.mesh.model_copy(update={"file": None}),
            seed=config.seed,
            file=config.mesh.file.absolute(),
            gates=FOREIGN_GATES,
        )
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
