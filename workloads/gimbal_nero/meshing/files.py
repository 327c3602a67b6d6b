"""Meshes as files: PLY and GLB, in the frame of the photographs' source or the unit frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes, ensure_folder
from gimbal_nero.normalisation import Normalisation
from gimbal_vision.meshes import Mesh, face_areas, is_watertight, signed_volume

UNIT_MESH = "unit.ply"
SOURCE_MESH = "mesh.ply"
SOURCE_GLB = "mesh.glb"
FILES = (UNIT_MESH, SOURCE_MESH, SOURCE_GLB)


def write_meshes(mesh: Mesh, normalisation: Normalisation, folder: Path) -> None:
    """Write `unit.ply` (unit frame), `mesh.ply` and `mesh.glb` (the source's frame).

    Args:
        mesh: In the unit frame.
        normalisation: From the source's frame.
        folder: Where; made if it is missing.

    Raises:
        StorageError: Something cannot be written.
    """
    ensure_folder(folder)
    source = Mesh(vertices=normalisation.undo_points(mesh.vertices), faces=mesh.faces)
    atomic_write_bytes(folder / UNIT_MESH, ply_of(mesh))
    atomic_write_bytes(folder / SOURCE_MESH, ply_of(source))
    atomic_write_bytes(folder / SOURCE_GLB, _exported(source, "glb"))


def ply_of(mesh: Mesh) -> bytes:
    """Return a mesh, coloured or not, as a binary PLY file."""
    return _exported(mesh, "ply")


def measured(mesh: Mesh, pieces: int) -> dict[str, Any]:
    """Return numbers of a mesh in the unit frame."""
    return {
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "pieces": pieces,
        "watertight": is_watertight(mesh),
        "signed_volume": signed_volume(mesh),
        "area": float(face_areas(mesh).sum()),
        "radius": float(np.linalg.norm(mesh.vertices, axis=-1).max()),
    }


def _exported(mesh: Mesh, kind: str) -> bytes:
    import trimesh

    made: Any = trimesh.Trimesh(
        mesh.vertices, mesh.faces, vertex_colors=mesh.vertex_colors, process=False
    )
    written: bytes = made.export(file_type=kind)
    return written
