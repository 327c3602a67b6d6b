"""Evidence from images and depth files: where depth jumps, colours change.

Tells whether the image and the depth file of one name show the same; it needs no calibration. It
works in scenes whose borders all look alike, but only with dense depth.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_multicar.checking.placement import OrderCosts, costs_of_assignment
from gimbal_multicar.checking.samples import CarSample

Floats = np.ndarray[Any, np.dtype[np.float64]]

COLUMNS = 100
"""Edges are compared at about this width: a pixel or two of blur does not matter."""
MIN_DENSITY = 0.3


def measure_depth_edges(sample: CarSample) -> OrderCosts | None:
    """Return what each order of the images costs; None without dense depth files."""
    names = tuple(n for n in sample.rig.names if n in sample.images and n in sample.depths)
    if sample.depth_source not in ("npy", "opv2v_h") or sample.depth_density < MIN_DENSITY:
        return None
    if len(names) < 2 or names != sample.rig.names:
        return None
    colours = [_image_edges(sample.images[n]) for n in names]
    depths = [_depth_edges(sample.depths[n]) for n in names]
    if len({edges.shape for edges in [*colours, *depths]}) > 1:
        return None
    alike = np.array([[_correlation(c, d) for d in depths] for c in colours])
    return OrderCosts(place=sample.place, names=names, costs=costs_of_assignment(-alike))


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
    return np.asarray(cv2.GaussianBlur(strongest, (3, 3), 0), np.float64)


def _correlation(a: Floats, b: Floats) -> float:
    """Return Pearson's correlation, 0 where one is constant."""
    x, y = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm > 0 else 0.0
