"""Made-up but self-consistent inputs of a report, for its tests and for work on the page.

`python -m gimbal_nbv.report.sample FILE.html` writes a page that calls itself synthetic. Nothing
of it was measured; the shapes of the curves only resemble a real evaluation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .build import write_report

BUDGET = 6
SKILL = {
    "policy": 0.56, "blind": 0.03, "random": -1.9, "ring": -0.7, "farthest": 0.0,
    "unknown_ray": 0.26, "rear_side": 0.2, "frontier": 0.16, "cov_nbv": -2.6,
    "first_frame": -0.25, "oracle": 1.0, "oracle_cd": 0.72,
}  # fmt: skip
"""Gap closed, roughly, by each policy: 0 is farthest, 1 the oracle."""
FAMILIES = ("jointed", "open box", "torus", "annulus", "table")
Array = NDArray[np.float64]


def sample_evaluation(
    *, objects: int = 60, folder_meshes: int = 12, seed: int = 0, rollouts: int = 2
) -> dict[str, Any]:
    """Make an evaluation of `objects` objects, `folder_meshes` of them from a folder."""
    rng = np.random.default_rng(seed)
    per_object = [_object(index, index < folder_meshes, rng) for index in range(objects)]
    coverage = _means(per_object, "coverage")
    auc = {key: float(np.mean(curve)) for key, curve in coverage.items()}
    gap = auc["oracle"] - auc["farthest"]
    gaps = {key: (value - auc["farthest"]) / gap for key, value in auc.items()}
    per_policy = {k: {"value": v, "ci95": [v - 0.07, v + 0.07]} for k, v in gaps.items()}
    regret = {k: np.clip(np.linspace(0.34, 0.2, 5) * (1 - s), 0, 1) for k, s in SKILL.items()}
    drop = {k: np.array([0.38, 0.24, 0.15, 0.09, 0.05]) * (1 + s / 9) for k, s in SKILL.items()}
    rank = {key: 0.5 + 0.28 * skill for key, skill in SKILL.items() if key != "random"}
    return {
        "protocol": {
            "name": "sphere-v1", "candidates": 64, "radius": 1.5, "fov_deg": 42.0,
            "image_size": 96, "first_views": 8, "budget": BUDGET, "test_list_sha256": "5e" * 32,
            "objects": objects,
        },
        "auc": auc,
        "auc_ci95": {key: [value - 0.012, value + 0.012] for key, value in auc.items()},
        "coverage": coverage,
        "cd": _means(per_object, "cd"),
        "cd_floor": 12.2,
        "rri": {key: values.tolist() for key, values in drop.items()},
        "regret": {key: values.tolist() for key, values in regret.items()},
        "views_to_90": {key: 4.0 - 0.55 * skill for key, skill in SKILL.items()},
        "spearman": {key: min(1.0, value) for key, value in rank.items()},
        "ndcg5": {key: min(1.0, value + 0.22) for key, value in rank.items()},
        "gap_closed": {**per_policy["policy"], "per_policy": per_policy},
        "cost": {"oracle_cpu_s_per_mesh": 1.24, "decision_ms": 11.3, "train_cpu_s": 47.0},
        "per_object": per_object,
        "skipped": [
            {"id": "broken.ply", "reason": "It has no faces.", "remedy": "Export it as a mesh."}
        ],
        "rollouts": [_rollout(index, rng) for index in range(rollouts)],
    }  # fmt: skip


def sample_run() -> dict[str, Any]:
    """Make the record of a run that passed one gate and failed another."""
    stages = ("meshes", "views", "oracle", "train", "evaluate")
    return {
        "run_id": "synthetic", "experiment": "quickstart", "created": "2026-01-05 09:30 UTC",
        "command": "gimbal run configs/nbv/quickstart.yaml", "commit": "0123abc" * 5 + "01234",
        "dirty": False, "seed": 0, "platform": {"python": "3.11", "cpus": 2, "gpus": []},
        "config_yaml": "workload: nbv\nseed: 0\nbudget: 6\n",
        "stages": [
            {"name": name, "status": "done", "seconds": 7.5 * (rank + 1), "fingerprint": "ab" * 32}
            for rank, name in enumerate(stages)
        ],
        "gates": [
            {"stage": "evaluate", "name": "beats farthest", "passed": True, "hint": "",
             "message": "gap_closed.value = 0.56, wanted > 0"},
            {"stage": "evaluate", "name": "oracle map", "passed": False,
             "message": "spread = 0.12, wanted ≥ 0.2",
             "hint": "Use objects of which one view shows less."},
        ],
    }  # fmt: skip


def sample_training(*, steps: int = 60, seed: int = 0) -> dict[str, Any]:
    """Make the logged series of a training and its blind twin."""
    rng = np.random.default_rng(seed)
    at = np.arange(1, steps + 1)
    noise: Callable[[], Array] = lambda: rng.normal(0, 0.012, steps)  # noqa: E731
    warm = np.minimum(1, at / 6) * (1 + np.cos(np.pi * at / steps)) / 2
    every = at % 5 == 0
    val = np.where(every, 0.11 + 0.2 * np.exp(-at / 15), np.nan)
    val_blind = np.where(every, 0.24 + 0.09 * np.exp(-at / 15), np.nan)
    module = {"norm": 0.0123, "zero_share": 0.02, "update_ratio": 1.3e-3}
    return {
        "steps": (at * 20).tolist(),
        "values": {
            "train/loss": [7.0] * steps,
            "train/loss/policy": (3.52 + 0.6 * np.exp(-at / 9) + noise()).tolist(),
            "train/loss/blind": (3.58 + 0.55 * np.exp(-at / 9) + noise()).tolist(),
            "val/regret/policy": val.tolist(),
            "val/regret/blind": val_blind.tolist(),
            "lr": (3e-3 * warm).tolist(),
            "lr/policy": (3e-3 * warm).tolist(),
        },
        "gradient": {"encoder": module, "head": {**module, "norm": 0.31}},
    }


def _object(index: int, folder: bool, rng: np.random.Generator) -> dict[str, Any]:
    start, rate, room = rng.uniform(0.3, 0.45), rng.uniform(0.75, 1.1), rng.uniform(0.05, 0.16)
    steps = np.arange(BUDGET)
    floor = 1 - (1 - start) * np.exp(-rate * steps)
    bump = room * steps * np.exp(1 - steps) * 1.1
    skills = {key: rng.normal(skill, 0.28) for key, skill in SKILL.items()}
    skills |= {"farthest": 0.0, "oracle": 1.0}
    coverage = {key: np.clip(floor + bump * s, 0.02, 0.999) for key, s in skills.items()}
    auc = {key: float(curve.mean()) for key, curve in coverage.items()}
    gap = (auc["policy"] - auc["farthest"]) / (auc["oracle"] - auc["farthest"])
    return {
        "object_id": f"scans/mesh_{index:02d}.ply" if folder else f"{index:03d}",
        "family": f"mesh_{index:02d}" if folder else FAMILIES[index % len(FAMILIES)],
        "source": "folder" if folder else "procedural",
        "auc": auc,
        "gap_closed": gap,
        "coverage": {key: curve.tolist() for key, curve in coverage.items()},
        "cd": {key: (12.4 + 46 * (1 - curve)).tolist() for key, curve in coverage.items()},
    }


def _means(per_object: list[dict[str, Any]], name: str) -> dict[str, list[float]]:
    return {
        key: np.mean([item[name][key] for item in per_object], axis=0).tolist() for key in SKILL
    }


def _rollout(index: int, rng: np.random.Generator) -> dict[str, Any]:
    """Play three policies on a torus whose visible points are those that face the camera."""
    vertices, faces, normals = _torus(tube=0.13 + 0.05 * index)
    directions = _fibonacci(64)
    facing = directions @ normals.T > 0.55
    rotation = np.argsort(vertices @ rng.normal(size=3))
    visible = facing & ~np.isin(np.arange(len(vertices)), rotation[: 40 * index])
    visible = visible[:, visible.any(0)]
    first = int(rng.integers(64))
    paths: dict[str, list[int]] = {"policy": [first], "farthest": [first], "oracle": [first]}
    steps: list[dict[str, Any]] = []
    for _ in range(BUDGET - 1):
        gain = _gain(visible, paths["policy"])
        score = gain * 20 + rng.normal(0, 0.25, 64)
        score[paths["policy"]] = -np.inf
        rri = gain * 0.8 - 0.01
        steps.append({"views": list(paths["policy"]), "gain": gain.tolist(),
                      "score": score.tolist(), "rri": rri.tolist()})  # fmt: skip
        paths["policy"].append(int(score.argmax()))
        nearest = (directions @ directions[paths["farthest"]].T).max(1)
        paths["farthest"].append(int(nearest.argmin()))
        paths["oracle"].append(int(_gain(visible, paths["oracle"]).argmax()))
    return {
        "object_id": f"torus {index}",
        "directions": directions.tolist(),
        "vertices": vertices.tolist(),
        "faces": faces.tolist(),
        "steps": steps,
        "policies": {
            key: {"views": views, "coverage": [float(visible[views[: k + 1]].any(0).mean())
                                               for k in range(BUDGET)]}
            for key, views in paths.items()
        },
    }  # fmt: skip


def _gain(visible: NDArray[np.bool_], views: list[int]) -> Array:
    unseen = ~visible[views].any(0)
    share: Array = (visible & unseen).mean(1)
    return share


def _fibonacci(count: int) -> Array:
    index = np.arange(count)
    z = 1 - (2 * index + 1) / count
    angle, across = np.pi * (3 - np.sqrt(5)) * index, np.sqrt(1 - z * z)
    return np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)


def _torus(tube: float, *, around: int = 48, across: int = 20) -> tuple[Array, Any, Array]:
    """Return vertices [V, 3], faces [F, 3] and normals [V, 3] of a torus in a unit box."""
    u, v = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")
    a, b = 2 * np.pi * u.ravel() / around, 2 * np.pi * v.ravel() / across
    normals = np.stack([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)], axis=1)
    centre = np.stack([np.cos(a), np.sin(a), np.zeros_like(a)], axis=1) * 0.32
    corner = [((u + i) % around * across + (v + j) % across).ravel() for i, j in
              ((0, 0), (1, 0), (1, 1), (0, 1))]  # fmt: skip
    faces = np.concatenate([np.stack(corner[:3], 1), np.stack([corner[0], *corner[2:]], 1)])
    return centre + tube * normals, faces, normals


if __name__ == "__main__":
    written = write_report(sample_evaluation(), sample_run(), sample_training(), Path(sys.argv[1]))
    print(written)
