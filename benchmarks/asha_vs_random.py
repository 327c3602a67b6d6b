"""Early stopping against random search at equal budget: the optimizer steps spent.

A pool of points of the next-best-view scorer (temperature, rate, width, weight decay) is trained
once, every one to its end, with the loop of `sweep_by_hand.py`, whose numbers equal Gimbal's. Then
both strategies are replayed over the pool's learning curves for many search seeds: `TrialQueue`
hands out the points in an order drawn from the seed, two trials run at a time and validate in
turn, and for ASHA the sweep's own `EarlyStopping` decides after each validation. One thing the
replay leaves out: a real trial trains on for some steps until it reads that it is to stop.

Random search runs `--full` trials to their end. ASHA goes through the same order and beyond until
it has spent as many steps; what is unfinished then counts for nothing. A finished trial's result is
the validation regret of the checkpoint it keeps, the one of least validation loss.

    python benchmarks/asha_vs_random.py [--pool 64] [--full 16] [--seeds 200] [--plot asha.png]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler

from gimbal.sweeps.scheduler import JUDGE, STEP, EarlyStopping
from gimbal.sweeps.space import draw, read_axis
from gimbal.sweeps.spec import AshaSettings, SweepSpec
from sweep_trials import SMALL, configured, prepare

SPACE = {
    "model.temperature": {"loguniform": [0.02, 1.0]},
    "train.lr": {"loguniform": [1.0e-4, 2.0e-2]},
    "model.hidden": {"choice": [8, 16, 32, 64]},
    "train.weight_decay": {"loguniform": [1.0e-5, 1.0e-1]},
}
SLOTS = 2
JUDGED = "regret/policy"
KEPT_BY = "loss"

Curve = Mapping[int, Mapping[str, float]]
"""Validation numbers by step."""


@dataclass(frozen=True)
class Budget:
    """What both strategies may spend.

    Attributes:
        steps: Optimizer steps of a whole trial.
        every: Steps between validations.
        full: Whole trials that the budget is worth.
    """

    steps: int
    every: int
    full: int

    @property
    def total(self) -> int:
        return self.steps * self.full


def train_pool(options: argparse.Namespace) -> list[dict[int, dict[str, float]]]:
    """Return the validation curve of every point; a pool file takes up where it was left."""
    axes = [read_axis(key, value, "space") for key, value in SPACE.items()]
    points = draw(axes, options.pool, 0)
    changes = {**SMALL, "train.steps": options.steps}
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:  # a process of its own, so that this one stays free of Ray
        inputs = pool.apply(prepare, (changes, options.folder / "runs"))
    work = [
        (options.folder / f"curve-{number}.json", inputs, {**changes, **point})
        for number, point in enumerate(points)
    ]
    with context.Pool(SLOTS) as pool:
        curves: list[dict[str, dict[str, float]]] = pool.starmap(_curve, work, chunksize=1)
    return [{int(step): row for step, row in curve.items()} for curve in curves]


def _curve(path: Path, inputs: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Train one point, or read what an earlier call trained."""
    if not path.exists():
        import torch

        import sweep_by_hand

        torch.set_num_threads(1)
        workload, config = configured(changes)
        stage = next(stage for stage in workload.stages(config) if stage.name == "train")
        with tempfile.TemporaryDirectory() as scratch:
            sweep_by_hand.train(stage, inputs, Path(scratch))
            lines = (Path(scratch) / "curve.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if JUDGED in row]
        path.write_text(json.dumps({row.pop("step"): row for row in rows}))
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def result_of(curve: Curve) -> float:
    """Return the regret of the checkpoint that a whole trial keeps."""
    return min(curve.values(), key=lambda row: row[KEPT_BY])[JUDGED]


@dataclass
class _Running:
    """A trial as the scheduler knows it."""

    trial_id: str
    curve: Curve
    step: int = 0


def replay(
    order: Sequence[int], curves: Sequence[Curve], budget: Budget, asha: AshaSettings | None
) -> tuple[list[tuple[int, float]], int]:
    """Run one strategy over the pool.

    Returns:
        Steps spent when a trial finished, and its result, for each that did; and trials begun.
    """
    from gimbal.sweeps.queue import TrialQueue

    spec = SweepSpec.model_validate(
        {"base": "-", "name": "pool", "metric": "a.b", "mode": "min", "search": "grid"}
        | {"space": {"pool.index": list(order)}}
    )
    queue = TrialQueue(spec, [read_axis("pool.index", list(order), "space")])
    scheduler = EarlyStopping(asha, budget.steps) if asha else None
    nobody: Any = None  # ASHA asks its controller nothing
    running: list[_Running] = []
    found, spent, begun = [], 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        while spent < budget.total:
            while len(running) < SLOTS and (trial := queue.next()) is not None:
                running.append(_Running(trial.id, curves[trial.point["pool.index"]]))
                begun += 1
                if scheduler is not None:
                    scheduler.on_trial_add(nobody, running[-1])
            if not running:
                raise SystemExit("the pool is used up before the budget: train a larger --pool")
            for trial in list(running):
                trial.step += budget.every
                spent += budget.every
                over = trial.step >= budget.steps
                told = {STEP: trial.step, JUDGE: -trial.curve[trial.step][JUDGED]}
                told |= {"attempt": f"{scratch}/{trial.trial_id}", "done": over}
                stop = scheduler is not None and (
                    scheduler.on_trial_result(nobody, trial, told) == TrialScheduler.STOP
                )
                if over and spent <= budget.total:
                    found.append((spent, result_of(trial.curve)))
                if over or stop:
                    running.remove(trial)
    return found, begun


def best_so_far(found: Sequence[tuple[int, float]], at: np.ndarray) -> np.ndarray:
    """Return the best result after each number of steps; NaN before the first."""
    return np.array([min((v for spent, v in found if spent <= x), default=np.nan) for x in at])


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over seeds with a 95 % bootstrap interval."""
    draws = np.random.default_rng(0).integers(len(values), size=(4000, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def main() -> None:
    """Print one JSON line, and draw where asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pool", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--full", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--grace", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=Path("runs") / "asha-pool")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    curves = train_pool(options)
    budget = Budget(options.steps, SMALL["train.validate_every"], options.full)
    asha = AshaSettings(metric=JUDGED, mode="min", grace_steps=options.grace)
    results = np.array([result_of(curve) for curve in curves])
    at = np.linspace(0, budget.total, 4 * options.full + 1)[1:].astype(int)
    lines: dict[str, list[np.ndarray]] = {"random": [], "asha": []}
    begun = []
    for seed in range(options.seeds):
        order = [int(i) for i in np.random.default_rng(seed).permutation(len(curves))]
        lines["random"].append(best_so_far(replay(order, curves, budget, None)[0], at))
        found, count = replay(order, curves, budget, asha)
        lines["asha"].append(best_so_far(found, at))
        begun.append(count)
    figures = _figures(lines, begun, results, at)
    print(json.dumps({"steps": budget.total, "seeds": options.seeds, **figures}))
    if options.plot:
        from asha_plot import draw_plot

        draw_plot(options.plot, at, lines, float(results.min()))


def _figures(
    lines: Mapping[str, Sequence[np.ndarray]],
    begun: Sequence[int],
    results: np.ndarray,
    at: np.ndarray,
) -> dict[str, Any]:
    random, asha = np.array(lines["random"]), np.array(lines["asha"])
    won = random[:, -1] - asha[:, -1]
    target = random[:, -1].mean()
    cheaper = next(
        (int(x) for x, y in zip(at, asha.mean(axis=0), strict=True) if y <= target), None
    )
    figures: dict[str, Any] = {
        "random_regret": interval(random[:, -1]),
        "asha_regret": interval(asha[:, -1]),
        "won": interval(won),
        "better": float((won > 0).mean()),
        "worse": float((won < 0).mean()),
        "asha_trials": float(np.mean(begun)),
        "asha_steps_to_random": cheaper,
        "pool_best": float(results.min()),
        "pool_median": float(np.median(results)),
    }
    return {
        key: np.round(value, 4).tolist() if isinstance(value, tuple | float) else value
        for key, value in figures.items()
    } | {"load": round(os.getloadavg()[0], 1)}


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.setrecursionlimit(5000)
    main()
