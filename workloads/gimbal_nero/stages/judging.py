"""Stage `evaluate`: mesh, material and relit pictures against ground truth where there is some.

The only stage that ground truth reaches; held-out photographs are compared here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.stage import Comparison, Gate, Progress, StageInputs, TaskStage
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.judging.settings import JudgeSettings
from gimbal_nero.judging.truth_files import (
    has_relit_truth,
    has_true_depth,
    has_true_material,
    has_true_mesh,
)
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.stages.fitting import MATERIAL
from gimbal_nero.stages.meshing import MESH
from gimbal_nero.stages.preparing import PREPARE
from gimbal_nero.stages.relighting import RELIGHT
from gimbal_nero.stages.shaping import SHAPE
from gimbal_nero.stages.synthesizing import SYNTHESIZE

if TYPE_CHECKING:
    from gimbal_nero.config import NeroConfig

EVALUATE = "evaluate"
EVALUATION_FILE = "evaluation.json"
_HEADLINE = (
    "chamfer", "normal_deg", "psnr", "roughness_mae", "albedo_mae", "relit_psnr",
    "ssim", "lpips", "accuracy", "completeness", "silhouette_iou", "step",
    "metallic_mae", "albedo_mae_raw", "albedo_mae_global", "albedo_mae_channels", "albedo_scale",
    "material_points", "material_step",
    "relit_ssim", "relit_lpips", "relit_psnr_raw", "relit_psnr_global", "relit_psnr_channels",
    "relit_scale", "relit_pictures",
    "material_missing", "relit_missing",
)  # fmt: skip
_FAR_SHAPE = (
    "the shape is further off than evaluate allows: train longer, or look at the page for what "
    "went wrong"
)
_FAR = (
    "the material is further off than evaluate allows: look at the page whether the mesh is right "
    "first, then fit longer or from more directions (material.train.steps, mc.diffuse_samples)"
)


@dataclass(frozen=True, kw_only=True)
class JudgeStage(TaskStage):
    """Judges the mesh and the best checkpoints; see `judge_stage`.

    Attributes:
        model: The model that was trained.
        networks: Of material and light; None: only the shape was learnt.
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
    networks: MaterialSettings | None = None
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
        from gimbal_nero.material.loading import load_material
        from gimbal_nero.meshing.files import UNIT_MESH
        from gimbal_vision.meshes import load_mesh

        shape = load_shape(inputs[SHAPE].path, self.model) if SHAPE in inputs else None
        material = None
        if self.networks is not None:
            material = load_material(inputs[MATERIAL].path, self.networks)
        judged = Judged(
            capture=load_capture(inputs[PREPARE].path),
            mesh=load_mesh(inputs[MESH].path / UNIT_MESH),
            root=inputs[SYNTHESIZE].path if self.root is None else self.root,
            shape=shape,
            material=material,
            relight_dir=inputs[RELIGHT].path if RELIGHT in inputs else None,
        )
        found = judge(judged, self.settings, self.rays_at_once, out_dir, progress)
        atomic_write_json(out_dir / EVALUATION_FILE, found)
        atomic_write_json(out_dir / "summary.json", summary_table(found))
        return {name: found[name] for name in _HEADLINE if found.get(name) is not None}


def judge_stage(config: NeroConfig) -> JudgeStage:
    """Return the stage that a config asks for."""
    root, material = config.data.root, config.material
    made = () if root is not None else (SYNTHESIZE,)
    learnt = () if config.mesh.file is not None else (SHAPE,)
    fitted = () if material is None else (MATERIAL, RELIGHT)
    return JudgeStage(
        name=EVALUATE,
        settings=config.evaluate,
        seed=config.seed,
        model=config.model,
        networks=None if material is None else material.networks,
        rays_at_once=config.rays.rays_at_once,
        root=None if root is None else root.absolute(),
        inputs=(*made, PREPARE, *learnt, MESH, *fitted),
    )


def judge_gates(settings: JudgeSettings, root: Path | None) -> tuple[Gate, ...]:
    """Return the gates over the numbers of this stage that ground truth can answer.

    Args:
        settings: What is asked for.
        root: Folder of photographs; none: made ones, whose truth is known.
    """
    normals = root is None or has_true_mesh(root)
    surface = normals or (root is not None and has_true_depth(root))
    material = surface and (root is None or has_true_material(root))
    relit = normals and (root is None or has_relit_truth(root))
    limits: tuple[tuple[bool, str, str, Comparison, float | None, str], ...] = (
        (surface, "shape_close", "chamfer", "<=", settings.max_chamfer, _FAR_SHAPE),
        (normals, "normals_close", "normal_deg", "<=", settings.max_normal_deg, _FAR_SHAPE),
        (material, "roughness_close", "roughness_mae", "<=", settings.max_roughness_mae, _FAR),
        (material, "albedo_close", "albedo_mae", "<=", settings.max_albedo_mae, _FAR),
        (relit, "relit_close", "relit_psnr", ">=", settings.min_relit_psnr, _FAR),
    )
    return tuple(
        Gate(name=name, metric=metric, op=op, threshold=limit, hint=hint)
        for known, name, metric, op, limit, hint in limits
        if known and limit is not None
    )
