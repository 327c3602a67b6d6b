"""Pictures of a judged material: its maps beside the true ones, and relit pictures beside truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes, ensure_folder
from gimbal_nero.capture import Bools, Bytes, View
from gimbal_nero.exporting.material import Appearance, Material, appearance_at
from gimbal_nero.judging.drawing import PICTURES, heat, png_of, safe_name
from gimbal_nero.judging.relit import Pair
from gimbal_nero.judging.srgb import bytes_of
from gimbal_nero.judging.surfaces import points_of
from gimbal_nero.judging.true_material import TrueMaterial
from gimbal_nero.meshing.seeing import Seen

Doubles = np.ndarray[Any, np.dtype[np.float64]]

MATERIAL_PREFIX, RELIT_PREFIX = "material-", "relit-"
RELIT_FULL = 64.0
"""Levels of 255 that are white in the difference of two pictures."""


def save_material_maps(
    views: Sequence[View],
    said: Sequence[Seen],
    material: Material,
    out_dir: Path,
    true: Sequence[Seen] = (),
    truth: TrueMaterial | None = None,
    albedo_scale: float = 1.0,
) -> None:
    """Write `pictures/material-<view>.png`: roughness, metallic and albedo, learnt above true.

    Args:
        views: Which are drawn.
        said: What each sees of the mesh.
        material: The learnt one.
        out_dir: The stage's folder.
        true: What each sees of the truth.
        truth: The true material; None: the learnt one is drawn alone.
        albedo_scale: What the learnt albedo is multiplied by.
    """
    folder = ensure_folder(out_dir / PICTURES)
    for index, (view, seen) in enumerate(zip(views, said, strict=True)):
        learnt = appearance_at(points_of(view, seen.depth), material)
        rows = [_maps(learnt, np.isfinite(seen.depth), albedo_scale)]
        if truth is not None and len(true):
            depth = true[index].depth
            rows.append(_maps(truth.at(points_of(view, depth)), np.isfinite(depth), 1.0))
        path = folder / f"{MATERIAL_PREFIX}{safe_name(view.name)}.png"
        atomic_write_bytes(path, png_of(np.concatenate(rows, axis=0)))


def _maps(appearance: Appearance, shown: Bools, albedo_scale: float) -> Bytes:
    """Return roughness, metallic (0 black, 1 white) and albedo side by side, black elsewhere."""
    pictures = []
    for values in (appearance.roughness, appearance.metallic):
        grey = np.rint(255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8)
        pictures.append(_placed(np.repeat(grey[:, None], 3, axis=1), shown))
    coloured = bytes_of(albedo_scale * appearance.albedo.astype(np.float64))
    return np.concatenate([*pictures, _placed(coloured, shown)], axis=1)


def _placed(colours: Bytes, shown: Bools) -> Bytes:
    picture = np.zeros((*shown.shape, 3), np.uint8)
    picture[shown] = colours
    return picture


def save_relit(pair: Pair, ours: Bytes, out_dir: Path) -> None:
    """Write `pictures/relit-<light>-<view>.png`: truth, ours, and difference (bright: worse).

    Args:
        pair: What is compared.
        ours: Our picture, aligned.
        out_dir: The stage's folder.
    """
    folder = ensure_folder(out_dir / PICTURES)
    true = pair.truth()
    off = np.abs(ours.astype(np.float64) - true).mean(-1)
    name = safe_name(f"{pair.picture.light}-{pair.picture.view}")
    picture = np.concatenate([true, ours, heat(off / RELIT_FULL)], axis=1)
    atomic_write_bytes(folder / f"{RELIT_PREFIX}{name}.png", png_of(picture))
