"""Stage `synthesize`: made photographs in Glossy-Synthetic's layout, with the truth beside them.

The stage's folder is the data set's root; `truth/` in it reaches only the stage `evaluate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_nero.synthesis.settings import SyntheticSettings

SYNTHESIZE = "synthesize"

_CORES = 2.0
"""An embedded Ray offers as many at least; with more, pictures come sooner and are the same."""


@dataclass(frozen=True, kw_only=True)
class SynthesizeStage(TaskStage):
    """Makes photographs; see `synthesize_stage`, which makes it from a config.

    Attributes:
        settings: Without the files' places.
        mesh: Mesh file of shape `mesh`.
        hdri: Light file.
    """

    libraries: ClassVar[tuple[str, ...]] = (
        "numpy",
        "mitsuba",
        "trimesh",
        "opencv-python-headless",
        "embreex",
    )
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"mesh", "hdri"}

    settings: SyntheticSettings
    mesh: Path | None = None
    hdri: Path | None = None
    num_cpus: float = _CORES

    def external_files(self) -> Sequence[Path]:
        """The mesh and the light."""
        return tuple(path for path in (self.mesh, self.hdri) if path is not None)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Make what is missing of the photographs in `out_dir`."""
        from gimbal_nero.synthesis.making import make_photographs

        light = self.settings.light.model_copy(update={"hdri": self.hdri})
        settings = self.settings.model_copy(update={"mesh": self.mesh, "light": light})
        made = make_photographs(out_dir, settings, self.seed, progress)
        return {
            "views": made.views,
            "relit": made.relit,
            "perturbed_views": len(made.perturbed),
            "object_share": made.object_share,
        }


def synthesize_stage(settings: SyntheticSettings, seed: int) -> SynthesizeStage:
    """Return the stage that a config asks for.

    Args:
        settings: What is photographed.
        seed: The experiment's seed.
    """
    light = settings.light.model_copy(update={"hdri": None})
    return SynthesizeStage(
        name=SYNTHESIZE,
        settings=settings.model_copy(update={"mesh": None, "light": light}),
        seed=seed,
        mesh=settings.mesh.absolute() if settings.mesh else None,
        hdri=settings.light.hdri.absolute() if settings.light.hdri else None,
        gates=(
            Gate(
                name="object_visible",
                metric="object_share",
                op=">",
                threshold=0.01,
                hint="the object covers next to nothing of the pictures: lower fov_deg or "
                "distance, or raise extent",
            ),
        ),
    )
