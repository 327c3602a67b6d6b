"""A mesh with its material as one GLB file, metallic-roughness as glTF 2.0 means it.

The base colour is sRGB-encoded; green of the second picture is perceptual roughness and blue is
metallic, both linear. glTF is y-up: a mesh keeps its numbers and gets a node that turns it, so that
a viewer shows it upright and a program that ignores nodes still finds the frame it came from.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes, storage_errors
from gimbal_nero.exporting.baking import Textures
from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.exporting.unwrapping import Unwrapped

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Faces = np.ndarray[Any, np.dtype[np.int32]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError, struct.error)
"""What trimesh raises on damaged files."""
_Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@dataclass(frozen=True, kw_only=True, eq=False)
class TexturedMesh:
    """What a GLB file says.

    Attributes:
        vertices: [V, 3] as stored, before the node turns them.
        normals: [V, 3] as stored.
        faces: [F, 3]
        uv: [V, 2], v upwards.
        node: [4, 4], world of glTF (y-up) from the stored frame.
        base_colour: [S, S, 3] sRGB, row 0 at the top.
        roughness: [S, S], 255 is 1; perceptual.
        metallic: [S, S], 255 is 1.
    """

    vertices: Doubles
    normals: Doubles
    faces: Faces
    uv: Doubles
    node: Doubles
    base_colour: Bytes
    roughness: Bytes
    metallic: Bytes


def write_glb(
    path: Path, surface: Unwrapped, textures: Textures, upright: Doubles | None = None
) -> None:
    """Write a GLB file, having read it back.

    Args:
        path: Replaced in one piece.
        surface: The mesh, its normals and its texture coordinates.
        textures: Its material.
        upright: [3, 3] rotation from the mesh's frame to one that is z-up; None: it is z-up.

    Raises:
        ExportError: What is read back is not what was meant.
        StorageError: It cannot be written.
    """
    meant = _meant(surface, textures, np.eye(3) if upright is None else upright)
    content = _encoded(meant)
    _compare(_decoded(content, path), meant, path)
    atomic_write_bytes(path, content)


def read_glb(path: Path) -> TexturedMesh:
    """Read a GLB file with one mesh and a metallic-roughness material of two pictures.

    Raises:
        ExportError: It is something else.
        StorageError: It cannot be read.
    """
    with storage_errors(path, "read"):
        content = path.read_bytes()
    return _decoded(content, path)


def srgb_levels(linear: Floats) -> Bytes:
    """Return linear values in [0, 1] as 8-bit sRGB (IEC 61966-2-1)."""
    x = np.clip(linear, 0.0, 1.0).astype(np.float64)
    encoded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return levels(encoded)


def levels(values: Any) -> Bytes:
    """Return values in [0, 1] as 8 bits, not encoded."""
    return np.asarray(np.rint(255.0 * np.clip(values, 0.0, 1.0)), np.uint8)


def _meant(surface: Unwrapped, textures: Textures, upright: Doubles) -> TexturedMesh:
    node = np.eye(4)
    node[:3, :3] = _Y_UP_FROM_Z_UP @ upright
    return TexturedMesh(
        vertices=surface.mesh.vertices,
        normals=surface.normals,
        faces=surface.mesh.faces,
        uv=surface.uv.astype(np.float64),
        node=node,
        base_colour=srgb_levels(textures.albedo),
        roughness=levels(textures.roughness),
        metallic=levels(textures.metallic),
    )


def _encoded(meant: TexturedMesh) -> bytes:
    import trimesh
    from PIL import Image

    none = np.zeros_like(meant.roughness)
    packed = np.stack([none, meant.roughness, meant.metallic], -1)
    visual: Any = trimesh.visual
    material = visual.material.PBRMaterial(
        name="material",
        baseColorTexture=Image.fromarray(meant.base_colour),
        metallicRoughnessTexture=Image.fromarray(packed),
        metallicFactor=1.0,
        roughnessFactor=1.0,
        doubleSided=True,
    )
    mesh = trimesh.Trimesh(
        meant.vertices,
        meant.faces,
        vertex_normals=meant.normals,
        visual=visual.TextureVisuals(uv=meant.uv, material=material),
        process=False,
    )
    scene: Any = trimesh.Scene()
    scene.add_geometry(mesh, node_name="object", geom_name="object", transform=meant.node)
    content: bytes = scene.export(file_type="glb", include_normals=True)
    return content


def _decoded(content: bytes, path: Path) -> TexturedMesh:
    import trimesh

    remedy = "name a GLB file that `gimbal nero export` wrote"
    try:
        scene: Any = trimesh.load(io.BytesIO(content), file_type="glb", process=False)
        names = list(scene.graph.nodes_geometry)
    except _DAMAGE as error:
        raise ExportError(f"{path} is no GLB file: {error}", remedy) from error
    if len(names) != 1:
        raise ExportError(f"{path} holds {len(names)} meshes, not one", remedy)
    node, geometry = scene.graph[names[0]]
    mesh = scene.geometry[geometry]
    material = getattr(mesh.visual, "material", None)
    base = getattr(material, "baseColorTexture", None)
    packed = getattr(material, "metallicRoughnessTexture", None)
    if base is None or packed is None or mesh.visual.uv is None:
        raise ExportError(f"{path} lacks pictures of base colour, metallic and roughness", remedy)
    values = np.array(packed.convert("RGB"), np.uint8)
    return TexturedMesh(
        vertices=np.asarray(mesh.vertices, np.float64),
        normals=np.asarray(mesh.vertex_normals, np.float64),
        faces=np.asarray(mesh.faces, np.int32),
        uv=np.asarray(mesh.visual.uv, np.float64),
        node=np.asarray(node, np.float64),
        base_colour=np.array(base.convert("RGB"), np.uint8),
        roughness=values[..., 1],
        metallic=values[..., 2],
    )


def _compare(read: TexturedMesh, meant: TexturedMesh, path: Path) -> None:
    """Raise an error where float32 and lossless pictures do not explain the difference."""
    size = float(np.abs(meant.vertices).max())
    tolerances = {"vertices": 1e-6 * size, "normals": 1e-5, "uv": 1e-6, "node": 1e-6}
    exact = dict.fromkeys(("faces", "base_colour", "roughness", "metallic"), 0.0)
    for name, allowed in (tolerances | exact).items():
        there, wanted = (np.asarray(getattr(one, name), np.float64) for one in (read, meant))
        if there.shape != wanted.shape or np.abs(there - wanted).max(initial=0.0) > allowed:
            raise ExportError(
                f"{path} would not hold the {name} that were meant",
                "report this with the mesh; nothing was written",
            )
