"""Stage `review`: the fitted material on held-out views, now and at earlier checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.material.review_settings import ReviewSettings
from gimbal_nero.stages.fitting import MATERIAL, MaterialStageSettings, material_stage
from gimbal_nero.stages.meshing import MESH
from gimbal_nero.stages.preparing import PREPARE
from gimbal_nero.stages.shaping import SHAPE

if TYPE_CHECKING:
    from gimbal_nero.config import NeroConfig

REVIEW = "review"
REVIEW_GATES = (
    Gate(
        name="roughness_in_range",
        metric="at_ends",
        op="<=",
        threshold=0.8,
        hint="roughness sits at an end of its range on most of the surface: look at the maps of "
        "stage review, at the mesh's normals and at the exposure, and fit for longer",
    ),
    Gate(
        name="material_improves",
        metric="psnr_gain_db",
        op=">=",
        threshold=-0.5,
        hint="held-out views were explained better earlier: lower material.train.lr",
    ),
)
"""Asked by stage `report`, whose page shows why."""


class ReviewedSettings(Settings):
    """What decides what is seen."""

    review: ReviewSettings
    fitted: MaterialStageSettings


@dataclass(frozen=True, kw_only=True)
class ReviewStage(TaskStage):
    """Looks at a material; see `review_stage`.

    Attributes:
        model: Of the shape, whose distance the mesh is refined onto.
        points_at_once: Points of one estimate.
    """

    libraries: ClassVar[tuple[str, ...]] = (
        "numpy",
        "torch",
        "trimesh",
        "embreex",
        "opencv-python-headless",
    )
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"points_at_once"}

    settings: ReviewedSettings
    model: ModelSettings
    points_at_once: int = 1024

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write pictures and `review.json`."""
        from gimbal.training.checkpoints import listed
        from gimbal_nero.capture_files import load_capture
        from gimbal_nero.learning.loading import checkpoint_of
        from gimbal_nero.material.loading import load_material
        from gimbal_nero.material.review import Reviewed, review
        from gimbal_nero.material.shading import PointShader
        from gimbal_nero.meshing.files import UNIT_MESH
        from gimbal_nero.stages.fitting import distance_of
        from gimbal_nero.tracing.surface import TracedMesh
        from gimbal_vision.meshes import load_mesh

        folder, fitted = inputs[MATERIAL].path, self.settings.fitted
        mesh = load_mesh(inputs[MESH].path / UNIT_MESH)
        reviewed = Reviewed(
            capture=load_capture(inputs[PREPARE].path),
            traced=TracedMesh(mesh),
            field=distance_of(inputs, self.model, fitted.points),
            shader=PointShader(mesh, fitted.mc),
            points=fitted.points,
            open_step=lambda step: load_material(folder, fitted.fit.networks, step),
            steps=[checkpoint.step for checkpoint in listed(folder)],
            best=checkpoint_of(folder, "best").step,
            points_at_once=self.points_at_once,
            photographer=self.model.photographer,
        )
        return review(reviewed, self.settings.review, out_dir, progress)


def review_stage(config: NeroConfig) -> ReviewStage:
    """Return the stage that a config asks for."""
    fitting = material_stage(config)
    shape = (SHAPE,) if SHAPE in fitting.inputs else ()
    return ReviewStage(
        name=REVIEW,
        settings=ReviewedSettings(review=config.review, fitted=fitting.settings),
        seed=config.seed,
        model=config.model,
        points_at_once=fitting.points_at_once,
        inputs=(PREPARE, *shape, MESH, MATERIAL),
    )


def review_gates(config: NeroConfig) -> tuple[Gate, ...]:
    """Return the gates over the numbers of this stage."""
    return REVIEW_GATES if config.review.must_pass else ()
