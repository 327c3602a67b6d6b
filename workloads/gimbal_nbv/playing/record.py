"""`rollout.json`: everything a rollout did, as plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nbv.metrics import score_rollout
from gimbal_nbv.playing.play import Played
from gimbal_nbv.rollout import Rollout


def record_of(played: Played) -> dict[str, Any]:
    """Return the rollout ready for JSON.

    Distances are in thousandths of the object's bounding-box diagonal, coverage and RRI are shares.
    """
    protocol = played.oracle.protocol
    return {
        "run": played.run.id,
        "experiment": played.run.path.parent.name,
        "drift": list(played.drift),
        "mesh": str(played.play.mesh),
        "faces": len(played.mesh.faces),
        "warnings": list(played.mesh.report.warnings),
        "policy": played.rollout.policy,
        "protocol": {
            "name": protocol.name,
            "candidates": protocol.views,
            "radius": protocol.radius,
            "image_size": protocol.image_size,
            "sha256": protocol.digest,
        },
        "directions": np.round(played.directions, 6).tolist(),
        **_numbers(played.rollout),
        "cd_floor_e3": 1e3 * played.oracle.floor(),
        "decision_ms": 1e3 * played.rollout.cpu_s,
        "steps": _steps(played.rollout),
        "compared": {name: _numbers(other) for name, other in played.others.items()},
        "gap_closed": _gap(played),
    }


def _numbers(rollout: Rollout) -> dict[str, Any]:
    score = score_rollout(rollout)
    return {
        "views": rollout.views[0].tolist(),
        "coverage": list(score.coverage),
        "auc": score.auc,
        "cd_e3": list(score.chamfer_e3),
        "rri": list(score.rri),
        "regret": list(score.regret),
    }


def _steps(rollout: Rollout) -> list[dict[str, Any]]:
    """Return each decision: what every candidate scored, null where it was taken already."""
    views = rollout.views[0].tolist()
    steps = []
    for number, chosen in enumerate(views[1:]):
        scores, used = rollout.scores[0, number], rollout.used[0, number]
        gains = rollout.gains[0, number]
        steps.append(
            {
                "taken": views[: number + 1],
                "chosen": chosen,
                "scores": [
                    None if taken or not np.isfinite(score) else float(score)
                    for score, taken in zip(scores, used, strict=True)
                ],
                "gain": float(gains[chosen]),
                "best_gain": float(gains[~used].max()),
            }
        )
    return steps


def _gap(played: Played) -> float | None:
    """Return the share of the way from farthest to the oracle; None where there is none to go."""
    if len(played.others) < 2:
        return None
    low, high = (float(played.others[name].coverage.mean()) for name in ("farthest", "oracle"))
    reached = float(played.rollout.coverage.mean())
    return (reached - low) / (high - low) if high - low > 1e-6 else None
