"""Some objects' rollouts for people to look at: plain lists for the report's sphere, and clouds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.experiment.files import ensure_folder
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.stages.clouds import write_cloud
from gimbal_nbv.stages.reading import open_rows, policy_rows, read_oracle, row_of
from gimbal_vision.meshes.simplifying import cluster_vertices

if TYPE_CHECKING:
    from gimbal_nbv.evaluation import ScoredObject
    from gimbal_nbv.protocol import SphereProtocol

_FACES = 3000
_SHOWN_POLICIES = ("policy", "blind", "farthest", "unknown_ray", "oracle")


def show_objects(
    inputs: StageInputs,
    objects: Sequence[ScoredObject],
    count: int,
    protocol: SphereProtocol,
    out_dir: Path,
) -> list[dict[str, Any]]:
    """Describe the objects whose results are nearest the quantiles, the best one first.

    The cloud that the policy's views of each give is written to `clouds/`.

    Args:
        inputs: Stages `meshes`, `views`, `oracle` and `rollouts`.
        objects: All held-out objects.
        count: Objects to show.
        protocol: How they were measured.
        out_dir: The stage's folder.
    """
    if count == 0:
        return []
    won = np.array([o.scores["policy"].auc - o.scores["farthest"].auc for o in objects])
    places = np.linspace(len(objects) - 1, 0, min(count, len(objects))).round().astype(int)
    folder = ensure_folder(out_dir / "clouds")
    stages = {name: open_rows(inputs, name) for name in ("meshes", "views", "oracle", "rollouts")}
    mesh_rows, oracle_rows = row_of(stages["meshes"]), row_of(stages["oracle"])
    view_rows = row_of(stages["views"])
    shown = []
    for number, index in enumerate(np.argsort(won)[places]):
        name = objects[index].object_id
        rows = policy_rows(stages["rollouts"], name)
        rollouts = {policy: stages["rollouts"][row] for policy, row in rows.items()}
        oracle = read_oracle(stages["oracle"], oracle_rows[name], protocol)
        shown.append(shown_rollout(stages["meshes"][mesh_rows[name]], oracle, rollouts))
        chosen = np.asarray(rollouts["policy"]["views"])[0].tolist()
        images = stages["views"][view_rows[name]]
        write_cloud(folder / f"{number}-{_file_name(name)}.ply", images, chosen, protocol)
    return shown


def _file_name(object_id: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in object_id)[-80:]


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
