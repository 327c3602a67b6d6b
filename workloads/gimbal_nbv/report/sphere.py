"""Data of the interactive sphere: per object the candidates, the mesh, the states and the paths.

Only numbers and names go to the page, rounded to what a screen can show; the drawing is in
sphere.js. A rollout that lacks its candidates is left out rather than drawn wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .policies import ordered, policy
from .text import floats, mapping, records

LAYERS = {
    "gain": "True gain",
    "score": "Policy score",
    "rri": "RRI",
}
LOWER = ("cd",)
"""Layers of which less is better."""
DIGITS = 4


def sphere_payload(
    evaluation: Mapping[str, Any], layers: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """Collect every rollout that can be drawn; None when there is none.

    Args:
        evaluation: `rollouts` holds an item an object: `object_id`, `directions` [M,3], `vertices`,
            `faces`, `policies` and `steps`; `owner` names whose path the steps follow.
            A step may have `arrows` [M,3], tangents to the sphere at each candidate.
        layers: What candidates can be coloured by, `key in a step → name`.
    """
    layers = LAYERS if layers is None else layers
    rollouts = [_rollout(item, layers) for item in records(evaluation.get("rollouts"))]
    drawable = [rollout for rollout in rollouts if rollout is not None]
    if not drawable:
        return None
    lower = [key for key in layers if key in LOWER]
    return {"layers": dict(layers), "lower": lower, "rollouts": drawable}


def _rollout(item: Mapping[str, Any], layers: Mapping[str, str]) -> dict[str, Any] | None:
    directions = _points(item.get("directions"))
    if not directions:
        return None
    count = len(directions)
    paths = {
        key: _path(key, mapping(mapping(item.get("policies"))[key]), count)
        for key in ordered(mapping(item.get("policies")))
    }
    return {
        "name": str(item.get("object_id", "unnamed")),
        "directions": directions,
        "mesh": _mesh(item),
        "paths": {key: path for key, path in paths.items() if path["views"]},
        "steps": [_step(step, count, layers) for step in records(item.get("steps"))],
        "owner": str(item.get("owner", "the learned policy")),
    }


def _points(raw: object) -> list[list[float]]:
    """Return [[x, y, z], …] rounded, or nothing if any entry is not a finite point."""
    rows = raw if isinstance(raw, Sequence) and not isinstance(raw, str) else []
    points = [[round(v, DIGITS) for v in floats(row) if v is not None] for row in rows]
    return points if all(len(point) == 3 for point in points) else []


def _mesh(item: Mapping[str, Any]) -> dict[str, list[Any]] | None:
    vertices = _points(item.get("vertices"))
    faces = item.get("faces")
    if not vertices or not isinstance(faces, Sequence):
        return None
    kept = [
        [int(index) for index in face]
        for face in faces
        if len(face) == 3 and all(0 <= index < len(vertices) for index in face)
    ]
    return {"vertices": vertices, "faces": kept} if kept else None


def _path(key: str, raw: Mapping[str, Any], count: int) -> dict[str, Any]:
    views = [int(view) for view in raw.get("views", []) if 0 <= view < count]
    return {
        "label": policy(key).label,
        "views": views,
        "coverage": [None if v is None else round(v, DIGITS) for v in floats(raw.get("coverage"))],
    }


def _step(raw: Mapping[str, Any], count: int, layers: Mapping[str, str]) -> dict[str, Any]:
    views = [int(view) for view in raw.get("views", []) if 0 <= view < count]
    arrows = _points(raw.get("arrows"))
    return {
        "views": views,
        **({"arrows": arrows} if len(arrows) == count else {}),
        **{name: _layer(raw.get(name), count) for name in layers},
    }


def _layer(raw: object, count: int) -> list[float | None] | None:
    values = floats(raw)
    if len(values) != count or all(value is None for value in values):
        return None
    return [None if value is None else float(f"{value:.4g}") for value in values]
