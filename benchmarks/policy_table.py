"""Which head, objective and pooling pays? Attention policies side by side with the scorer.

Reads a finished run's stages (its states must hold tokens and ray features), trains every variant
in this process on the same states, seed by seed, and rolls it out on the run's held-out objects:

    gimbal run configs/nbv/attention.yaml --stage states data.train_shapes=408 data.test_shapes=66
    python benchmarks/policy_table.py --run nbv-attention --out table --steps 500

Each (variant, seed) is kept in --out with what was asked and not trained again; a file kept before
such records were is taken as it is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gimbal.data.reading import BlockReader
from gimbal.experiment.files import atomic_write_json, read_json
from gimbal.experiment.run_finding import find
from gimbal.training.order import SampleOrder
from gimbal.training.schedule import rate_factor, set_rates
from gimbal.training.settings import TrainSettings
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.gap import difference, gap_closed
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies import FarthestPolicy, OracleCoverage, Policy
from gimbal_nbv.policies.learned import AttentionPolicy, BlindPolicy, LearnedPolicy
from gimbal_nbv.protocol import first_views
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.run_policy import run_config
from gimbal_nbv.stages.attention_task import AttentionTask
from gimbal_nbv.stages.reading import images_of, protocol_of, read_oracle, rows_of_split
from gimbal_nbv.stages.scorer_task import ScorerTask

BUDGET = 6


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    model: Mapping[str, Any]
    objective: Mapping[str, Any]
    train: Mapping[str, Any]


def attention(name: str, objective: str = "oracle_soft", **model: Any) -> Variant:
    return Variant(name, {"policy": "attention", **model}, {"name": objective}, {})


VARIANTS = (
    Variant("scorer", {}, {}, {"global_batch": 48, "lr": 2e-3}),
    attention("discrete / soft / grid"),
    attention("discrete / soft / grid + rays", candidate_features="rays"),
    attention("discrete / soft / attn", pooling="attn"),
    attention("discrete / soft / mean", pooling="mean"),
    attention("discrete / soft / hits", pooling="hits"),
    attention("discrete / soft / grid, not relative", relative=False),
    attention("discrete / map ascent / grid", "map_ascent"),
    attention("discrete / regression / grid", "rri_regression"),
    attention("unit vector / soft / grid", head="unit_vector"),
    attention("unit vector / map ascent / grid", "map_ascent", head="unit_vector"),
    attention("unit vector / map ascent / mean", "map_ascent", head="unit_vector", pooling="mean"),
    attention("periodic / map ascent / grid", "map_ascent", head="spherical_periodic"),
    attention("spherical / map ascent / grid", "map_ascent", head="spherical"),
    attention("spherical / argmax / grid", "argmax_regression", head="spherical"),
    attention("unit vector / argmax / grid", "argmax_regression", head="unit_vector"),
    attention("cartesian / argmax / grid", "argmax_regression", head="cartesian"),
)


class InMemory:
    """The run's states, read once."""

    def __init__(self, rows: BlockReader) -> None:
        names = [column.name for column in rows.schema.columns]
        self._columns = {name: np.asarray(rows.column(name)) for name in ("split", "object_id")}
        wanted = [name for name in names if name not in self._columns]
        self._columns |= rows.fetch(np.arange(len(rows)), wanted)

    def column(self, name: str) -> Any:
        return self._columns[name]

    def fetch(self, indices: np.ndarray, columns: Sequence[str]) -> dict[str, Any]:
        return {name: self._columns[name][indices] for name in columns}


@dataclass(frozen=True)
class Held:
    """A held-out object, what can be seen of it and what the ends of the scale reach on it."""

    oracle: OracleMap
    cache: FeatureCache
    starts: list[int]

    def auc(self, policy: Policy) -> float:
        rolled = roll_out(policy, self.oracle, self.starts, BUDGET, self.cache)
        return float(rolled.coverage.mean())


def held_out(stages: Path, config: Any, starts: int) -> Iterator[Held]:
    oracles, views = BlockReader(stages / "oracle"), BlockReader(stages / "views")
    protocol = protocol_of(config.views, config.oracle)
    names = oracles.column("object_id")
    for row in rows_of_split(oracles, ["test"]):
        oracle, name = read_oracle(oracles, int(row), protocol), str(names[int(row)])
        cache = FeatureCache(oracle, capacity=512, images=images_of(views, name))
        yield Held(oracle, cache, first_views(protocol, name, starts, config.seed))


def trained(variant: Variant, rows: Any, config: Any, steps: int, seed: int) -> tuple[Any, float]:
    """Train as the stage does, but for Ray; return both policies and the CPU seconds."""
    model, objective = ModelSettings(**variant.model), ObjectiveSettings(**variant.objective)
    defaults = {"global_batch": 32, "lr": 1e-3, "warmup_steps": min(100, steps // 10)}
    settings = TrainSettings(steps=steps, weight_decay=1e-3, **{**defaults, **variant.train})
    protocol = protocol_of(config.views, config.oracle)
    task: Any = (
        ScorerTask(model, objective, rows)
        if model.policy == "scorer"
        else AttentionTask(model, objective, rows, protocol)
    )
    torch.manual_seed(seed)
    module, groups = task.build()
    optimizer = torch.optim.AdamW([dict(g) for g in groups], settings.lr, weight_decay=1e-3)
    source = task.source("train")
    order, begin = SampleOrder(len(source), settings.global_batch, seed), time.process_time()
    for step in range(steps):
        set_rates(optimizer, [settings.lr] * len(groups), rate_factor(settings, step))
        batch = {k: torch.as_tensor(v) for k, v in source.fetch(order.batch(step)).items()}
        optimizer.zero_grad()
        sum(
            total / float(count) for total, count in task.loss(module, batch, step).values()
        ).backward()
        for group in groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        optimizer.step()
    module.eval()
    if model.policy == "scorer":
        return (LearnedPolicy(module), BlindPolicy(module)), time.process_time() - begin
    pair = [AttentionPolicy(model=module, settings=model, sighted=s) for s in (True, False)]
    return tuple(pair), time.process_time() - begin


def measured(
    variant: Variant, rows: Any, config: Any, held: Sequence[Held], how: tuple[int, int]
) -> dict[str, Any]:
    (policy, blind), cpu_s = trained(variant, rows, config, *how)
    return {
        "cpu_s": cpu_s,
        "policy": [one.auc(policy) for one in held],
        "blind": [one.auc(blind) for one in held],
    }


def kept(file: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a kept result, or None where there is none or another question was asked."""
    if not file.exists():
        return None
    result: dict[str, Any] = read_json(file)
    return result if result.get("asked") == asked else None


def summary(results: Sequence[Mapping[str, Any]], ends: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Average seeds object by object; intervals are over objects, the spread over seeds."""
    policy, blind = (np.array([r[name] for r in results]) for name in ("policy", "blind"))
    mean = policy.mean(axis=0)
    gap = gap_closed(mean, ends["farthest"], ends["oracle"])
    room = (ends["oracle"] - ends["farthest"]).mean()
    return {
        "seeds": len(results),
        "auc": float(mean.mean()),
        "auc_by_seed": policy.mean(axis=1).round(4).tolist(),
        "gap_closed": gap.to_dict(),
        "gap_by_seed": ((policy - ends["farthest"]).mean(axis=1) / room).round(3).tolist(),
        "over_farthest": difference(mean, ends["farthest"]).to_dict(),
        "sighted_minus_blind": difference(mean, blind.mean(axis=0)).to_dict(),
        "train_cpu_s": float(np.mean([r["cpu_s"] for r in results])),
    }


def shown(name: str, row: Mapping[str, Any]) -> str:
    gap, seen = row["gap_closed"], row["sighted_minus_blind"]
    return (
        f"{name:<38} {row['auc']:.4f}  {gap['value']:+.2f} [{gap['ci95'][0]:+.2f}, "
        f"{gap['ci95'][1]:+.2f}]  {seen['value']:+.4f} [{seen['ci95'][0]:+.4f}, "
        f"{seen['ci95'][1]:+.4f}]  {row['train_cpu_s']:5.0f}  {row['gap_by_seed']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--only", default="", help="variants whose name contains this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = find(arguments.runs_dir, arguments.run)
    config, stages = run_config(run), run.stages
    rows = InMemory(BlockReader(stages / "states"))
    held = list(held_out(stages, config, arguments.starts))
    ends = {
        name: np.array([one.auc(policy) for one in held])
        for name, policy in (("farthest", FarthestPolicy()), ("oracle", OracleCoverage()))
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{len(held)} held-out objects, farthest {ends['farthest'].mean():.4f}, "
        f"oracle {ends['oracle'].mean():.4f}, {arguments.steps} steps"
    )
    table = {}
    for variant in (v for v in VARIANTS if arguments.only in v.name):
        results = []
        for seed in range(arguments.seeds):
            how = (arguments.steps, seed)
            asked = {"variant": asdict(variant), "how": list(how), "starts": arguments.starts}
            asked |= {"run": run.id}
            key = "".join(c if c.isalnum() else "_" for c in variant.name)
            file = arguments.out / f"{key}-{arguments.steps}-{seed}.json"
            result = kept(file, asked)
            if result is None:
                result = measured(variant, rows, config, held, how) | {"asked": asked}
                atomic_write_json(file, result)
            results.append(result)
        table[variant.name] = summary(results, ends)
        print(shown(variant.name, table[variant.name]), flush=True)
    print(json.dumps({"steps": arguments.steps, "objects": len(held), "variants": table}))


if __name__ == "__main__":
    main()
