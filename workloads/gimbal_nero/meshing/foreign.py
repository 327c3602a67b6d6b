"""Somebody else's mesh, brought to the unit frame and held against the photographs' outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_nero.capture import Capture, View
from gimbal_nero.errors import ShapeError
from gimbal_nero.meshing.pieces import piece_of_faces
from gimbal_nero.meshing.settings import Axes
from gimbal_vision.errors import MeshError
from gimbal_vision.meshes import Mesh, load_mesh

Progress = Callable[[int, int, str], None]
_VOTERS = 12
"""Views that say which side of a piece is outside."""
_Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def load_foreign(path: Path, capture: Capture, axes: Axes) -> Mesh:
    """Return a mesh file in the unit frame, its outside outside.

    Neighbouring faces are made to agree; then each piece is turned to face the cameras that see it,
    and pieces that none sees by their volume.

    Args:
        path: Any format that `gimbal_vision.meshes` reads.
        capture: Whose frame the mesh is in, once its axes are turned.
        axes: Which axis of the file points up.

    Raises:
        ShapeError: It cannot be read.
    """
    try:
        read = load_mesh(path)
    except MeshError as error:
        raise ShapeError(error.message, error.remedy) from error
    vertices = read.vertices @ _Z_UP_FROM_Y_UP.T if axes == "y_up" else read.vertices
    mesh = _welded(Mesh(capture.normalisation.points(vertices), read.faces))
    return _outside_out(_consistent(mesh), capture.views[:: max(1, len(capture.views) // _VOTERS)])


def fit_of(mesh: Mesh, capture: Capture, progress: Progress) -> dict[str, Any]:
    """Return how a mesh in the unit frame and the photographs fit together.

    Returns:
        `seen_share`, the mean share of a picture that the mesh covers; `least_seen_share`, that of
        the view that sees least, and `least_seen_view`; `outline_iou`, pixels that mesh and mask
        both cover over those that either does, over all views that have masks, and 1 where none
        has; `worst_outline_iou` and `worst_outline_view` likewise; `masked_views`.
    """
    shares, ious, both_sum, either_sum = {}, {}, 0, 0
    for index, view in enumerate(capture.views):
        progress(index, len(capture.views), "outline from view " + view.name)
        covered = _covered(mesh, view)
        shares[view.name] = float(covered.mean())
        if view.mask is not None:
            both, either = int((covered & view.mask).sum()), int((covered | view.mask).sum())
            both_sum, either_sum = both_sum + both, either_sum + either
            ious[view.name] = both / max(1, either)
    least = min(shares, key=lambda name: shares[name])
    found: dict[str, Any] = {
        "seen_share": float(np.mean(list(shares.values()))),
        "least_seen_share": shares[least],
        "least_seen_view": least,
        "outline_iou": both_sum / max(1, either_sum) if ious else 1.0,
        "masked_views": len(ious),
    }
    if ious:
        worst = min(ious, key=lambda name: ious[name])
        found |= {"worst_outline_iou": ious[worst], "worst_outline_view": worst}
    return found


def _welded(mesh: Mesh) -> Mesh:
    """Join vertices at one place, which texture coordinates double along their seams."""
    places, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return Mesh(places, np.ascontiguousarray(faces[whole], np.int32))


def _consistent(mesh: Mesh) -> Mesh:
    """Return a mesh whose neighbouring faces have one orientation."""
    import trimesh

    repair: Any = trimesh.repair
    made: Any = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    repair.fix_winding(made)
    return Mesh(mesh.vertices, np.asarray(made.faces, np.int32))


def _outside_out(mesh: Mesh, views: Sequence[View]) -> Mesh:
    from gimbal_vision.rendering.rays import RayCaster

    pieces, caster = piece_of_faces(mesh), RayCaster(mesh)
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volumes = np.einsum("fd,fd->f", corners[:, 0], normals)
    facing, seen = np.zeros(pieces.max() + 1), np.zeros(pieces.max() + 1)
    for view in views:
        towards = view.camera.rays().reshape(-1, 3) @ view.cam2world[:3, :3].T
        origins = np.broadcast_to(view.cam2world[:3, 3], towards.shape)
        _, face = caster.first_hit(origins, towards)
        hit = face >= 0
        cosine = -(normals[face[hit]] * towards[hit]).sum(-1)
        np.add.at(facing, pieces[face[hit]], np.sign(cosine))
        np.add.at(seen, pieces[face[hit]], 1)
    volume = np.bincount(pieces, weights=volumes, minlength=len(seen))
    turned = np.where(seen > 0, facing < 0, volume < 0)[pieces]
    faces = np.where(turned[:, None], mesh.faces[:, ::-1], mesh.faces)
    return Mesh(mesh.vertices, np.ascontiguousarray(faces, np.int32))


def _covered(mesh: Mesh, view: View) -> np.ndarray[Any, np.dtype[np.bool_]]:
    from gimbal_nero.meshing.seeing import seen_by

    return np.isfinite(seen_by(mesh, view).depth)
