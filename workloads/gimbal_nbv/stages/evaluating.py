"""Stage `evaluate`: the numbers of the protocol, and all a report needs, in `evaluation.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.samples import write_samples
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_nbv.config import EvaluateSettings, OracleSettings, ViewSettings
from gimbal_nbv.stages.reading import open_rows, policy_rows, protocol_of, read_oracle, row_of
from gimbal_nbv.stages.rollouts import row_rollout
from gimbal_nbv.stages.summary import summary_table

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader
    from gimbal_nbv.evaluation import ScoredObject

EVALUATION_FILE = "evaluation.json"
HEADLINE = ("auc", "gap_closed", "coverage")
_MORE = ("cd", "rri", "regret", "views_to_90", "spearman", "over_farthest", "sighted_minus_blind")


@dataclass(frozen=True, kw_only=True)
class EvaluateStage(TaskStage):
    """Aggregates rollouts over the held-out objects.

    Attributes:
        drift: How what is here differs from what the policy was trained with; the numbers say so.
        first_view: Where every rollout starts; from seeded views of each object where None.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy")

    settings: EvaluateSettings
    views: ViewSettings
    oracle: OracleSettings
    inputs: tuple[str, ...] = ("meshes", "views", "oracle", "train", "rollouts")
    drift: tuple[str, ...] = ()
    first_view: int | None = None

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `evaluation.json`, `samples.json` and a summary; return the headline numbers."""
        from gimbal_nbv.evaluation import evaluate, sample_metrics
        from gimbal_nbv.stages.showing import show_objects

        rows = open_rows(inputs, "rollouts")
        objects = self._scored(rows, open_rows(inputs, "oracle"), progress)
        result = evaluate(objects, draws=self.settings.bootstrap, seed=self.seed)
        result["protocol"] = self.protocol(_sha256_of(inputs, [o.object_id for o in objects]))
        result["cost"] = _cost(inputs, result)
        result["skipped"] = _skipped(inputs)
        result["drift"] = list(self.drift)
        protocol = protocol_of(self.views, self.oracle)
        count = self.settings.rollouts_shown
        result["rollouts"] = show_objects(inputs, objects, count, protocol, out_dir)
        atomic_write_json(out_dir / EVALUATION_FILE, result)
        write_samples(
            out_dir,
            protocol=result["protocol"],
            sample="object",
            metrics=sample_metrics(result["per_object"]),
        )
        atomic_write_json(out_dir / "summary.json", summary_table(result))
        return {name: result[name] for name in (*HEADLINE, *_MORE)} | {
            "objects": len(objects),
            "skipped": len(result["skipped"]),
            **({"drift": list(self.drift)} if self.drift else {}),
        }

    def protocol(self, meshes: Mapping[str, str]) -> dict[str, Any]:
        """Return what must be equal for two evaluations to be comparable.

        Args:
            meshes: SHA-256 of each held-out mesh, by object.
        """
        from gimbal_nbv.protocol import frozen_list_digest

        protocol = protocol_of(self.views, self.oracle)
        count = self.settings.first_views
        digest = frozen_list_digest(
            protocol,
            meshes,
            first_view_count=count,
            seed=self.seed,
            first_view=self.first_view,
        )
        return {
            "name": protocol.name,
            "candidates": protocol.views,
            "radius": protocol.radius,
            "fov_deg": protocol.fov_deg,
            "image_size": protocol.image_size,
            "first_views": count,
            "budget": self.settings.budget,
            "objects": len(meshes),
            "test_list_sha256": digest,
        }

    def _scored(
        self, rows: BlockReader, oracles: BlockReader, progress: Progress
    ) -> list[ScoredObject]:
        """Measure every rollout, object by object."""
        from gimbal_nbv.evaluation import ScoredObject
        from gimbal_nbv.metrics import quality, score_rollout

        protocol, oracle_rows = protocol_of(self.views, self.oracle), row_of(oracles)
        names = list(dict.fromkeys(str(name) for name in rows.column("object_id")))
        scored = []
        for done, name in enumerate(names, start=1):
            oracle = read_oracle(oracles, oracle_rows[name], protocol)
            mine = {policy: rows[row] for policy, row in policy_rows(rows, name).items()}
            any_row = next(iter(mine.values()))
            scored.append(
                ScoredObject(
                    object_id=name,
                    family=str(any_row["family"]),
                    source=str(any_row["source"]),
                    chamfer_floor_e3=1e3 * float(any_row["chamfer_floor"]),
                    scores={p: score_rollout(row_rollout(row)) for p, row in mine.items()},
                    quality={p: quality(oracle, row["views"]) for p, row in mine.items()},
                )
            )
            progress(done, len(names), "objects")
        return scored


def _sha256_of(inputs: StageInputs, ids: Sequence[str]) -> dict[str, str]:
    """Return the hash of each object's mesh."""
    rows = open_rows(inputs, "meshes")
    known = dict(zip(rows.column("object_id"), rows.column("sha256"), strict=True))
    return {name: str(known[name]) for name in ids}


def _skipped(inputs: StageInputs) -> list[dict[str, str]]:
    """Return what no policy was judged on, with the reason and the remedy."""
    from gimbal.data.records import read_manifest

    return [
        {"id": item.id, "reason": item.message, "remedy": item.remedy}
        for name in ("meshes", "views", "oracle")
        for item in read_manifest(inputs[name].path).skipped
    ]


def _cost(inputs: StageInputs, result: Mapping[str, Any]) -> dict[str, float]:
    rows = float(inputs["oracle"].metrics["rows"])
    spent = sum(float(inputs[name].metrics["cpu_s"]) for name in ("views", "oracle"))
    cost = {
        "oracle_cpu_s_per_mesh": spent / rows,
        "decision_ms": float(result["decision_ms"]["policy"]),
    }
    trained = inputs["train"].metrics.get("cpu_s")
    return cost | ({"train_cpu_s": float(trained)} if trained is not None else {})
