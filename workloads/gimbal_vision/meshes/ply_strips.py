"""Triangle strips in PLY files, the form of Stanford's older scans, which trimesh leaves alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gimbal_vision.meshes.parts import Indices


def ply_strips(metadata: Mapping[str, Any]) -> Indices:
    """Return the faces [F, 3] of the strips in trimesh's raw PLY elements; none without strips."""
    raw = metadata.get("_ply_raw", {}).get("tristrips", {}).get("data")
    if raw is None or not len(raw):
        return np.empty((0, 3), np.int64)
    if isinstance(raw, Mapping):  # ASCII: column name to rows
        rows = np.atleast_2d(next(iter(raw.values())))
    else:
        rows = np.atleast_2d(raw[raw.dtype.names[0]]["f1"])
    return triangles_of_strips(np.concatenate([np.append(row, -1) for row in rows]))


def triangles_of_strips(strips: np.ndarray[Any, Any]) -> Indices:
    """Return the triangles of strips in one row, each ended by -1, all facing the same way."""
    strips = np.asarray(strips, np.int64)
    if len(strips) < 3:
        return np.empty((0, 3), np.int64)
    triples = np.lib.stride_tricks.sliding_window_view(strips, 3)
    at = np.arange(len(triples))
    ends = np.flatnonzero(strips < 0)
    start = np.concatenate([[0], ends + 1])[np.searchsorted(ends, at)]
    odd = (at - start) % 2 == 1
    turned = np.where(odd[:, None], triples[:, [1, 0, 2]], triples)
    return turned[np.all(triples >= 0, axis=1)]
