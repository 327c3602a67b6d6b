"""One object's rollouts as plain lists, for the report's sphere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gimbal_nbv.oracle import OracleMap
from gimbal_vision.meshes.simplifying import cluster_vertices

_FACES = 3000
_SHOWN_POLICIES = ("policy", "blind", "farthest", "unknown_ray", "oracle")


def shown_rollout(
    mesh: Mapping[str, Any], oracle: OracleMap, rollouts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Describe the rollouts from an object's first start.

    Args:
        mesh: Row of stage `meshes`.
        oracle: The object's oracle map.
        rollouts: Rows of stage `rollouts`, by policy.
    """
    vertices, faces = cluster_vertices(mesh["vertices"], mesh["faces"], _FACES)
    return {
        "object_id": str(mesh["object_id"]),
        "directions": _rounded(oracle.protocol.directions, 4),
        "vertices": _rounded(vertices, 4),
        "faces": faces.tolist(),
        "policies": {
            name: {
                "views": np.asarray(rollouts[name]["views"])[0].tolist(),
                "coverage": _rounded(np.asarray(rollouts[name]["coverage"])[0], 4),
            }
            for name in _SHOWN_POLICIES
            if name in rollouts
        },
        "steps": _steps(oracle, rollouts["policy"]),
    }


def _steps(oracle: OracleMap, rollout: Mapping[str, Any]) -> list[dict[str, Any]]:
    views = np.asarray(rollout["views"])[0]
    steps = []
    for step in range(len(views) - 1):
        taken = views[None, : step + 1]
        before = oracle.chamfer(taken)[0]
        scores = np.asarray(rollout["scores"])[0, step].astype(np.float64)
        scores = np.where(np.isfinite(scores), scores, np.nan)
        steps.append(
            {
                "views": taken[0].tolist(),
                "gain": _rounded(np.asarray(rollout["gains"])[0, step], 5),
                "score": [None if np.isnan(s) else round(float(s), 4) for s in scores],
                "rri": _rounded(oracle.chamfer_gains(taken)[0] / before, 5),
            }
        )
    return steps


def _rounded(values: Any, digits: int) -> Any:
    return np.round(np.asarray(values, dtype=np.float64), digits).tolist()
