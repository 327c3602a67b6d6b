"""A material as one number a vertex: `albedo.npy`, `metallic.npy`, `roughness.npy`.

All are linear, and roughness is perceptual. (The published code sRGB-encodes all three, because
Blender decodes colours of vertices; who wants that encodes them there.)
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes, ensure_folder, storage_errors
from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.exporting.material import Appearance, Floats

ALBEDO, METALLIC, ROUGHNESS = "albedo.npy", "metallic.npy", "roughness.npy"
FILES = (ALBEDO, METALLIC, ROUGHNESS)


def write_arrays(folder: Path, appearance: Appearance) -> None:
    """Write the three files: [V, 3], [V] and [V] float32.

    Args:
        folder: Where; made if it is missing.
        appearance: At the vertices of the mesh, in its order.

    Raises:
        StorageError: Something cannot be written.
    """
    ensure_folder(folder)
    values = (appearance.albedo, appearance.metallic, appearance.roughness)
    for name, array in zip(FILES, values, strict=True):
        file = io.BytesIO()
        np.save(file, np.asarray(array, np.float32), allow_pickle=False)
        atomic_write_bytes(folder / name, file.getvalue())


def read_arrays(folder: Path, vertices: int) -> Appearance:
    """Read what `write_arrays` wrote.

    Args:
        folder: Where.
        vertices: How many the mesh has.

    Raises:
        ExportError: A file is damaged, or belongs to another mesh.
        StorageError: A file cannot be read.
    """
    return Appearance(
        albedo=_read(folder / ALBEDO, (vertices, 3)),
        metallic=_read(folder / METALLIC, (vertices,)),
        roughness=_read(folder / ROUGHNESS, (vertices,)),
    )


def _read(path: Path, shape: tuple[int, ...]) -> Floats:
    remedy = "export the material of this mesh anew: gimbal nero export"
    with storage_errors(path, "read"):
        content = path.read_bytes()
    try:
        array: Any = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ExportError(f"{path} is no array: {error}", remedy) from error
    if array.shape != shape or array.dtype != np.float32:
        raise ExportError(
            f"{path} holds {array.dtype} of shape {array.shape}, not float32 of shape {shape}",
            remedy,
        )
    return np.asarray(array, np.float32)
