"""Everything that is said of a finished shape, and the files that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_nero.capture import Capture, View
from gimbal_nero.judging.drawing import save_error_mesh, save_pictures, save_surfaces
from gimbal_nero.judging.perceptual import mean_lpips, why_no_lpips
from gimbal_nero.judging.photographs import compare_views, held_out
from gimbal_nero.judging.settings import JudgeSettings
from gimbal_nero.judging.surfaces import (
    Distances,
    Seen,
    distances,
    normal_angles_deg,
    points_of,
    seen_by,
)
from gimbal_nero.judging.truth import has_depth_images, judged_views, true_depth, true_mesh
from gimbal_nero.learning.loading import LoadedShape
from gimbal_vision.meshes import Mesh

Progress = Callable[[int, int, str], None]
NO_TRUTH = "beside the photographs are neither truth/mesh.ply nor a depth image of every view"


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A shape and what it is held against.

    Attributes:
        capture: The photographs.
        mesh: In the unit frame.
        shape: The networks.
        root: Where ground truth lies, if there is any.
    """

    capture: Capture
    mesh: Mesh
    shape: LoadedShape
    root: Path


def judge(
    judged: Judged, settings: JudgeSettings, rays_at_once: int, out_dir: Path, progress: Progress
) -> dict[str, Any]:
    """Return what stage `evaluate` says, and write pictures and the coloured mesh.

    Args:
        judged: What is judged.
        settings: How.
        rays_at_once: Rays of one forward pass.
        out_dir: Where pictures and meshes go.
        progress: Told of every view.

    Raises:
        ShapeError: Ground truth is damaged.
        MeshError: The true mesh is damaged.
    """
    geometry, truth = _geometry(judged, settings, out_dir, progress)
    compared = compare_views(judged.shape, held_out(judged.capture), rays_at_once, progress)
    missing = why_no_lpips()
    pairs = [(one.said, one.view.image) for one in compared]
    save_pictures(compared[: settings.shown_views], out_dir)
    if truth is not None:
        save_error_mesh(judged.mesh, truth, out_dir)
    return {
        **geometry,
        "psnr": float(np.mean([one.psnr for one in compared])),
        "ssim": float(np.mean([one.ssim for one in compared])),
        "lpips": mean_lpips(pairs) if missing is None else None,
        "lpips_missing": missing,
        "views": {one.view.name: {"psnr": one.psnr, "ssim": one.ssim} for one in compared},
        "step": judged.shape.step,
    }


def _geometry(
    judged: Judged, settings: JudgeSettings, out_dir: Path, progress: Progress
) -> tuple[dict[str, Any], Mesh | None]:
    """Return distances and angles, and the true mesh if there is one."""
    views = judged_views(judged.capture)
    place = judged.capture.normalisation
    mesh = true_mesh(judged.root, place)
    if mesh is not None:
        true = [seen_by(mesh, view) for view in views]
    elif has_depth_images(judged.root, views):
        true = [Seen(depth=true_depth(judged.root, view, place)) for view in views]
    else:
        return {"chamfer": None, "normal_deg": None, "truth": NO_TRUTH}, None
    said = []
    for index, view in enumerate(views):
        progress(index, len(views), f"surface from view {view.name}")
        said.append(seen_by(judged.mesh, view))
    step = max(1, len(views) // max(1, settings.shown_views))
    shown = slice(0, step * settings.shown_views, step)
    save_surfaces(views[shown], said[shown], true[shown], out_dir)
    apart = distances(_points(views, said), _points(views, true), settings.voxel)
    angles = np.concatenate(
        [normal_angles_deg(mine, theirs) for mine, theirs in zip(said, true, strict=True)]
    )
    return {
        **_numbers(apart),
        "normal_deg": float(angles.mean()) if len(angles) else None,
        "silhouette_iou": _silhouettes(said, true),
        "truth": "mesh" if mesh is not None else "depth images",
        "compared_views": len(views),
    }, mesh


def _numbers(apart: Distances | None) -> dict[str, Any]:
    return {"chamfer": None} if apart is None else asdict(apart)


def _points(views: Sequence[View], seen: Sequence[Seen]) -> list[np.ndarray[Any, Any]]:
    return [points_of(view, one.depth) for view, one in zip(views, seen, strict=True)]


def _silhouettes(said: Sequence[Seen], true: Sequence[Seen]) -> float:
    """Return the pixels that both surfaces cover over those that either does."""
    mine = np.concatenate([np.isfinite(one.depth).ravel() for one in said])
    theirs = np.concatenate([np.isfinite(one.depth).ravel() for one in true])
    return float((mine & theirs).sum() / max(1, (mine | theirs).sum()))
