"""Read a mesh file with trimesh into parts; the only module that imports trimesh.

Trimesh is told to process nothing, so that cleaning is ours and reported. Colours follow these
rules: a texture needs an image and coordinates, and is multiplied by glTF's base colour factor but
not by OBJ's Kd (exporters leave a meaningless grey there); else vertex or face colours; else the
material's colour. Transparency is dropped, and all values are taken as sRGB.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.color import DEFAULT_COLOR
from trimesh.visual.material import color_image
from trimesh.visual.texture import TextureVisuals

from gimbal_vision.errors import MeshError
from gimbal_vision.meshes.atlas import Texture
from gimbal_vision.meshes.model import Bytes
from gimbal_vision.meshes.obj_text import plain_obj
from gimbal_vision.meshes.parts import Indices, Part
from gimbal_vision.meshes.ply_polygons import with_triangles_only
from gimbal_vision.meshes.ply_strips import ply_strips
from gimbal_vision.meshes.side_files import SideFiles, first_line, quiet_trimesh

MAX_TEXTURE_PIXELS = 2**26
"""A larger image is left out: 8192 x 8192 decodes to 200 MB, and a few kilobytes can claim more."""


def read_parts(path: Path) -> tuple[list[Part], list[str]]:
    """Return the surfaces of a mesh file in world coordinates, and warnings.

    Raises:
        MeshError: The file is damaged or holds no faces.
    """
    side_files = SideFiles(path)
    with quiet_trimesh() as dropped, np.errstate(all="ignore"):
        scene = _load(path, side_files)
        images = _Images()
        parts, points = [], 0
        for node in scene.graph.nodes_geometry:
            transform, name = scene.graph[node]
            geometry = scene.geometry[name]
            if len(_faces(geometry)):
                parts.append(_part(geometry, np.asarray(transform, np.float64), images))
            else:
                points += len(getattr(geometry, "vertices", ()))
    if not parts:
        raise _no_faces(path, points)
    missing = [f"{name} is missing; its colours are left out" for name in side_files.missing]
    unread = [f"a texture could not be read: {reason}" for reason in [*dropped, *images.refused]]
    return parts, missing + unread


def _load(path: Path, side_files: SideFiles) -> Any:
    kind = path.suffix.lower().removeprefix(".")
    try:
        content = path.read_bytes()
        return _parse(plain_obj(content) if kind == "obj" else content, kind, side_files)
    except Exception as error:  # trimesh raises whatever its parsers stumble over
        if side_files.missing:
            names = ", ".join(side_files.missing)
            raise MeshError(
                f"{path} needs {names}, which is not in its folder",
                "Put the missing files beside the mesh, or export it as one .glb.",
            ) from error
        raise MeshError(
            f"{path} is damaged or no {kind} file: {first_line(error)}",
            "Open it in a mesh editor and export it again.",
        ) from error


def _parse(content: bytes, kind: str, side_files: SideFiles) -> Any:
    stream = io.BytesIO(content)
    try:
        return trimesh.load_scene(stream, file_type=kind, resolver=side_files, process=False)
    except Exception:
        triangles = with_triangles_only(content) if kind == "ply" else None
        if triangles is None:
            raise
        return _parse(triangles, kind, side_files)


def _no_faces(path: Path, points: int) -> MeshError:
    if points:
        return MeshError(
            f"{path} holds {points} points or line ends but no faces",
            "Reconstruct a surface from the points first; only triangle meshes can be rendered.",
        )
    return MeshError(f"{path} holds no faces", "Export or download it again.")


def _part(geometry: Any, transform: np.ndarray[Any, Any], images: _Images) -> Part:
    vertices = np.array(geometry.vertices, np.float64).reshape(-1, 3)
    all_faces = _faces(geometry)
    valid = np.all((all_faces >= 0) & (all_faces < len(vertices)), axis=1)
    faces = all_faces[valid]
    colors, texture = _appearance(getattr(geometry, "visual", None), vertices, faces, valid, images)
    placed = vertices @ transform[:3, :3].T + transform[:3, 3]
    if np.linalg.det(transform[:3, :3]) < 0:  # a mirrored node turns its faces inside out
        faces = faces[:, ::-1]
        colors = None if colors is None else colors[:, ::-1]
        texture = None if texture is None else Texture(texture.image, texture.uv[:, ::-1])
    return Part(
        vertices=placed,
        faces=faces,
        corner_colors=colors,
        texture=texture,
        invalid_faces=int((~valid).sum()),
    )


def _faces(geometry: Any) -> Indices:
    """Return [F, 3] faces; PLY triangle strips, which trimesh leaves alone, become faces."""
    faces = np.asarray(getattr(geometry, "faces", ()), np.int64)
    if faces.size:
        return faces.reshape(-1, 3)
    return ply_strips(getattr(geometry, "metadata", {}))


def _appearance(
    visual: Any,
    vertices: np.ndarray[Any, Any],
    faces: np.ndarray[Any, Any],
    valid: np.ndarray[Any, Any],
    images: _Images,
) -> tuple[Bytes | None, Texture | None]:
    """Return corner colours or a texture for the valid faces, or neither."""
    if isinstance(visual, TextureVisuals):
        uv = None if visual.uv is None else np.asarray(visual.uv, np.float32)
        image = images.of(visual.material)
        if image is not None and uv is not None and uv.shape == (len(vertices), 2):
            return None, Texture(image, np.nan_to_num(uv, posinf=0.0, neginf=0.0)[faces])
        painted = _rgb(visual.vertex_attributes.get("color"), len(vertices))
        return (_plain(visual.material, len(faces)) if painted is None else painted[faces]), None
    kind = getattr(visual, "kind", None)
    if kind == "vertex" and (colors := _rgb(visual.vertex_colors, len(vertices))) is not None:
        return colors[faces], None
    if kind == "face" and (colors := _rgb(visual.face_colors, len(valid))) is not None:
        return np.repeat(colors[valid][:, None], 3, axis=1), None
    return None, None


def _rgb(colors: Any, count: int) -> Bytes | None:
    if colors is None or np.shape(colors)[0] != count or np.ndim(colors) != 2:
        return None
    values = np.asarray(colors)[:, :3]
    if values.dtype.kind == "f":
        values = np.nan_to_num(values).clip(0.0, 1.0) * 255.0
    elif values.dtype.itemsize == 2:
        values = values / 257.0
    return np.round(values).astype(np.uint8)


def _plain(material: Any, faces: int) -> Bytes | None:
    factor = getattr(material, "baseColorFactor", None)
    color = factor if factor is not None else getattr(material, "diffuse", None)
    if color is None or np.array_equal(color, DEFAULT_COLOR):
        return None
    return np.tile(np.asarray(color, np.uint8)[:3], (faces, 3, 1))


class _Images:
    """Decodes each image of a file once and remembers which ones were refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._decoded: dict[tuple[int, bytes], tuple[Any, Bytes | None]] = {}

    def of(self, material: Any) -> Bytes | None:
        """Return the base colour image [H, W, 3] of a material, times its factor."""
        image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
        if not isinstance(image, Image.Image) or _is_placeholder(image):
            return None
        factor = getattr(material, "baseColorFactor", None)
        factor = np.full(3, 255, np.uint8) if factor is None else np.asarray(factor[:3], np.uint8)
        key = (id(image), factor.tobytes())
        if key not in self._decoded:
            self._decoded[key] = (image, self._decode(image, factor))
        return self._decoded[key][1]

    def _decode(self, image: Image.Image, factor: np.ndarray[Any, Any]) -> Bytes | None:
        if image.width * image.height > MAX_TEXTURE_PIXELS:
            self.refused.append(f"{image.width} x {image.height} pixels are too many")
            return None
        try:
            pixels = np.array(image.convert("RGB"), np.uint8)
        except Exception as error:  # a decoder may raise nearly anything on a damaged image
            self.refused.append(first_line(error))
            return None
        if (factor == 255).all():
            return pixels
        return np.round(pixels * (factor / 255.0)).astype(np.uint8)


def _is_placeholder(image: Image.Image) -> bool:
    """Tell whether this is the grey 2 x 2 image trimesh makes up where there is none."""
    return image.size == (2, 2) and np.array_equal(np.asarray(image), np.asarray(color_image()))
