"""Read mesh files of any supported kind into one `Mesh`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from gimbal_vision.errors import MeshError
from gimbal_vision.meshes.model import Mesh

SUFFIXES = (".obj", ".ply", ".off", ".stl", ".glb", ".gltf")


def load_mesh(path: str | Path) -> Mesh:
    """Read a mesh file."""
    file = Path(path)
    try:
        loaded = trimesh.load_mesh(file, process=False)
    except Exception as error:
        raise MeshError(f"{file} could not be read: {error}", "Export it again.") from error
    return Mesh(
        vertices=np.array(loaded.vertices, np.float64), faces=np.array(loaded.faces, np.int32)
    )
