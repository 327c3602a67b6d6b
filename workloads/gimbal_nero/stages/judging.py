"""Stage `evaluate`: the mesh against ground truth where there is some, and held-out photographs.

The only stage that ground truth reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.judging.settings import JudgeSettings
from gimbal_nero.judging.truth_files import has_true_depth, has_true_mesh
from gimbal_nero.stages.meshing import MESH
from gimbal_nero.stages.preparing import PREPARE
from gimbal_nero.stages.shaping import SHAPE
from gimbal_nero.stages.synthesizing import SYNTHESIZE

if TYPE_CHECKING:
    from gimbal_nero.config import NeroConfig

EVALUATE = "evaluate"
EVALUATION_FILE = "evaluation.json"
_HEADLINE = (
    "chamfer", "normal_deg", "psnr", "ssim", "lpips", "accuracy", "completeness",
    "silhouette_iou", "step",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JudgeStage(TaskStage):
    """Judges the mesh and the best checkpoint; see `judge_stage`.

    Attributes:
        model: The model that was trained.
        rays_at_once: Rays of one forward pass.
        root: Folder of photographs, beside which ground truth may lie; none: the made ones'.
    """

    libraries: ClassVar[tuple[str, ...]] = (
        "numpy",
        "torch",
        "pykdtree",
        "trimesh",
        "scikit-image",
        "opencv-python-headless",
    )
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"rays_at_once", "root"}

    settings: JudgeSettings
    model: ModelSettings
    rays_at_once: int = 1024
    root: Path | None = None

    def external_files(self) -> Sequence[Path]:
        """The folder that ground truth may lie in."""
        return () if self.root is None else (self.root,)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `evaluation.json`, `summary.json`, `pictures/` and `error.ply`."""
        from gimbal_nero.capture_files import load_capture
        from gimbal_nero.judging.judge import Judged, judge
        from gimbal_nero.judging.summary import summary_table
        from gimbal_nero.learning.loading import load_shape
        from gimbal_nero.meshing.files import UNIT_MESH
        from gimbal_vision.meshes import load_mesh

        judged = Judged(
            capture=load_capture(inputs[PREPARE].path),
            mesh=load_mesh(inputs[MESH].path / UNIT_MESH),
            shape=load_shape(inputs[SHAPE].path, self.model),
            root=inputs[SYNTHESIZE].path if self.root is None else self.root,
        )
        found = judge(judged, self.settings, self.rays_at_once, out_dir, progress)
        atomic_write_json(out_dir / EVALUATION_FILE, found)
        atomic_write_json(out_dir / "summary.json", summary_table(found))
        return {name: found[name] for name in _HEADLINE if found.get(name) is not None}


def judge_stage(config: NeroConfig) -> JudgeStage:
    """Return the stage that a config asks for."""
    root = config.data.root
    made = () if root is not None else (SYNTHESIZE,)
    return JudgeStage(
        name=EVALUATE,
        settings=config.evaluate,
        seed=config.seed,
        model=config.model,
        rays_at_once=config.rays.rays_at_once,
        root=None if root is None else root.absolute(),
        inputs=(*made, PREPARE, SHAPE, MESH),
    )


def judge_gates(settings: JudgeSettings, root: Path | None) -> tuple[Gate, ...]:
    """Return the gates over the numbers of this stage that ground truth can answer.

    Args:
        settings: What is asked for.
        root: Folder of photographs; none: made ones, whose truth is known.
    """
    normals = root is None or has_true_mesh(root)
    surface = normals or (root is not None and has_true_depth(root))
    limits = (
        ("shape_close", "chamfer", settings.max_chamfer if surface else None),
        ("normals_close", "normal_deg", settings.max_normal_deg if normals else None),
    )
    return tuple(
        Gate(
            name=name,
            metric=metric,
            op="<=",
            threshold=limit,
            hint="the shape is further off than evaluate allows: train longer, or look at the "
            "page for what went wrong",
        )
        for name, metric, limit in limits
        if limit is not None
    )
