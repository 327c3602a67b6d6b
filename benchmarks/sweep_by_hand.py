"""The peer of `sweep_overhead.py`: the same trials as a researcher would loop over them by hand.

Two processes, each with every second trial: a plain torch loop over the task's own batches, loss
and validation, the best weights kept and saved, then the same rollouts and the same numbers,
written as JSON. No Ray, no MLflow, no provenance, no report, nothing to resume from.
"""

from __future__ import annotations

import copy
import json
import multiprocessing as mp
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROCESSES = 2
NICENESS = 15
"""As Ray has its workers; else other work on the machine would slow one side down only."""


def loop(
    base: Path, inputs: Mapping[str, Any], points: Sequence[Mapping[str, Any]], out: Path
) -> dict[str, Any]:
    """Run all trials.

    Args:
        base: The config they share.
        inputs: The finished stages `oracle`, `states` and `constant`.
        points: What each trial changes in it, by dotted key.
        out: Folder for weights, curves and results.

    Returns:
        `results`, one dict a trial; `first_step` and `ended`, Unix times.
    """
    context = mp.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        shares = [(base, inputs, points, out, rank) for rank in range(PROCESSES)]
        found = pool.starmap(_share, shares, chunksize=1)
    results = {number: result for part in found for number, result in part["results"].items()}
    return {
        "results": [results[number] for number in range(len(points))],
        "first_step": min(part["first_step"] for part in found),
        "ended": max(part["ended"] for part in found),
    }


def _share(
    base: Path,
    inputs: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    out: Path,
    rank: int,
) -> dict[str, Any]:
    import torch

    os.nice(NICENESS)
    torch.set_num_threads(1)
    results, first = {}, None
    for number in range(rank, len(points), PROCESSES):
        folder = out / f"trial-{number}"
        folder.mkdir(parents=True)
        results[number], began = trial(base, inputs, points[number], folder)
        first = first or began
    return {"results": results, "first_step": first, "ended": time.time()}


def trial(
    base: Path, inputs: Mapping[str, Any], point: Mapping[str, Any], folder: Path
) -> tuple[dict[str, Any], float]:
    """Train and evaluate one trial; return its numbers, and when its first step was done."""
    from gimbal.experiment.loading import load_experiment
    from gimbal.experiment.overrides import Override

    changes = [Override(f"{k}={v}", tuple(k.split(".")), v) for k, v in point.items()]
    workload, config = load_experiment(base, changes)
    stages = {stage.name: stage for stage in workload.stages(config)}
    model, first = train(stages["train"], inputs, folder)
    objects = roll_out_all(stages["rollouts"], inputs, model)
    evaluating = stages["evaluate"]
    from gimbal_nbv.evaluation import evaluate

    result = evaluate(objects, draws=evaluating.settings.bootstrap, seed=evaluating.seed)
    (folder / "result.json").write_text(json.dumps(result))
    return result, first


def train(stage: Any, inputs: Mapping[str, Any], folder: Path) -> tuple[Any, float]:
    """Train the scorer and its twin; return the best weights' model, and when it began."""
    import torch
    from torch.nn.utils import clip_grad_norm_

    from gimbal.training.keyed import seed_torch
    from gimbal.training.order import SampleOrder
    from gimbal.training.schedule import rate_factor, set_rates

    settings, task, began = stage.train, stage.task(inputs), 0.0
    seed_torch(torch.device("cpu"), stage.seed, "build")
    model, groups = task.build()
    optimizer = torch.optim.AdamW(
        groups, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )
    source, held_out = task.source("train"), task.source("val")
    order = SampleOrder(len(source), settings.global_batch, stage.seed)
    peaks = [settings.lr] * len(groups)
    best_loss, best = float("inf"), {}
    with (folder / "curve.jsonl").open("w") as curve:
        for step in range(settings.steps):
            set_rates(optimizer, peaks, rate_factor(settings, step))
            rows = source.fetch(order.batch(step))
            batch = {name: torch.from_numpy(value) for name, value in rows.items()}
            terms = task.loss(model, batch, step)
            loss = sum(total for total, _ in terms.values()) / settings.global_batch
            optimizer.zero_grad()
            loss.backward()
            if settings.clip_norm is not None:
                for group in groups:
                    clip_grad_norm_(group["params"], settings.clip_norm)
            optimizer.step()
            began = began or time.time()
            done = step + 1
            if done % settings.log_every == 0:
                curve.write(json.dumps({"step": done, "loss": loss.item()}) + "\n")
            if done % settings.validate_every == 0 or done == settings.steps:
                model.eval()
                with torch.no_grad():
                    values = task.validate(model, held_out)
                model.train()
                curve.write(json.dumps({"step": done, **values}) + "\n")
                if values["loss"] < best_loss:
                    best_loss, best = values["loss"], copy.deepcopy(model.state_dict())
                    torch.save(best, folder / "best.pt")
    model.load_state_dict(best)
    return model.eval(), began


def roll_out_all(stage: Any, inputs: Mapping[str, Any], model: Any) -> list[Any]:
    """Roll every policy out on every held-out object, and score it."""
    import numpy as np

    from gimbal_nbv.evaluation import ScoredObject
    from gimbal_nbv.features import FeatureCache
    from gimbal_nbv.metrics import quality, score_rollout
    from gimbal_nbv.policies import FirstFramePolicy, baselines
    from gimbal_nbv.policies.learned import BlindPolicy, LearnedPolicy
    from gimbal_nbv.protocol import first_views
    from gimbal_nbv.rollout import roll_out
    from gimbal_nbv.stages.reading import open_rows, protocol_of, read_oracle

    constant = FirstFramePolicy(np.load(inputs["constant"].path / "directions.npy"))
    policies = (*baselines(stage.seed), constant, BlindPolicy(model), LearnedPolicy(model))
    protocol, rows = protocol_of(stage.views, stage.oracle), open_rows(inputs, "oracle")
    objects = []
    for item in stage.items(inputs):
        record = rows[item["row"]]
        oracle = read_oracle(rows, item["row"], protocol)
        starts = first_views(protocol, item["id"], stage.settings.first_views, stage.seed)
        cache = FeatureCache(oracle, capacity=256)
        rolled = [roll_out(p, oracle, starts, stage.settings.budget, cache) for p in policies]
        objects.append(
            ScoredObject(
                object_id=str(record["object_id"]),
                family=str(record["family"]),
                source=str(record["source"]),
                chamfer_floor_e3=1e3 * oracle.floor(),
                scores={r.policy: score_rollout(r) for r in rolled},
                quality={r.policy: quality(oracle, r.views) for r in rolled},
            )
        )
    return objects
