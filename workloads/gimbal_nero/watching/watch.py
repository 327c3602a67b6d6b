"""All that is looked at of a trained shape, written to a folder.

`watch.json` holds every number with the rays and views behind it; pictures lie beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gimbal.experiment.files import atomic_write_bytes, atomic_write_json
from gimbal.experiment.stage import Progress
from gimbal_nero.capture import Bytes, Capture, View
from gimbal_nero.watching.agreement import agreement_numbers, view_numbers
from gimbal_nero.watching.background import background_numbers
from gimbal_nero.watching.choosing import sample_views
from gimbal_nero.watching.colours import png, sheet
from gimbal_nero.watching.extent import extent_numbers
from gimbal_nero.watching.material import material_numbers
from gimbal_nero.watching.pose_search import doubtful, pose_doubt
from gimbal_nero.watching.profiles import chosen_pixels, pixel_name, profile
from gimbal_nero.watching.rendering import see
from gimbal_nero.watching.settings import WatchSettings
from gimbal_nero.watching.slices import PLANES, slice_picture
from gimbal_nero.watching.strips import Renderer, look_at_view, panels, reduced, strip
from gimbal_nero.watching.surface import surface_numbers
from gimbal_nero.watching.timeline import (
    look_at_moment,
    spread_steps,
    timeline_numbers,
)

WATCH_FILE = "watch.json"
Opening = Callable[[int], Renderer]
"""From the step of a kept checkpoint to what renders it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """What is looked at.

    Attributes:
        capture: The photographs.
        open_step: Loads the networks of a kept checkpoint.
        steps: Of all kept checkpoints, increasing.
        best: The one whose numbers count.
        seed: Chooses pixels.
    """

    capture: Capture
    open_step: Opening
    steps: Sequence[int]
    best: int
    seed: int


def watch(
    watched: Watched, settings: WatchSettings, out_dir: Path, progress: Progress
) -> dict[str, Any]:
    """Look at a shape and write what was seen.

    Args:
        watched: The shape and the photographs.
        settings: How closely.
        out_dir: Folder that is there.
        progress: Told of every view and checkpoint.

    Returns:
        Numbers: `surface`, `background`, `extent`, `material`, `views` and `timeline`.

    Raises:
        StorageError: Something cannot be written.
    """
    renderer = replace(watched.open_step(watched.best), at_once=settings.rays_at_once)
    held_out = _held_out(watched.capture)[: settings.strips]
    chosen = spread_steps(watched.steps, settings.checkpoints)
    total = len(held_out) + len(chosen) + 1
    numbers, views = _numbers(watched, renderer, settings)
    progress(1, total, "numbers of the training views")
    strips = []
    for index, view in enumerate(held_out):
        strips.append(_strip(renderer, view, settings, out_dir / f"strip-{index:02d}.png"))
        progress(2 + index, total, f"view {view.name}")
    moments = []
    for index, step in enumerate(chosen):
        moments.append(_moment(watched, settings, step, out_dir))
        progress(2 + len(held_out) + index, total, f"step {step}")
    metrics = numbers | {"timeline": timeline_numbers(moments)}
    found = {
        "step": watched.best,
        "metrics": metrics,
        "views": views,
        "strips": strips,
        "slices": _slices(renderer, settings, out_dir),
        "timeline": moments,
    }
    atomic_write_json(out_dir / WATCH_FILE, found)
    return metrics


def _held_out(capture: Capture) -> tuple[View, ...]:
    return (*capture.of("validate"), *capture.of("test"))


def _numbers(
    watched: Watched, renderer: Renderer, settings: WatchSettings
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the numbers over pixels of all training views, and each view's."""
    training = watched.capture.of("train")
    sample = sample_views(training, settings.rays_per_view, watched.seed, renderer.source_of)
    seen = see(renderer.fields, renderer.module, sample.rays, renderer.at_once)
    views = view_numbers(seen, sample)
    for position in doubtful(views, settings.doubted_views):
        views[position] |= pose_doubt(
            training[position],
            settings.rays_per_view,
            watched.seed,
            renderer.source_of,
            lambda rays: see(renderer.fields, renderer.module, rays, renderer.at_once),
        )
    numbers = {
        "surface": surface_numbers(seen),
        "background": background_numbers(seen, sample.rays["rgb"], sample.rays["mask"]),
        "extent": extent_numbers(renderer.fields, renderer.module, renderer.at_once),
        "material": material_numbers(seen),
        "views": agreement_numbers(views),
    }
    return numbers, views


def _strip(renderer: Renderer, view: View, settings: WatchSettings, path: Path) -> dict[str, Any]:
    small = reduced(view, settings.strip_side)
    seen = look_at_view(renderer, small)
    pictures = panels(small, seen)
    atomic_write_bytes(path, png(strip(pictures)))
    rays = {
        name: {"pixel": pixel_name(small, ray), **profile(seen, ray)}
        for name, ray in chosen_pixels(seen).items()
    }
    return {"view": view.name, "file": path.name, "panels": list(pictures), "rays": rays}


def _moment(watched: Watched, settings: WatchSettings, step: int, out_dir: Path) -> dict[str, Any]:
    renderer = replace(watched.open_step(step), at_once=settings.rays_at_once)
    held_out = watched.capture.of("validate")
    sample = sample_views(held_out, 4 * settings.rays_per_view, watched.seed, renderer.source_of)
    small = reduced(held_out[0], settings.timeline_side)
    middle = (small.camera.height // 2) * small.camera.width + small.camera.width // 2
    found, pictures = look_at_moment(renderer, sample, held_out[0], settings.timeline_side, middle)
    file = out_dir / f"step-{step:07d}.png"
    atomic_write_bytes(file, png(sheet([pictures])))
    return {"step": step, "file": file.name, **found}


def _slices(renderer: Renderer, settings: WatchSettings, out_dir: Path) -> dict[str, Any]:
    drawn: list[tuple[str, Bytes]] = [
        (
            plane,
            slice_picture(
                renderer.fields, renderer.module, plane, settings.slice_side, renderer.at_once
            ),
        )
        for plane in PLANES
    ]
    atomic_write_bytes(out_dir / "slices.png", png(sheet([drawn])))
    return {"file": "slices.png", "planes": list(PLANES)}
