"""A moment from above: cars where they stand, and every vehicle's box.

The world's axes are OpenCV's, so the plane of the road is x (right) and z (forward).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal.pages.markup import plot_text

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

_FOOTPRINT = (0, 1, 5, 4, 0)
"""Corners around a box seen from above: signs of (x, y, z) count up in binary, y is down."""
CAR_COLOURS = (
    "var(--c-policy)",
    "var(--c-farthest)",
    "var(--c-unknown_ray)",
    "var(--c-rear_side)",
    "var(--c-frontier)",
    "var(--c-blind)",
    "var(--c-cov_nbv)",
)


def moment_figure(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a figure of the cars of one moment, as the page draws figures.

    Args:
        rows: One for each car.
    """
    traces = [_boxes(rows)]
    for number, row in enumerate(rows):
        traces.append(_car(row, CAR_COLOURS[number % len(CAR_COLOURS)]))
    layout = {
        "xaxis": {"title": {"text": "x, m"}},
        "yaxis": {"title": {"text": "z, m"}, "scaleanchor": "x"},
        "showlegend": True,
    }
    return {"data": traces, "layout": layout, "height": 420}


def boxes_world(row: Mapping[str, Any]) -> Floats:
    """Return [K, 8, 3] corners of a row's boxes in the world."""
    pose = np.asarray(row["world_from_car"], np.float64)
    corners: Floats = np.asarray(row["boxes_car"], np.float64) @ pose[:3, :3].T + pose[:3, 3]
    return corners


def _boxes(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return every vehicle's footprint once, whoever reports it."""
    found: dict[str, Floats] = {}
    for row in rows:
        ids = row["box_ids"].split(",") if row["box_ids"] else []
        for name, corners in zip(ids, boxes_world(row), strict=True):
            found.setdefault(name, corners)
    x: list[float | None] = []
    z: list[float | None] = []
    text: list[str] = []
    for name, corners in found.items():
        around = corners[list(_FOOTPRINT)]
        x += [*np.round(around[:, 0], 2).tolist(), None]
        z += [*np.round(around[:, 2], 2).tolist(), None]
        text += [plot_text(name)] * (len(_FOOTPRINT) + 1)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "vehicles",
        "x": x,
        "y": z,
        "text": text,
        "line": {"color": "var(--muted)", "width": 1.3},
        "hovertemplate": "vehicle %{text}<extra></extra>",
    }


def _car(row: Mapping[str, Any], colour: str) -> dict[str, Any]:
    """Return an arrow from the car's reference, 6 m in driving direction."""
    pose = np.asarray(row["world_from_car"], np.float64)
    here, ahead = pose[:3, 3], pose[:3, 3] + 6.0 * pose[:3, 2]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plot_text(f"car {row['agent_id']}"),
        "x": np.round([here[0], ahead[0]], 2).tolist(),
        "y": np.round([here[2], ahead[2]], 2).tolist(),
        "line": {"color": colour, "width": 3},
        "marker": {"color": colour, "size": [11, 6], "symbol": ["circle", "diamond"]},
        "hovertemplate": "%{fullData.name}<br>x %{x} m, z %{y} m<extra></extra>",
    }
