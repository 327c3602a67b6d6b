"""Draw a material onto the pictures that a mesh was laid out on.

Texels are found by Embree: the layout is itself a flat mesh, and a ray falls through each texel's
centre. What lies between the charts is then filled from the nearest texel that is covered, all of
it, so that neither bilinear sampling nor smaller copies of the picture ever mix in a background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.exporting.material import Doubles, Floats, Material, appearance_at
from gimbal_vision.meshes.model import Mesh

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Indices = np.ndarray[Any, np.dtype[np.int64]]

LARGEST_SIDE = 8192
"""Texels that any GPU takes."""
_FEWEST_UV_AREA = 1e-30


@dataclass(frozen=True, kw_only=True, eq=False)
class Textures:
    """Pictures of a material, row 0 at the top (v = 1), linear, in [0, 1].

    Attributes:
        albedo: [S, S, 3]
        metallic: [S, S]
        roughness: [S, S] perceptual, sqrt of GGX alpha.
        covered: [S, S], where the surface is; the rest repeats its nearest texel.
    """

    albedo: Floats
    metallic: Floats
    roughness: Floats
    covered: Bools


def bake(mesh: Mesh, uv: Floats, material: Material, side: int) -> Textures:
    """Return the pictures of a material on a mesh.

    Args:
        mesh: Cut along its charts, as `unwrap` leaves it.
        uv: [V, 2] of its vertices, v upwards.
        material: See `exporting.material`; asked once for each covered texel.
        side: Texels of a picture's side.

    Raises:
        ExportError: The side is no size of a picture, coordinates and vertices do not fit, no texel
            is covered, or the material answers with something else than a material.
    """
    _check(mesh, uv, side)
    rows, columns, points = _texels(mesh, np.asarray(uv, np.float64), side)
    said = appearance_at(points, material)
    covered = np.zeros((side, side), np.bool_)
    covered[rows, columns] = True
    nearest = _nearest_covered(covered)
    values = np.concatenate([said.albedo, said.metallic[:, None], said.roughness[:, None]], -1)
    sheet = np.zeros((side, side, 5), np.float32)
    sheet[rows, columns] = values
    sheet = sheet[nearest[0], nearest[1]]
    return Textures(
        albedo=np.ascontiguousarray(sheet[..., :3]),
        metallic=np.ascontiguousarray(sheet[..., 3]),
        roughness=np.ascontiguousarray(sheet[..., 4]),
        covered=covered,
    )


def _texels(mesh: Mesh, uv: Doubles, side: int) -> tuple[Indices, Indices, Doubles]:
    """Return rows, columns and surface points of all covered texels, none twice.

    A texel whose centre no face covers, but that holds a face's corner, counts as covered by that
    corner: else a face smaller than a texel would get its values from another chart.
    """
    face = _face_of_centre(uv, mesh.faces, side)
    rows, columns = np.nonzero(face >= 0)
    centres = np.stack([columns + 0.5, side - (rows + 0.5)], -1) / side
    points = _on_faces(mesh, uv, face[rows, columns], centres)
    used = np.unique(mesh.faces)
    column, from_below = np.clip((uv[used] * side).astype(np.int64), 0, side - 1).T
    flat, first = np.unique((side - 1 - from_below) * side + column, return_index=True)
    bare = face.ravel()[flat] < 0
    corner_rows, corner_columns = np.divmod(flat[bare], side)
    return (
        np.concatenate([rows, corner_rows]),
        np.concatenate([columns, corner_columns]),
        np.concatenate([points, mesh.vertices[used[first[bare]]]]),
    )


def _face_of_centre(uv: Doubles, faces: Any, side: int) -> Any:
    """Return [S, S] ids of the faces that cover the texels' centres, -1 for none."""
    from gimbal_vision.rendering.rays import RayCaster

    flat = Mesh(np.concatenate([uv, np.zeros((len(uv), 1))], -1), faces)
    middle = (np.arange(side) + 0.5) / side
    origins = np.stack([*np.meshgrid(middle, middle[::-1]), np.ones((side, side))], -1)
    return RayCaster(flat).first_hit(origins, np.array([0.0, 0.0, -1.0]))[1]


def _on_faces(mesh: Mesh, uv: Doubles, face: Any, places: Doubles) -> Doubles:
    """Return [N, 3] points of faces [N] that lie at [N, 2] places of the picture."""
    corners = mesh.faces[face]
    a, b, c = (uv[corners[:, k]] for k in range(3))
    ab, ac, ap = b - a, c - a, places - a
    area = _cross(ab, ac)
    area = np.where(np.abs(area) < _FEWEST_UV_AREA, np.inf, area)
    second, third = _cross(ap, ac) / area, _cross(ab, ap) / area
    weights = np.clip(np.stack([1 - second - third, second, third], -1), 0.0, 1.0)
    weights /= weights.sum(-1, keepdims=True)
    points: Doubles = np.einsum("nk,nkd->nd", weights, mesh.vertices[corners])
    return points


def _cross(first: Doubles, second: Doubles) -> Doubles:
    crossed: Doubles = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return crossed


def _nearest_covered(covered: Bools) -> Any:
    """Return [2, S, S] row and column of the covered texel nearest to each."""
    from scipy import ndimage

    if not covered.any():
        raise ExportError(
            "no texel of the picture is covered by the mesh", "give texture coordinates in [0, 1]"
        )
    return ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)


def _check(mesh: Mesh, uv: Floats, side: int) -> None:
    if not 1 <= side <= LARGEST_SIDE:
        raise ExportError(
            f"a texture of {side} texels a side cannot be made",
            f"ask for 1 to {LARGEST_SIDE} texels",
        )
    if uv.shape != (len(mesh.vertices), 2) or not np.isfinite(uv).all():
        raise ExportError(
            f"texture coordinates of shape {uv.shape} do not fit {len(mesh.vertices)} vertices",
            "give two finite numbers for each vertex",
        )
