"""How far a mesh is from the true surface, as the judged views see both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_nero.capture import Capture, View
from gimbal_nero.judging.drawing import save_surfaces
from gimbal_nero.judging.settings import JudgeSettings
from gimbal_nero.judging.surfaces import (
    Distances,
    Surfaces,
    distances,
    normal_angles_deg,
    points_of,
)
from gimbal_nero.judging.truth import has_depth_images, judged_views, true_depth, true_mesh
from gimbal_nero.meshing.seeing import Seen, seen_by
from gimbal_vision.meshes import Mesh

Progress = Callable[[int, int, str], None]
NO_TRUTH = "beside the photographs are neither truth/mesh.ply nor a depth image of every view"


def surfaces_of(mesh: Mesh, capture: Capture, root: Path, progress: Progress) -> Surfaces | None:
    """Return what the judged views see of a mesh and of the truth; None where there is no truth.

    Args:
        mesh: In the unit frame.
        capture: The photographs.
        root: Where ground truth lies, if there is any.
        progress: Told of every view.

    Raises:
        ShapeError: Ground truth is damaged.
        MeshError: The true mesh is damaged.
    """
    views = judged_views(capture)
    place = capture.normalisation
    known = true_mesh(root, place)
    if known is not None:
        true = [seen_by(known, view) for view in views]
    elif has_depth_images(root, views):
        true = [Seen(depth=true_depth(root, view, place)) for view in views]
    else:
        return None
    said = []
    for index, view in enumerate(views):
        progress(index, len(views), f"surface from view {view.name}")
        said.append(seen_by(mesh, view))
    return Surfaces(views=views, said=said, true=true, mesh=known)


def compare_geometry(
    surfaces: Surfaces | None, settings: JudgeSettings, out_dir: Path
) -> dict[str, Any]:
    """Return distances, angles and outlines, and write pictures of surfaces."""
    if surfaces is None or surfaces.true is None:
        return {"chamfer": None, "normal_deg": None, "truth": NO_TRUTH}
    views, said, true = surfaces.views, surfaces.said, surfaces.true
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
        "truth": "mesh" if surfaces.mesh is not None else "depth images",
        "compared_views": len(views),
    }


def _numbers(apart: Distances | None) -> dict[str, Any]:
    return {"chamfer": None} if apart is None else asdict(apart)


def _points(views: Sequence[View], seen: Sequence[Seen]) -> list[np.ndarray[Any, Any]]:
    return [points_of(view, one.depth) for view, one in zip(views, seen, strict=True)]


def _silhouettes(said: Sequence[Seen], true: Sequence[Seen]) -> float:
    """Return the pixels that both surfaces cover over those that either does."""
    mine = np.concatenate([np.isfinite(one.depth).ravel() for one in said])
    theirs = np.concatenate([np.isfinite(one.depth).ravel() for one in true])
    return float((mine & theirs).sum() / max(1, (mine | theirs).sum()))
