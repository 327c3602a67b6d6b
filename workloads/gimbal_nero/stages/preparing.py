"""Stage `prepare`: photographs, made or one's own, become a capture in the unit frame.

Its gates are the checks before training: a scene that was not normalised, and exposure that drifts,
are cheap to find here and cost a whole training later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_nero.preparing.settings import PrepareSettings

PREPARE = "prepare"
_MADE = "synthesize"

GATES = (
    Gate(
        name="cameras_outside_sphere",
        metric="sphere.camera_distance_min",
        op=">",
        threshold=1.0,
        hint="a camera is inside the unit sphere: the scene is not normalised; set prepare.bound "
        "to frusta, masks or points",
    ),
    Gate(
        name="cameras_look_at_sphere",
        metric="sphere.axes_miss",
        op="<=",
        threshold=0.5,
        hint="the cameras look past the unit sphere's centre: the scene is not normalised; set "
        "prepare.bound to frusta, masks or points",
    ),
    Gate(
        name="sphere_not_too_large",
        metric="sphere.fill",
        op="<=",
        threshold=3.0,
        hint="the unit sphere is much larger than what is photographed: the scene is not "
        "normalised; set prepare.bound to frusta, masks or points",
    ),
    Gate(
        name="sphere_not_too_small",
        metric="sphere.fill",
        op=">=",
        threshold=0.2,
        hint="the unit sphere is a small part of the images: the scene is not normalised, or the "
        "object is far away; set prepare.bound, or crop with prepare.crop_to_sphere",
    ),
    Gate(
        name="object_in_sphere",
        metric="sphere.object_inside",
        op=">=",
        threshold=0.95,
        hint="the object sticks out of the unit sphere: set prepare.bound to masks or points, or "
        "check the masks",
    ),
    Gate(
        name="every_view_sees_sphere",
        metric="sphere.worst_view_inside",
        op=">=",
        threshold=0.5,
        hint="one view (sphere.worst_view in prepare.json) shows little of the unit sphere, or its "
        "mask nothing: its pose, lens or mask is wrong; take it out or mend it",
    ),
    Gate(
        name="exposure_steady",
        metric="exposure.drift_ev",
        op="<=",
        threshold=0.5,
        hint="brightness drifts from the first view to the last: photograph with a fixed exposure, "
        "or take out the views that differ",
    ),
)


@dataclass(frozen=True, kw_only=True)
class PrepareStage(TaskStage):
    """Prepares photographs; see `prepare_stage`, which makes it from a config.

    Attributes:
        root: Folder of photographs; none: those of the stage `synthesize`.
    """

    libraries: ClassVar[tuple[str, ...]] = (
        "numpy",
        "pillow",
        "opencv-python-headless",
        "pycolmap",
        "scipy",
    )
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"root"}

    settings: PrepareSettings
    root: Path | None = None

    def external_files(self) -> Sequence[Path]:
        """The folder of photographs, and masks and model where they are elsewhere."""
        if self.root is None:
            return ()
        named = (self.settings.masks_dir, self.settings.colmap_dir)
        return (self.root, *(self.root / path for path in named if path is not None))

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write the capture to `out_dir`."""
        from gimbal_nero.preparing.prepare import prepare

        root = inputs[_MADE].path if self.root is None else self.root
        return prepare(root, self.settings, out_dir, progress).metrics


def prepare_stage(
    settings: PrepareSettings, root: Path | None, seed: int, *, steady_exposure: bool = True
) -> PrepareStage:
    """Return the stage that a config asks for.

    Args:
        settings: `config.prepare`.
        root: Folder of photographs; none: the stage `synthesize` makes them.
        seed: The experiment's seed.
        steady_exposure: Whether drifting exposure ends the run; not where it is learnt.
    """
    gates = [gate for gate in GATES if steady_exposure or gate.name != "exposure_steady"]
    return PrepareStage(
        name=PREPARE,
        settings=settings,
        seed=seed,
        root=None if root is None else root.absolute(),
        inputs=(_MADE,) if root is None else (),
        gates=tuple(gates),
    )
