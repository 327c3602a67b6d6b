"""Stage `relight`: how the learnt object looks under other lights, and from all around.

Of the truth it sees lights and the names of views that were rendered under them, no pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.errors import ConfigError
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.relighting.settings import RelightSettings
from gimbal_nero.stages.fitting import MATERIAL
from gimbal_nero.stages.meshing import MESH
from gimbal_nero.stages.preparing import PREPARE
from gimbal_nero.stages.shaping import SHAPE
from gimbal_nero.stages.synthesizing import SYNTHESIZE

if TYPE_CHECKING:
    from gimbal_nero.config import NeroConfig

RELIGHT = "relight"


@dataclass(frozen=True, kw_only=True)
class RelightStage(TaskStage):
    """Makes pictures; see `relight_stage`, which makes it from a config.

    Attributes:
        settings: Without the lights' places.
        networks: Of the material.
        model: Of the shape, whose distance hits are refined onto where it is an input.
        lights: Files of lights.
        root: Folder of photographs, beside which lights of a truth may lie; none: the made ones'.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch", "trimesh", "embreex", "pillow")
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"lights", "root"}

    settings: RelightSettings
    networks: MaterialSettings
    model: ModelSettings
    lights: tuple[Path, ...] = ()
    root: Path | None = None

    def external_files(self) -> Sequence[Path]:
        """The lights, and the folder that those of a truth may lie in."""
        return (*self.lights, *(() if self.root is None else (self.root,)))

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `light-<name>/<view>.png` and `.npz`, `orbit.gif` and `relight.json`."""
        from gimbal_nero.relighting.learnt import Sources, device_named, load_object
        from gimbal_nero.relighting.lights import file_lights, named_apart, true_lights
        from gimbal_nero.relighting.making import relight

        sources = Sources(
            prepare=inputs[PREPARE].path,
            mesh=inputs[MESH].path,
            material=inputs[MATERIAL].path,
            shape=inputs[SHAPE].path if SHAPE in inputs else None,
            networks=self.networks,
            model=self.model,
        )
        learnt = load_object(sources, device_named(self.settings.device))
        place, device = learnt.capture.normalisation, learnt.device
        root = inputs[SYNTHESIZE].path if self.root is None else self.root
        own = file_lights(self.lights, place, self.settings.lights_frame, device)
        lights = named_apart((*true_lights(root, place, device), *own))
        record = relight(learnt, lights, self.settings, self.seed, out_dir, progress)
        return {
            "lights": len(record["lights"]),
            "views": sum(len(light["views"]) for light in record["lights"]),
            "frames": self.settings.orbit_frames,
            "seconds": record["seconds"],
        }


def relight_stage(config: NeroConfig) -> RelightStage:
    """Return the stage that a config asks for.

    Raises:
        ConfigError: The config asks for no material.
    """
    if config.material is None:
        raise ConfigError(
            "the config has no section material, so there is nothing to relight",
            "write material: {train: ...}, or take another",
        )
    for path in config.relight.lights:
        if not path.is_file():
            raise ConfigError(f"there is no light {path}", "name files in relight.lights")
    root = config.data.root
    made = () if root is not None else (SYNTHESIZE,)
    refined = config.mesh.file is None and config.points.refining_steps > 0
    return RelightStage(
        name=RELIGHT,
        settings=config.relight.model_copy(update={"lights": ()}),
        seed=config.seed,
        num_gpus=1.0 if config.relight.device == "cuda" else 0.0,
        networks=config.material.networks,
        model=config.model,
        lights=tuple(path.absolute() for path in config.relight.lights),
        root=None if root is None else root.absolute(),
        inputs=(*made, PREPARE, *((SHAPE,) if refined else ()), MESH, MATERIAL),
    )
