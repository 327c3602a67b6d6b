"""What a fitted material looks like on held-out views, now and at earlier checkpoints (R026)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gimbal.experiment.files import atomic_write_bytes, atomic_write_json
from gimbal_nero.capture import Bools, Bytes, Capture, View
from gimbal_nero.exporting.environment import environment_of
from gimbal_nero.learning.photographer import Photographer
from gimbal_nero.learning.quality import psnr_db
from gimbal_nero.learning.rays import RaySource
from gimbal_nero.material.loading import LoadedMaterial
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.points import see
from gimbal_nero.material.review_settings import ReviewSettings
from gimbal_nero.material.shading import PointShader, given_of
from gimbal_nero.reflectance.model import fixed_draws
from gimbal_nero.tracing.refining import DistanceField
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_nero.volume.colour import to_srgb
from gimbal_nero.watching.colours import png, sheet
from gimbal_nero.watching.strips import reduced
from gimbal_nero.watching.timeline import spread_steps

Progress = Callable[[int, int, str], None]
REVIEW_FILE = "review.json"
LABELS = {
    "photograph": "the photograph",
    "render": "what material and light send there",
    "albedo": "base colour, encoded as sRGB",
    "roughness": "perceptual roughness: black is a mirror",
    "metallic": "metallic: white is metal",
    "light": "mean light that falls on each point",
    "normal": "normals in the unit frame, as (n + 1) / 2",
    "surroundings": "the light from afar, in latitude and longitude",
}
"""What each picture shows."""
_ENDS = (0.05, 0.97)
"""Perceptual roughness beyond which it sits at an end of its range."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reviewed:
    """A fitting and what it is looked at with.

    Attributes:
        capture: The photographs.
        traced: The mesh.
        field: The distance it was cut out of, if that is known.
        shader: Shades points.
        points: Which pixels count.
        open_step: Opens a checkpoint.
        steps: Of all kept checkpoints, increasing.
        best: The step that everything later is made of.
        points_at_once: Points of one estimate.
        photographer: Who stood behind the camera.
    """

    capture: Capture
    traced: TracedMesh
    field: DistanceField | None
    shader: PointShader
    points: PointSettings
    open_step: Callable[[int], LoadedMaterial]
    steps: Sequence[int]
    best: int
    points_at_once: int
    photographer: Photographer = "none"


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """One view of one checkpoint; all [H, W, 3] linear but `photograph`, 0 beside the object."""

    view: View
    shown: Bools
    maps: dict[str, np.ndarray[Any, Any]]

    def psnr(self) -> float:
        """Return decibels over the pixels of the object; 0 where none is seen."""
        if not self.shown.any():
            return 0.0
        said = _srgb(self.maps["render"])
        return psnr_db(said[self.shown][None], self.view.image[self.shown][None])


def review(
    reviewed: Reviewed, settings: ReviewSettings, out_dir: Path, progress: Progress
) -> dict[str, Any]:
    """Write `view-*.png`, `step-*.png` and `review.json`, and return their numbers.

    Returns:
        `psnr` of held-out views (the object's pixels, at the size of `longest_side`);
        `psnr_gain_db`, of the first of them, from the first kept checkpoint to the best; means of
        the material over these pixels; and `at_ends`, the share of them whose roughness is below
        .05 (.04 is the least there is) or above .97.
    """
    held_out = reviewed.capture.of("test") or reviewed.capture.of("validate")
    views = [reduced(view, settings.longest_side) for view in held_out]
    chosen = spread_steps(reviewed.steps, settings.shown_steps)
    steps = sorted({*chosen, reviewed.best})
    total = len(steps) + len(views)
    timeline: list[dict[str, Any]] = []
    for index, step in enumerate(steps):
        progress(index, total, f"step {step}")
        loaded = reviewed.open_step(step)
        look = look_at(reviewed, loaded, views[0])
        name = f"step-{step:08d}.png"
        around = ("surroundings", _surroundings(loaded, settings.light_rows))
        content = png(sheet([list(panels(look).items()), [around]]))
        atomic_write_bytes(out_dir / name, content)
        timeline.append({"step": step, "file": name, "psnr": look.psnr(), **means([look])})
    loaded, looks = reviewed.open_step(reviewed.best), []
    for index, view in enumerate(views):
        progress(len(steps) + index, total, f"view {view.name}")
        looks.append(look_at(reviewed, loaded, view))
    files = []
    for number, look in enumerate(looks[: settings.shown_views]):
        files.append({"file": f"view-{number}.png", "view": look.view.name})
        content = png(sheet([list(panels(look).items())]))
        atomic_write_bytes(out_dir / f"view-{number}.png", content)
    found = {
        "step": reviewed.best,
        "psnr": float(np.mean([look.psnr() for look in looks])),
        "psnr_gain_db": looks[0].psnr() - timeline[0]["psnr"],
        **means(looks),
    }
    atomic_write_json(out_dir / REVIEW_FILE, {**found, "views": files, "timeline": timeline})
    return found


def look_at(reviewed: Reviewed, loaded: LoadedMaterial, view: View) -> Look:
    """Return maps of everything that a view sees of the surface."""
    seen = see(view, reviewed.traced, reviewed.points, reviewed.field)
    hit = seen.hits.hit.cpu().numpy()
    source = RaySource([view], photographer=reviewed.photographer)
    batch = source.fetch(np.flatnonzero(hit)) | {
        "points": seen.hits.starts.float().numpy(),
        "normals": seen.hits.normals.float().numpy(),
    }
    values = _values(reviewed, loaded, batch)
    shape = (view.camera.height, view.camera.width)
    maps = {}
    for name, said in values.items():
        image = np.zeros((*hit.shape, said.shape[-1]))
        image[hit] = said
        maps[name] = np.broadcast_to(image, (*hit.shape, 3)).reshape(*shape, 3)
    return Look(view=view, shown=seen.kept, maps=maps)


def _values(
    reviewed: Reviewed, loaded: LoadedMaterial, batch: dict[str, Any]
) -> dict[str, np.ndarray[Any, Any]]:
    parts: dict[str, list[Tensor]] = {}
    count, at_once = len(batch["points"]), reviewed.points_at_once
    for first in range(0, count, at_once):
        piece = {name: values[first : first + at_once] for name, values in batch.items()}
        given = given_of(loaded.module, piece)
        with torch.no_grad():
            material = loaded.module.surface(given["points"])
            draws = fixed_draws(len(given["points"]), given["points"])
            shaded = reviewed.shader.shade(loaded.module, given, material, draws)
        found = {
            "render": shaded.radiance,
            "albedo": material.albedo,
            "roughness": material.alpha.sqrt(),
            "metallic": material.metallic,
            "light": shaded.diffuse_light,
            "normal": 0.5 * (given["normals"] + 1.0),
        }
        for name, value in found.items():
            parts.setdefault(name, []).append(value)
    return {name: torch.cat(values).double().numpy() for name, values in parts.items()}


def panels(look: Look) -> dict[str, Bytes]:
    """Return the pictures of a view, [H, W, 3] each, by the names of `LABELS`."""
    encoded = {"render", "albedo", "light"}
    drawn = {
        name: _srgb(values) if name in encoded else _levels(values)
        for name, values in look.maps.items()
    }
    return {"photograph": look.view.image, **drawn}


def means(looks: Sequence[Look]) -> dict[str, float]:
    """Return means of the material over what is seen, and `at_ends`."""
    found = {}
    for name in ("roughness", "metallic", "albedo"):
        values = np.concatenate([look.maps[name][look.shown].ravel() for look in looks])
        found[name] = float(values.mean()) if len(values) else 0.0
        if name == "roughness":
            beyond = (values < _ENDS[0]) | (values > _ENDS[1])
            found["at_ends"] = float(beyond.mean()) if len(values) else 1.0
    return found


def _surroundings(loaded: LoadedMaterial, rows: int) -> Bytes:
    return _srgb(environment_of(loaded.environment(), rows, finer=1))


def _srgb(linear: np.ndarray[Any, Any]) -> Bytes:
    finite = torch.from_numpy(np.nan_to_num(np.asarray(linear, np.float64), posinf=0.0))
    return _levels(to_srgb(finite.clamp(min=0.0)).numpy())


def _levels(values: np.ndarray[Any, Any]) -> Bytes:
    return np.asarray(np.rint(255.0 * np.clip(values, 0.0, 1.0)), np.uint8)
