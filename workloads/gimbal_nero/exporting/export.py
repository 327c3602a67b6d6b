"""Everything of a learnt object that other programs read, in one folder.

The mesh is in the frame of the photographs' own poses, so it fits what else was made of them; the
GLB's node turns it upright. The light is in the unit frame, which is the upright one, but for
length and origin: a viewer that honours the node shows both as they were photographed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes, atomic_write_json, ensure_folder
from gimbal_nero.exporting import arrays, gltf
from gimbal_nero.exporting.baking import Textures, bake
from gimbal_nero.exporting.environment import (
    Floats,
    Light,
    environment_of,
    write_environment,
)
from gimbal_nero.exporting.material import Appearance, Material, appearance_at
from gimbal_nero.exporting.settings import ExportSettings
from gimbal_nero.exporting.simplifying import moved_by, normals_at, simplified
from gimbal_nero.exporting.unwrapping import Unwrapped, unwrap
from gimbal_nero.exporting.viewer import viewer_html
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.synthesis.objects import shaded
from gimbal_vision.meshes.measures import face_areas
from gimbal_vision.meshes.model import Mesh

GLB, MESH, VIEWER, RECORD = "object.glb", "mesh.ply", "viewer.html", "export.json"
LIGHT, LIGHT_PREVIEW = "environment.exr", "environment.png"
TEXTURES = "textures"
BASE_COLOUR, PACKED = "base_color.png", "metallic_roughness.png"
ROUGHNESS, METALLIC = "roughness.png", "metallic.png"
FILES = (GLB, MESH, *arrays.FILES, LIGHT, LIGHT_PREVIEW, VIEWER, TEXTURES, RECORD)
"""What stands in the folder afterwards."""

_WHITE_PERCENTILE = 95.0
"""Of the light's brightness: what the preview shows as .8; brighter is compressed."""

_WORDS = {
    GLB: "the simplified mesh with its material (glTF 2.0, metallic-roughness)",
    MESH: "the full mesh, whose vertices the three arrays belong to",
    arrays.ALBEDO: "[V, 3] float32, linear",
    arrays.METALLIC: "[V] float32",
    arrays.ROUGHNESS: "[V] float32, perceptual: the square root of GGX alpha",
    f"{TEXTURES}/{BASE_COLOUR}": "albedo, sRGB-encoded",
    f"{TEXTURES}/{PACKED}": "green: roughness, blue: metallic; not encoded",
    f"{TEXTURES}/{ROUGHNESS}": "roughness as grey; not encoded",
    f"{TEXTURES}/{METALLIC}": "metallic as grey; not encoded",
    LIGHT: "learnt light from afar, linear; latitude-longitude, z up, the centre column is +x",
    LIGHT_PREVIEW: "the same to look at, tone-mapped",
    VIEWER: "the object in its light, in any browser",
}

Progress = Callable[[int, int, str], None]
"""Steps done, of how many, and what is next."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """What was learnt of an object.

    Attributes:
        mesh: In the unit frame.
        material: Asked in the unit frame.
        light: From afar; asked in the unit frame.
        normalisation: From the photographs' source frame to the unit frame.
        title: What the viewer's page is called.
    """

    mesh: Mesh
    material: Material
    light: Light
    normalisation: Normalisation
    title: str = "Object"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Laid:
    """A simplified mesh laid out flat and drawn on, in the unit frame."""

    surface: Unwrapped
    textures: Textures
    seconds: dict[str, float]


def export(
    learnt: Learnt, settings: ExportSettings, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Write everything and return numbers of it.

    Args:
        learnt: The object.
        settings: Sizes.
        folder: Where; made if it is missing, and its files of the same names are replaced.
        progress: Told of each step.

    Raises:
        ExportError: The mesh, the material or the light cannot be exported.
        StorageError: Something cannot be written.
    """
    progress(0, 5, "vertices")
    said = appearance_at(learnt.mesh.vertices, learnt.material)
    ensure_folder(folder / TEXTURES)
    atomic_write_json(folder / RECORD, {"finished": False})
    arrays.write_arrays(folder, said)
    atomic_write_bytes(folder / MESH, _ply(_in_source(learnt.mesh, learnt.normalisation)))
    laid = _laid_out(learnt, settings, progress)
    progress(3, 5, "files")
    _write_object(laid, learnt.normalisation, folder)
    progress(4, 5, "light")
    light = environment_of(learnt.light, settings.environment_height)
    write_environment(folder / LIGHT, light)
    atomic_write_bytes(folder / LIGHT_PREVIEW, _png(gltf.srgb_levels(toned(light))))
    glb = (folder / GLB).read_bytes()
    atomic_write_bytes(folder / VIEWER, viewer_html(glb, light, learnt.title).encode())
    metrics = _measured(learnt, said, laid)
    atomic_write_json(folder / RECORD, _record(learnt, settings, metrics))
    progress(5, 5, "")
    return metrics


def toned(light: Floats) -> Floats:
    """Return a light of any range as a picture to look at, linear in [0, 1] (Reinhard, 2002)."""
    brightness = light.mean(axis=-1, keepdims=True)
    white = max(float(np.percentile(brightness, _WHITE_PERCENTILE)), 1e-12)
    scaled = 4.0 * brightness / white
    return np.asarray(np.clip(light / np.maximum(brightness, 1e-12), 0, 1e3) * scaled
                      / (1 + scaled), np.float32).clip(0.0, 1.0)  # fmt: skip


def _laid_out(learnt: Learnt, settings: ExportSettings, progress: Progress) -> _Laid:
    began = time.perf_counter()
    progress(1, 5, "texture coordinates")
    simpler = simplified(learnt.mesh, settings.most_faces)
    split = shaded(simpler)
    surface = unwrap(Mesh(split.vertices, split.faces), settings.texture_side)
    normals = normals_at(learnt.mesh, split.vertices, split.normals)[surface.source]
    surface = replace(surface, normals=normals)
    unwrapped = time.perf_counter()
    progress(2, 5, "textures")
    textures = bake(surface.mesh, surface.uv, learnt.material, settings.texture_side)
    seconds = {"unwrapping": unwrapped - began, "baking": time.perf_counter() - unwrapped}
    return _Laid(surface=surface, textures=textures, seconds=seconds)


def _write_object(laid: _Laid, normalisation: Normalisation, folder: Path) -> None:
    surface, textures = laid.surface, laid.textures
    turned = replace(
        surface,
        mesh=_in_source(surface.mesh, normalisation),
        normals=surface.normals @ normalisation.rotation,
    )
    gltf.write_glb(folder / GLB, turned, textures, normalisation.rotation)
    roughness, metallic = gltf.levels(textures.roughness), gltf.levels(textures.metallic)
    pictures = {
        BASE_COLOUR: gltf.srgb_levels(textures.albedo),
        PACKED: np.stack([np.zeros_like(roughness), roughness, metallic], -1),
        ROUGHNESS: roughness,
        METALLIC: metallic,
    }
    for name, picture in pictures.items():
        atomic_write_bytes(folder / TEXTURES / name, _png(picture))


def _measured(learnt: Learnt, said: Appearance, laid: _Laid) -> dict[str, Any]:
    cut, textures = laid.surface.mesh, laid.textures
    covered = int(textures.covered.sum())
    texel = float(np.sqrt(face_areas(cut).sum() / covered))
    kept = len(cut.faces) == len(learnt.mesh.faces)
    moved = np.zeros(1) if kept else moved_by(learnt.mesh, cut)
    return {
        "vertices": len(learnt.mesh.vertices),
        "faces": len(learnt.mesh.faces),
        "exported_vertices": len(cut.vertices),
        "exported_faces": len(cut.faces),
        "charts": laid.surface.charts,
        "texture_coverage": covered / textures.covered.size,
        "moved_texels": float(np.percentile(moved, 99)) / texel if len(moved) else None,
        "texture_error": _texture_error(learnt.material, laid),
        "albedo_mean": float(said.albedo.mean()),
        "metallic_mean": float(said.metallic.mean()),
        "roughness_mean": float(said.roughness.mean()),
        "unwrapping_s": round(laid.seconds["unwrapping"], 2),
        "baking_s": round(laid.seconds["baking"], 2),
    }


def _texture_error(material: Material, laid: _Laid) -> float:
    """Return how far textures are from the material, mean over the exported mesh's vertices."""
    from scipy.ndimage import map_coordinates

    surface, textures = laid.surface, laid.textures
    side = len(textures.metallic)
    uv = surface.uv.astype(np.float64)
    place = [(1 - uv[:, 1]) * side - 0.5, uv[:, 0] * side - 0.5]
    meant = appearance_at(surface.mesh.vertices, material)
    pairs = [
        *((textures.albedo[..., k], meant.albedo[:, k]) for k in range(3)),
        (textures.metallic, meant.metallic),
        (textures.roughness, meant.roughness),
    ]
    errors = [
        np.abs(map_coordinates(there, place, order=1, mode="nearest") - wanted).mean()
        for there, wanted in pairs
    ]
    return float(np.mean(errors))


def _in_source(mesh: Mesh, normalisation: Normalisation) -> Mesh:
    return Mesh(normalisation.undo_points(mesh.vertices), mesh.faces)


def _record(learnt: Learnt, settings: ExportSettings, metrics: dict[str, Any]) -> dict[str, Any]:
    one = learnt.normalisation
    return {
        "schema_version": 1,
        "files": _WORDS,
        "frames": {
            "mesh": "of the photographs' own poses; the GLB's node turns it to y up",
            "light": "unit frame: z up, the object in the unit sphere",
            "unit_from_source": {
                "words": "x_unit = scale * rotation @ (x_source - centre)",
                "rotation": one.rotation.tolist(),
                "centre": one.centre_source.tolist(),
                "scale": one.scale,
            },
        },
        "settings": settings.model_dump(mode="json"),
        "numbers": metrics,
    }


def _ply(mesh: Mesh) -> bytes:
    from gimbal_nero.meshing.files import ply_of

    return ply_of(mesh)


def _png(picture: gltf.Bytes) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()
