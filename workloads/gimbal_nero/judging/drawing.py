"""Pictures of a judged shape: photograph, rendering and error side by side, and a coloured mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes, ensure_folder
from gimbal_nero.capture import Bytes, View
from gimbal_nero.judging.photographs import Compared
from gimbal_nero.meshing.files import ply_of
from gimbal_nero.meshing.seeing import Seen
from gimbal_vision.meshes import Mesh

PICTURES = "pictures"
ERROR_MESH = "error.ply"
ERROR_FULL = 0.02
"""Unit lengths that get the darkest colour."""
_COLOUR_ERROR_FULL = 64.0


def save_pictures(compared: Sequence[Compared], out_dir: Path) -> None:
    """Write `pictures/<view>.png`: photograph, rendering, and difference (bright: worse)."""
    folder = ensure_folder(out_dir / PICTURES)
    for one in compared:
        off = np.abs(one.said.astype(np.float64) - one.view.image).mean(-1)
        error = heat(off / _COLOUR_ERROR_FULL)
        side_by_side = np.concatenate([one.view.image, one.said, error], axis=1)
        atomic_write_bytes(folder / f"{safe_name(one.view.name)}.png", png_of(side_by_side))


def save_surfaces(
    views: Sequence[View], said: Sequence[Seen], true: Sequence[Seen], out_dir: Path
) -> None:
    """Write `pictures/surface-<view>.png`: said and true normals, and how far depths are apart.

    Args:
        views: The photographs' cameras.
        said: What they see of the judged mesh.
        true: What they see of the truth, with normals or without.
        out_dir: The stage's folder.
    """
    folder = ensure_folder(out_dir / PICTURES)
    for view, mine, theirs in zip(views, said, true, strict=True):
        shown = [
            _normal_picture(one.depth, one.normals)
            for one in (mine, theirs)
            if one.normals is not None
        ]
        both = np.isfinite(mine.depth) & np.isfinite(theirs.depth)
        off = np.zeros(both.shape)
        off[both] = np.abs(mine.depth[both] - theirs.depth[both])
        shown.append(heat(off / ERROR_FULL))
        path = folder / f"surface-{safe_name(view.name)}.png"
        atomic_write_bytes(path, png_of(np.concatenate(shown, axis=1)))


def _normal_picture(depth: np.ndarray[Any, Any], normals: np.ndarray[Any, Any]) -> Bytes:
    """Return normals of the unit frame as (n + 1) / 2, black where nothing is."""
    coloured = np.where(np.isfinite(depth)[..., None], 0.5 + 0.5 * normals, 0.0)
    return np.asarray(np.round(255.0 * coloured), np.uint8)


def save_error_mesh(said: Mesh, true: Mesh, out_dir: Path) -> None:
    """Write `error.ply`: the said mesh, each vertex coloured by its distance to the true one."""
    off = distance_to_surface(said.vertices, true)
    colours = heat(off / ERROR_FULL)
    atomic_write_bytes(
        out_dir / ERROR_MESH,
        ply_of(Mesh(vertices=said.vertices, faces=said.faces, vertex_colors=colours)),
    )


def distance_to_surface(points: np.ndarray[Any, Any], mesh: Mesh) -> np.ndarray[Any, Any]:
    """Return [N] distances from points to the nearest of many points on a mesh.

    A dense cloud stands for the surface: exact to about a hundredth of what is coloured.
    """
    from gimbal_vision.nearest import nearest
    from gimbal_vision.sampling import sample_surface

    cloud = sample_surface(mesh, 200_000).points
    found, _ = nearest(points, cloud)
    return found


def heat(share: np.ndarray[Any, Any]) -> Bytes:
    """Return [..., 3] sRGB of shares in [0, 1]: black, red, yellow, white."""
    clipped = np.clip(share, 0.0, 1.0)[..., None]
    ramp = np.clip(3.0 * clipped - [0.0, 1.0, 2.0], 0.0, 1.0)
    return np.asarray(np.round(255.0 * ramp), np.uint8)


def png_of(picture: Bytes) -> bytes:
    """Return a picture [H, W, 3] as the bytes of a PNG."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def safe_name(name: str) -> str:
    """Return a view's name as that of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
