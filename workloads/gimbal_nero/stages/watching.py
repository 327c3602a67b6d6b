"""Stage `watch`: what a trained shape looks like, and whether it is one.

It sees photographs and checkpoints and never the truth. The gates over its numbers name causes, in
the order in which they should be looked for: what is wrong with the scene, then with the
photographs, then with the training. They are asked by stage `report`, when the page is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.stages.preparing import PREPARE
from gimbal_nero.watching.settings import OUTLINE_GAP, POSE_GAIN_DB, WatchSettings

if TYPE_CHECKING:
    from gimbal_nero.watching.strips import Renderer

WATCH = "watch"
_SHAPE = "shape"
_CHANGES_NO_NUMBER = ("rays_at_once", "must_pass")

HAS_A_SHAPE = Gate(
    name="has_a_shape",
    metric="extent.volume_share",
    op=">=",
    threshold=1e-4,
    hint="nothing in the unit sphere is inside the shape: train for longer, and look whether "
    "prepare.bound put the object into the sphere; pictures are in the folder of stage watch",
)
"""Asked at once, since there would be no mesh and no page."""

GATES = (
    Gate(
        name="background_outside_sphere",
        metric="extent.shell_inside",
        op="<=",
        threshold=0.25,
        hint="the shape reaches the sphere's edge in many directions, so the background was fitted "
        "within it: give model.background and model.sampling.background, masks with "
        "loss.mask_weight, or a smaller prepare.radius",
    ),
    Gate(
        name="exposure_agrees",
        metric="views.exposure_drift_ev",
        op="<=",
        threshold=0.5,
        hint="photographs are brighter than the shape says by more and more: fix the exposure and "
        "the white balance; exposure_ev of each view is in watch.json",
    ),
    Gate(
        name="poses_agree",
        metric="views.pose_gain_db",
        op="<=",
        threshold=POSE_GAIN_DB,
        hint="some photographs are explained much better from turned poses, so their poses are "
        "wrong: they have the largest pose_gain_db in watch.json, and pose_turn_deg says how far "
        "they are off; take them out or find their poses anew",
    ),
    Gate(
        name="outlines_agree",
        metric="views.outline_gap",
        op="<=",
        threshold=OUTLINE_GAP,
        hint="the shape's outline misses the masks of some views much more than those of the rest: "
        "their poses or masks are wrong; they have the largest outline_miss in watch.json",
    ),
    Gate(
        name="weights_peak_at_surface",
        metric="surface.peak_miss",
        op="<=",
        threshold=0.05,
        hint="weights along rays do not peak where the distance is zero: train for longer, and "
        "look at the eikonal term and at surface.gradient_off",
    ),
    Gate(
        name="weights_are_near_surface",
        metric="surface.weight_near",
        op=">=",
        threshold=0.5,
        hint="opacity is still spread along rays: train for longer, or let sharpness learn earlier "
        "(schedule.variance_frozen_steps)",
    ),
    Gate(
        name="background_not_in_sphere",
        metric="background.inner_opacity",
        op="<=",
        threshold=0.15,
        hint="the unit sphere is not empty in front of the background: train for longer, or use "
        "masks with loss.mask_weight",
    ),
    Gate(
        name="background_is_outside",
        metric="background.outer_error",
        op="<=",
        threshold=0.2,
        hint="the outer branch does not show the background: raise model.sampling.background, and "
        "look at the panel outer of the strips",
    ),
    Gate(
        name="held_out_views_improve",
        metric="timeline.psnr_gain_db",
        op=">=",
        threshold=0.0,
        hint="held-out pixels were rendered better earlier: lower train.lr, or train for longer",
    ),
)  # fmt: skip

MATERIAL_GATE = Gate(
    name="materials_in_range",
    metric="material.out_of_range",
    op="<=",
    threshold=0.8,
    hint="roughness or albedo sit at the ends of their range on most of the surface: look at the "
    "exposure, at model.light_max_log, and train for longer",
)


class WatchedSettings(Settings):
    """What decides what is seen."""

    watch: WatchSettings
    model: ModelSettings


@dataclass(frozen=True, kw_only=True)
class WatchStage(TaskStage):
    """Looks at a shape; see `watch_stage`, which makes it from a config.

    Attributes:
        rays_at_once: Rays of one forward pass.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch", "opencv-python-headless")
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"rays_at_once"}

    settings: WatchedSettings
    rays_at_once: int = 1024
    inputs: tuple[str, ...] = (PREPARE, _SHAPE)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write pictures and `watch.json` to `out_dir`."""
        from gimbal.training.checkpoints import listed
        from gimbal_nero.capture_files import load_capture
        from gimbal_nero.learning.loading import checkpoint_of
        from gimbal_nero.watching.watch import Watched, watch

        shape_dir = inputs[_SHAPE].path
        settings = self.settings.watch.model_copy(update={"rays_at_once": self.rays_at_once})
        watched = Watched(
            capture=load_capture(inputs[PREPARE].path),
            open_step=lambda step: self._open(shape_dir, step),
            steps=[checkpoint.step for checkpoint in listed(shape_dir)],
            best=checkpoint_of(shape_dir, "best").step,
            seed=self.seed,
        )
        return watch(watched, settings, out_dir, progress)

    def _open(self, shape_dir: Path, step: int) -> Renderer:
        from functools import partial

        from gimbal_nero.learning.loading import load_shape
        from gimbal_nero.learning.rays import RaySource
        from gimbal_nero.watching.strips import Renderer

        loaded = load_shape(shape_dir, self.settings.model, step)
        source_of = partial(RaySource, photographer=self.settings.model.photographer)
        return Renderer(
            fields=loaded.fields,
            module=loaded.module,
            source_of=source_of,
            at_once=self.rays_at_once,
        )


def watch_stage(settings: WatchSettings, model: ModelSettings, seed: int) -> WatchStage:
    """Return the stage that a config asks for.

    Args:
        settings: `config.watch`.
        model: `config.model`, with which `shape` was trained.
        seed: The experiment's.
    """
    unset = {name: WatchSettings.model_fields[name].default for name in _CHANGES_NO_NUMBER}
    return WatchStage(
        name=WATCH,
        settings=WatchedSettings(watch=settings.model_copy(update=unset), model=model),
        seed=seed,
        rays_at_once=settings.rays_at_once,
        gates=(HAS_A_SHAPE,) if settings.must_pass else (),
    )


def watch_gates(settings: WatchSettings, model: ModelSettings) -> tuple[Gate, ...]:
    """Return the gates over the numbers of this stage that mean something for a model."""
    if not settings.must_pass:
        return ()
    exposed = model.exposure == "learned"
    kept = tuple(gate for gate in GATES if not (exposed and gate.name == "exposure_agrees"))
    return (*kept, MATERIAL_GATE) if model.mode == "reflection" else kept
