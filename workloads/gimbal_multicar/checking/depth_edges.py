"""Evidence from images and depth files: where depth jumps, colours change.

Tells whether the image and the depth file of one name show the same; it needs no calibration. It
works in scenes whose borders all look alike, but only with dense depth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.placement import OrderCosts, costs_of_assignment
from gimbal_multicar.checking.samples import CarSample

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

COLUMNS = 100
"""Edges are compared at about this width: a pixel or two of blur does not matter."""
MIN_DENSITY = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeMaps:
    """Where the images and the depth files of one car and moment change.

    Attributes:
        place: `split/scenario/agent`.
        frame: The moment.
        names: Cameras.
        colours: [N, h, w] of the images, each with mean 0 and length 1.
        depths: [N, h, w] of the depth files, likewise.
    """

    place: str
    frame: str
    names: tuple[str, ...]
    colours: Floats
    depths: Floats


def edge_maps(sample: CarSample) -> EdgeMaps | None:
    """Return a car's edges; None without dense depth files, or where cameras differ in size."""
    names = tuple(n for n in sample.rig.names if n in sample.images and n in sample.depths)
    if sample.depth_source not in ("npy", "opv2v_h") or sample.depth_density < MIN_DENSITY:
        return None
    if len(names) < 2 or names != sample.rig.names:
        return None
    colours = [_image_edges(sample.images[n]) for n in names]
    depths = edges_of_depths(sample.depths, names)
    if depths is None or {e.shape for e in colours} != {depths.shape[1:]}:
        return None
    return EdgeMaps(
        place=sample.place,
        frame=sample.frame.id.frame,
        names=names,
        colours=_normal(np.stack(colours)),
        depths=depths,
    )


def edges_of_depths(
    depths: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]], names: Sequence[str]
) -> Floats | None:
    """Return [N, h, w] edges with mean 0 and length 1; None where a camera is missing or differs.

    Args:
        depths: Camera to depth, of any unit.
        names: Cameras that are wanted.
    """
    if any(n not in depths for n in names):
        return None
    edges = [_depth_edges(depths[n]) for n in names]
    return _normal(np.stack(edges)) if len({e.shape for e in edges}) == 1 else None


def measure_depth_edges(maps: EdgeMaps) -> OrderCosts:
    """Return what each order of the images costs."""
    alike = np.einsum("ihw,jhw->ij", maps.colours, maps.depths).astype(np.float64)
    return OrderCosts(place=maps.place, names=maps.names, costs=costs_of_assignment(-alike))


def _image_edges(image: np.ndarray[Any, np.dtype[np.uint8]]) -> Floats:
    return _edges(image.astype(np.float32).mean(axis=-1) / 255.0, 0.02)


def _depth_edges(depth: np.ndarray[Any, np.dtype[np.float32]]) -> Floats:
    """Return where depth jumps by a good part of itself: whatever its unit."""
    known = np.isfinite(depth) & (depth > 0)
    farthest = float(depth[known].max()) if known.any() else 1.0
    return _edges(np.log(np.where(known, depth, farthest)), 0.2)


def _edges(values: np.ndarray[Any, Any], scale: float) -> Floats:
    """Return how much changes within each cell, large changes squeezed."""
    import cv2

    step = max(1, values.shape[1] // COLUMNS)
    values = np.asarray(values, np.float32)
    kernel = np.ones((3, 3), np.uint8)
    jump = cv2.morphologyEx(values, cv2.MORPH_GRADIENT, kernel)
    rows, columns = values.shape[0] // step * step, values.shape[1] // step * step
    cells = jump[:rows, :columns].reshape(rows // step, step, columns // step, step)
    strongest = np.tanh(cells.max(axis=(1, 3)) / scale)
    return np.asarray(cv2.GaussianBlur(strongest, (3, 3), 0), np.float32)


def _normal(edges: Floats) -> Floats:
    """Return maps whose products are Pearson's correlations, 0 where one is constant."""
    centred = edges - edges.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    length = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(centred / np.where(length > 1e-9, length, np.inf), np.float32)
