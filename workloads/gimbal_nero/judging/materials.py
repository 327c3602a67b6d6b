"""How far a learnt material is from the true one, over the surface that views see.

Points are where pixels of the judged views show both the mesh and the truth; the learnt material is
asked on the mesh, the true one on the true surface. They are thinned out to one a cell of the grid
that distances are measured on, so that every part of the surface counts by its area.

Albedo is the base colour as glTF means it: of a metal what it reflects head-on, of anything else
what it scatters. It is known but for a factor of each channel; see `gimbal_nero.judging.alignment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.exporting.material import Appearance, Material, appearance_at
from gimbal_nero.judging.alignment import ALBEDO_HEADLINE, ALIGNMENTS, Fit
from gimbal_nero.judging.surfaces import Surfaces, cells_of, points_of
from gimbal_nero.judging.true_material import TrueMaterial

Doubles = np.ndarray[Any, np.dtype[np.float64]]
NO_TRUE_MATERIAL = "beside the photographs is no truth/brdf.json"
NOWHERE_BOTH = "no pixel of the judged views shows both the mesh and the truth"


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedPoints:
    """Points of two surfaces that the same pixels show, in the unit frame.

    Attributes:
        said: [N, 3] on the mesh.
        true: [N, 3] on the truth.
    """

    said: Doubles
    true: Doubles


def paired_points(surfaces: Surfaces, voxel: float) -> PairedPoints:
    """Return the points that pixels show of both surfaces, one in every cell of a grid.

    Args:
        surfaces: What the judged views see; the truth must be known.
        voxel: Side of a cell.
    """
    said, true = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for view, mine, theirs in zip(surfaces.views, surfaces.said, surfaces.true or (), strict=True):
        both = np.isfinite(mine.depth) & np.isfinite(theirs.depth)
        points = points_of(view, np.where(both, mine.depth, np.inf))
        kept = _one_a_cell(points, voxel)
        said.append(points[kept])
        true.append(points_of(view, np.where(both, theirs.depth, np.inf))[kept])
    points = np.concatenate(said)
    kept = _one_a_cell(points, voxel)
    return PairedPoints(said=points[kept], true=np.concatenate(true)[kept])


def _one_a_cell(points: Doubles, voxel: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the indices of the first point in each cell that holds any."""
    _, first = np.unique(cells_of(points, voxel), return_index=True)
    return np.asarray(first, np.int64)


def compare_materials(
    material: Material, truth: TrueMaterial, points: PairedPoints
) -> dict[str, Any]:
    """Return how far a material is from the true one.

    Returns:
        Mean absolute errors over all points: `roughness_mae` (perceptual), `metallic_mae`, and
        `albedo_mae` (linear, all three channels), which is `albedo_mae_channels`, beside
        `albedo_mae_raw` and `albedo_mae_global`; `albedo_scale`, the global factor that the
        learnt albedo was multiplied by; and `material_points`, how many points were compared.

    Raises:
        ExportError: The material answers with values outside [0, 1].
    """
    if not len(points.said):
        return {"material_missing": NOWHERE_BOTH}
    learnt, true = appearance_at(points.said, material), truth.at(points.true)
    albedo, true_albedo = learnt.albedo.astype(np.float64), true.albedo.astype(np.float64)
    fit = Fit()
    fit.add(albedo, true_albedo)
    scales = fit.scales()
    errors = {name: _mean_error(scales[name] * albedo, true_albedo) for name in ALIGNMENTS}
    return {
        **_plain_errors(learnt, true),
        "albedo_mae": errors[ALBEDO_HEADLINE],
        **{f"albedo_mae_{name}": error for name, error in errors.items()},
        "albedo_scale": float(scales["global"][0]),
        "material_points": len(points.said),
    }


def _plain_errors(learnt: Appearance, true: Appearance) -> dict[str, float]:
    return {
        "roughness_mae": _mean_error(learnt.roughness, true.roughness),
        "metallic_mae": _mean_error(learnt.metallic, true.metallic),
    }


def _mean_error(said: Any, true: Any) -> float:
    return float(np.abs(np.asarray(said, np.float64) - true).mean())
