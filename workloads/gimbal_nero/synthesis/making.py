"""Make the photographs of one object, and the truth beside them.

The truth (`truth/`) is for judging alone: the mesh in the frame of the told poses, the material,
the light, true poses, faults, and pictures under other lights. Views are made one after another,
since Mitsuba shares each picture among all cores and reads the scene only once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import (
    atomic_write_bytes,
    atomic_write_json,
    ensure_folder,
)
from gimbal_nero.synthesis.cameras import (
    camera,
    exposure_gains,
    told_points,
    told_poses,
    true_poses,
)
from gimbal_nero.synthesis.lights import hdr_bytes, make_light
from gimbal_nero.synthesis.mitsuba_scene import MitsubaScene, mitsuba
from gimbal_nero.synthesis.objects import make_object, mesh_bytes, shaded
from gimbal_nero.synthesis.settings import SyntheticSettings
from gimbal_nero.synthesis.writing import (
    is_finished,
    png_bytes,
    srgb_bytes,
    write_view,
    z_depth,
)
from gimbal_vision.meshes.model import Mesh
from gimbal_vision.rendering.parallel import default_threads
from gimbal_vision.rendering.rays import RayCaster

Progress = Callable[[int, int, str], None]
Doubles = np.ndarray[Any, np.dtype[np.float64]]

TRUTH = "truth"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was done.

    Attributes:
        views: How many the folder has.
        relit: Pictures under other lights.
        kept: Pictures of both kinds that were there before.
        perturbed: Views whose told poses are wrong on purpose.
        object_share: Mean share of a picture that the object covers.
        seconds: How long it took.
    """

    views: int
    relit: int
    kept: int
    perturbed: tuple[int, ...]
    object_share: float
    seconds: float


def require_usable(settings: SyntheticSettings, seed: int) -> None:
    """Find what would stop the work before anything is written.

    Raises:
        SynthesisError: Mitsuba is missing, or a mesh or light cannot be used.
    """
    mitsuba(default_threads())
    make_object(settings, seed)
    make_light(settings.light, seed)


def make_photographs(
    folder: Path,
    settings: SyntheticSettings,
    seed: int,
    progress: Progress,
    threads: int | None = None,
) -> Made:
    """Make what a folder does not hold yet.

    Args:
        folder: Where; it holds nothing, or a part of the very same photographs.
        settings: What.
        seed: Of bumps, lights, places of cameras, light paths and faults.
        progress: Called with (pictures finished, all pictures, a few words).
        threads: At most this many; by default one a core. Never changes a file.

    Raises:
        SynthesisError: Mitsuba is missing, or a mesh or light cannot be used.
        StorageError: A file cannot be written.
    """
    began = time.monotonic()
    work = _Work(folder, settings, seed, threads or default_threads())
    work.write_truth()
    tasks = work.tasks()
    open_tasks = [task for task in tasks if not work.is_done(task)]
    for done, task in enumerate(open_tasks, len(tasks) - len(open_tasks)):
        progress(done, len(tasks), f"light {task[0]}, view {task[1]}")
        work.render(task)
    progress(len(tasks), len(tasks), "")
    return Made(
        views=settings.views,
        relit=len(tasks) - settings.views,
        kept=len(tasks) - len(open_tasks),
        perturbed=work.perturbed,
        object_share=work.object_share(),
        seconds=time.monotonic() - began,
    )


class _Work:
    """The pictures of one folder; a task is (light, view), light 0 being that of the views."""

    def __init__(self, folder: Path, settings: SyntheticSettings, seed: int, threads: int) -> None:
        self._folder, self._settings, self._seed = folder, settings, seed
        self._threads = threads
        self._mesh = make_object(settings, seed)
        self._lens = camera(settings)
        self._true = true_poses(settings, seed)
        self._told, self.perturbed = told_poses(self._true, settings.faults, seed)
        self._gains = exposure_gains(settings.views, settings.faults)
        self._caster = RayCaster(self._mesh, threads)
        self._scene: tuple[int, MitsubaScene] | None = None

    def tasks(self) -> list[tuple[int, int]]:
        """Return all pictures."""
        relit = range(1, self._settings.relit_lights + 1)
        others = [(light, view) for light in relit for view in range(self._settings.relit_views)]
        return [(0, view) for view in range(self._settings.views)] + others

    def is_done(self, task: tuple[int, int]) -> bool:
        """Tell whether a picture is there."""
        light, view = task
        return is_finished(self._folder, view) if light == 0 else self._relit(*task).is_file()

    def render(self, task: tuple[int, int]) -> None:
        """Make one picture; relit ones have no fault."""
        light, view = task
        pose = self._true[view]
        rgb = self._lit_by(light).render(self._lens, pose, self._path_seed(light, view))
        if light:
            atomic_write_bytes(self._relit(light, view), png_bytes(srgb_bytes(rgb)))
            return
        rgb = (rgb * self._gains[view]).astype(np.float32)
        depth = self._settings.faults.world_scale * z_depth(self._caster, self._lens, pose)
        write_view(self._folder, view, rgb, depth, (self._lens, self._told[view]))

    def write_truth(self) -> None:
        """Write everything of the truth but relit pictures."""
        truth = ensure_folder(self._folder / TRUTH)
        told = Mesh(told_points(self._mesh.vertices, self._settings.faults), self._mesh.faces)
        atomic_write_bytes(truth / "mesh.ply", mesh_bytes(told))
        atomic_write_json(truth / "brdf.json", self._settings.material.model_dump(mode="json"))
        atomic_write_json(truth / "cameras.json", self._cameras())
        for number in range(self._settings.relit_lights + 1):
            path = truth / "light.hdr" if number == 0 else self._relit_folder(number) / "light.hdr"
            atomic_write_bytes(path, hdr_bytes(self._light(number)))

    def object_share(self) -> float:
        """Return the mean share of a picture that the object covers."""
        depths = (z_depth(self._caster, self._lens, pose) for pose in self._true)
        return float(np.mean([np.isfinite(depth).mean() for depth in depths]))

    def _cameras(self) -> dict[str, Any]:
        faults = self._settings.faults
        return {
            "world": "y-up; true lengths: the object is about the origin",
            "true_cam2world": self._true.tolist(),
            "told_cam2world": self._told.tolist(),
            "told_scale": faults.world_scale,
            "told_shift": list(faults.world_shift),
            "perturbed_views": list(self.perturbed),
            "exposure_gains": self._gains.tolist(),
        }

    def _light(self, number: int) -> Any:
        return make_light(self._settings.light, self._seed, number)

    def _lit_by(self, number: int) -> MitsubaScene:
        if self._scene is None or self._scene[0] != number:
            mesh, light = shaded(self._mesh), self._light(number)
            self._scene = (number, MitsubaScene(mesh, light, self._settings, self._threads))
        return self._scene[1]

    def _path_seed(self, light: int, view: int) -> int:
        return int(np.random.SeedSequence([self._seed, light, view]).generate_state(1)[0])

    def _relit_folder(self, light: int) -> Path:
        return ensure_folder(self._folder / TRUTH / "relit" / str(light))

    def _relit(self, light: int, view: int) -> Path:
        return self._relit_folder(light) / f"{view}.png"
