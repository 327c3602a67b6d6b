"""One object's walk for the page's sphere: what every candidate is worth at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nbv.diagnostics.bench import Bench, BenchObject
from gimbal_nbv.diagnostics.detached_means import DetachedMeans
from gimbal_nbv.diagnostics.landscape_arrows import FALLBACK, descent
from gimbal_nbv.oracle import Sets
from gimbal_nbv.policies import FarthestPolicy, OracleCoverage, Policy
from gimbal_nbv.rollout import Rollout, roll_out
from gimbal_vision.meshes.simplifying import cluster_vertices

_FACES = 3000
OWNERS = {"policy": "the learned policy", "farthest": "farthest"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Walkers:
    """Who walks over the sphere.

    Attributes:
        policies: By name; the first one's path is the one that the colours belong to.
        means: Whose gradient the arrows show; none where the run's reconstruction is not there.
    """

    policies: Mapping[str, Policy]
    means: DetachedMeans | None

    @classmethod
    def of(cls, bench: Bench) -> Walkers:
        """Take a run's own policies where it trained any, else what needs no training."""
        made: list[Policy] = [FarthestPolicy(), OracleCoverage()]
        if "train" in bench.inputs and "constant" in bench.inputs:
            made = [bench.policy("policy"), bench.policy("blind"), *made]
        policies = {policy.name: policy for policy in made}
        return cls(policies=policies, means=DetachedMeans.of(bench, FALLBACK))

    @property
    def owner(self) -> str:
        """Name of the first policy."""
        return next(iter(self.policies))


def walk(one: BenchObject, walkers: Walkers, first: int, budget: int) -> dict[str, Any]:
    """Walk over an object from one first view.

    Args:
        one: The object.
        walkers: Who walks.
        first: First view.
        budget: Views of a path.

    Returns:
        An item of `report.sphere`'s rollouts.
    """
    cache = one.cache()
    paths = {
        name: roll_out(policy, one.oracle, [first], budget, cache)
        for name, policy in walkers.policies.items()
    }
    mesh = one.mesh
    vertices, faces = cluster_vertices(mesh.vertices, mesh.faces, _FACES)
    return {
        "object_id": one.object_id,
        "owner": OWNERS.get(walkers.owner, walkers.owner),
        "directions": np.round(one.oracle.protocol.directions, 4).tolist(),
        "vertices": np.round(np.asarray(vertices, dtype=float), 4).tolist(),
        "faces": np.asarray(faces).tolist(),
        "policies": {
            name: {
                "views": path.views[0].tolist(),
                "coverage": np.round(path.coverage[0], 4).tolist(),
            }
            for name, path in paths.items()
        },
        "steps": steps(one, paths[walkers.owner], walkers),
    }


def steps(one: BenchObject, path: Rollout, walkers: Walkers) -> list[dict[str, Any]]:
    """Return the layers of each decision of a path: gain, CD after, RRI, score, and arrows.

    Args:
        one: The object.
        path: Whose decisions.
        walkers: Scores are shown where their owner has learned them; others say nothing new.
    """
    learned, means = walkers.owner == "policy", walkers.means
    oracle, mesh, depth = one.oracle, one.mesh, one.depth

    def arrows(taken: Sets, means: DetachedMeans) -> list[list[float]]:
        found: list[list[float]] = np.round(descent(oracle, taken, depth, mesh, means), 3).tolist()
        return found

    layers = []
    for step in range(path.views.shape[1] - 1):
        taken = path.views[:1, : step + 1]
        before, lowered = float(oracle.chamfer(taken)[0]), oracle.chamfer_gains(taken)[0]
        score = path.scores[0, step] if learned else np.full(oracle.views, np.nan)
        layers.append(
            {
                "views": taken[0].tolist(),
                "gain": _numbers(path.gains[0, step]),
                "cd": _numbers(1e3 * (before - lowered)),
                "rri": _numbers(oracle.chamfer_ratios(taken)[0]),
                "score": _numbers(score),
                **({"arrows": arrows(taken[0], means)} if means else {}),
            }
        )
    return layers


def _numbers(values: Sequence[float] | np.ndarray[Any, Any]) -> list[float | None]:
    return [round(float(v), 5) if np.isfinite(v) else None for v in values]
