"""From a path to one clean mesh, or one clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gimbal_vision.errors import MeshError
from gimbal_vision.meshes.cleaning import clean
from gimbal_vision.meshes.finding import require_mesh_file
from gimbal_vision.meshes.model import Mesh
from gimbal_vision.meshes.parts import join


def load_mesh(path: str | Path) -> Mesh:
    """Read an OBJ, PLY, OFF, STL, GLB or glTF file into one clean mesh.

    All parts of a scene are placed by their transforms and joined. Several materials become one
    texture atlas, or vertex colours where there is no texture (`meshes.parts`). A texture that is
    missing or damaged costs the colours, not the mesh: see `mesh.report.warnings`.

    Args:
        path: The file. Nothing outside its folder is read, and nothing from the network.

    Raises:
        MeshError: The file is missing, unreadable, damaged, or holds no usable face.
    """
    file = Path(path)
    require_mesh_file(file)
    from gimbal_vision.meshes.reading import read_parts  # trimesh costs .7 s to import

    parts, warnings = read_parts(file)
    with np.errstate(all="ignore"):
        soup = join(parts)
        soup.warnings.extend(warnings)
        mesh = clean(soup)
    if not len(mesh.faces):
        raise MeshError(
            f"{file} has no usable face: {_reasons(mesh)}",
            "Repair it in a mesh editor, or leave it out.",
        )
    return mesh


def _reasons(mesh: Mesh) -> str:
    report = mesh.report
    found = {
        "with corners that are missing, not finite or absurdly far away": report.invalid_faces,
        "without area": report.degenerate_faces,
    }
    return ", ".join(f"{count} {kind}" for kind, count in found.items() if count) or "none at all"
