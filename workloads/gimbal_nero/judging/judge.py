"""Everything that is said of a finished shape and its material, and the files that show it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_nero.capture import Bools, Bytes, Capture
from gimbal_nero.judging.drawing import save_error_mesh, save_pictures
from gimbal_nero.judging.geometry import NO_TRUTH, Progress, compare_geometry, surfaces_of
from gimbal_nero.judging.material_drawing import save_material_maps, save_relit
from gimbal_nero.judging.materials import NO_TRUE_MATERIAL, compare_materials, paired_points
from gimbal_nero.judging.perceptual import mean_lpips, why_no_lpips
from gimbal_nero.judging.photographs import compare_views, held_out
from gimbal_nero.judging.relit import IncomparableError, Pair, compare_relit
from gimbal_nero.judging.relit_files import listed_pictures, missing_truth
from gimbal_nero.judging.settings import JudgeSettings
from gimbal_nero.judging.surfaces import Surfaces
from gimbal_nero.judging.true_material import true_material
from gimbal_nero.judging.truth import judged_views
from gimbal_nero.learning.loading import LoadedShape
from gimbal_nero.material.loading import LoadedMaterial
from gimbal_nero.meshing.seeing import seen_by
from gimbal_vision.meshes import Mesh

_OUTLINES = 64
"""True outlines that are kept, since every light shows the same views."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What is judged, and what it is held against.

    Attributes:
        capture: The photographs.
        mesh: In the unit frame.
        root: Where ground truth lies, if there is any.
        shape: The networks that the mesh was cut out of; None: it is somebody else's.
        material: What the surface is made of; None: only the shape was learnt.
        relight_dir: Folder of stage `relight`; None: it did not run.
    """

    capture: Capture
    mesh: Mesh
    root: Path
    shape: LoadedShape | None = None
    material: LoadedMaterial | None = None
    relight_dir: Path | None = None


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
    surfaces = surfaces_of(judged.mesh, judged.capture, judged.root, progress)
    found = compare_geometry(surfaces, settings, out_dir)
    if surfaces is not None and surfaces.mesh is not None:
        save_error_mesh(judged.mesh, surfaces.mesh, out_dir)
    if judged.shape is not None:
        found |= _photographs(judged, judged.shape, settings, rays_at_once, out_dir, progress)
    if judged.material is not None:
        found |= _material(judged, judged.material, surfaces, settings, out_dir)
    if judged.relight_dir is not None:
        found |= _relit(judged, judged.relight_dir, surfaces, settings, out_dir)
    return found


def _photographs(
    judged: Judged,
    shape: LoadedShape,
    settings: JudgeSettings,
    rays_at_once: int,
    out_dir: Path,
    progress: Progress,
) -> dict[str, Any]:
    compared = compare_views(shape, held_out(judged.capture), rays_at_once, progress)
    missing = why_no_lpips()
    pairs = [(one.said, one.view.image) for one in compared]
    save_pictures(compared[: settings.shown_views], out_dir)
    return {
        "psnr": float(np.mean([one.psnr for one in compared])),
        "ssim": float(np.mean([one.ssim for one in compared])),
        "lpips": mean_lpips(pairs) if missing is None else None,
        "lpips_missing": missing,
        "views": {one.view.name: {"psnr": one.psnr, "ssim": one.ssim} for one in compared},
        "step": shape.step,
    }


def _material(
    judged: Judged,
    material: LoadedMaterial,
    surfaces: Surfaces | None,
    settings: JudgeSettings,
    out_dir: Path,
) -> dict[str, Any]:
    """Compare the material where the truth is known; draw its maps either way."""
    appearance, truth = material.appearance(), true_material(judged.root)
    shown = slice(0, settings.shown_materials)
    step = {"material_step": material.step}
    if surfaces is None or surfaces.true is None or truth is None:
        views = judged_views(judged.capture)[shown]
        save_material_maps(views, [seen_by(judged.mesh, v) for v in views], appearance, out_dir)
        return {**step, "material_missing": NO_TRUE_MATERIAL if surfaces else NO_TRUTH}
    points = paired_points(surfaces, settings.voxel)
    found = compare_materials(appearance, truth, points)
    save_material_maps(
        surfaces.views[shown],
        surfaces.said[shown],
        appearance,
        out_dir,
        surfaces.true[shown],
        truth,
        found.get("albedo_scale", 1.0),
    )
    return {**step, **found}


def _relit(
    judged: Judged,
    relight_dir: Path,
    surfaces: Surfaces | None,
    settings: JudgeSettings,
    out_dir: Path,
) -> dict[str, Any]:
    """Compare pictures under other lights where true ones are known."""
    views = {view.name: view for view in judged.capture.views}
    listed = listed_pictures(relight_dir, judged.root)
    pictures = [one for one in listed if one.true is not None and one.view in views]
    true = None if surfaces is None else surfaces.mesh
    if not pictures or true is None:
        return {"relit_missing": missing_truth(listed) if not pictures else NO_TRUTH}
    shown = pictures[: settings.shown_relit]

    @lru_cache(maxsize=_OUTLINES)
    def silhouette(name: str) -> Bools:
        return np.isfinite(seen_by(true, views[name]).depth)

    def show(pair: Pair, ours: Bytes) -> None:
        if pair.picture in shown:
            save_relit(pair, ours, out_dir)

    try:
        return compare_relit(pictures, silhouette, show)
    except IncomparableError as error:
        return {"relit_missing": error.message}
