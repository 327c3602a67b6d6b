"""The source's open problem, one object and a random first view, and what solves it.

Trains a policy to choose the second view of one made object: first as the source did it (the
gradient of a summed squared Chamfer distance through the declared pose of a detached rendering,
batch 1, a direction in the world, Adam at a constant 5e-6), then with one thing changed after the
other, up to the default. Every variant is judged alike, every few steps, by the gain of its greedy
choice from all 64 first views: 0 is the mean of the open candidates, 1 the best of them.

    python benchmarks/open_problem.py [--seeds 5] [--steps 500] [--plot open_problem.png] [--json]

A finished (variant, seed) is kept in `--out` and not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gimbal.experiment.files import atomic_write_json, read_json
from gimbal_nbv.attention.policy import AttentionNBVPolicy, Moments
from gimbal_nbv.attention.shape import AttentionShape
from gimbal_nbv.attention.source import SourcePolicy
from gimbal_nbv.extractors import extractor_of
from gimbal_nbv.objectives.choosing import Weights, loss_terms
from gimbal_nbv.objectives.detached import DetachedSettings, detached_step
from gimbal_nbv.reconstruction.fusion import DepthFusion
from open_problem_bench import SingleObject, rows_of
from open_problem_variants import EXTRA, VARIANTS, Variant

JUDGED = 20
"""How often a training is judged, the start not counted."""
CLIP = 1.0

Curve = dict[str, Any]


def train(bench: SingleObject, variant: Variant, seed: int, steps: int) -> Curve:
    """Train one variant from one seed.

    Returns:
        `steps`, `gain` and `below_mean` (share of first views from which the choice is worse than
        the mean candidate) at each judgement, `loss` at each step, and `cpu_s`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    policy = network(bench, variant)
    optimizer = optimizer_of(policy, variant)
    every = max(steps // JUDGED, 1)
    curve: Curve = {"steps": [], "gain": [], "below_mean": [], "loss": []}
    started = time.process_time()
    for step in range(steps + 1):
        if step % every == 0:
            judge(bench, variant, policy, step, curve)
        if step == steps:
            break
        rows = rng.choice(bench.protocol.views, size=variant.batch, replace=False)
        for group in optimizer.param_groups:
            group["lr"] = variant.rate * factor(variant, step, steps)
        loss = loss_of(bench, variant, policy, rows)
        optimizer.zero_grad()
        loss.backward()
        if variant.scheduled:
            nn.utils.clip_grad_norm_(policy.parameters(), CLIP)
        optimizer.step()
        curve["loss"].append(float(loss.detach()))
    curve["cpu_s"] = time.process_time() - started
    return curve


def network(bench: SingleObject, variant: Variant) -> nn.Module:
    """Make the policy of a variant."""
    extractor = extractor_of("pointmap")
    if variant.network == "source":
        return SourcePolicy(extractor.dim, variant.head)
    discrete = variant.head == "discrete"
    shape = AttentionShape(
        token_dim=extractor.dim,
        tokens_per_view=extractor.tokens_per_view(bench.protocol.image_size),
        has_points=extractor.has_points,
        vectors=extractor.vectors,
        head=variant.head,
        relative=discrete,
    )
    flat = bench.inputs.tokens.reshape(-1, extractor.dim)
    return AttentionNBVPolicy(shape, Moments(tokens=(flat.mean(0), flat.std(0))))


def optimizer_of(policy: nn.Module, variant: Variant) -> torch.optim.Optimizer:
    """Make the optimizer of a variant."""
    parameters = policy.parameters()
    if variant.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=variant.rate, momentum=0.9)
    if variant.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=variant.rate, fused=True)
    return torch.optim.Adam(parameters, lr=variant.rate, fused=True)


def factor(variant: Variant, step: int, steps: int) -> float:
    """Return what the rate is multiplied by at a step."""
    if not variant.scheduled:
        return 1.0
    warm = max(steps // 10, 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(steps - warm, 1))))


def loss_of(bench: SingleObject, variant: Variant, policy: nn.Module, rows: np.ndarray) -> Tensor:
    """Return the loss of some first views, a mean over them."""
    inputs = rows_of(bench.inputs, rows)
    output = policy.train()(inputs)
    if variant.objective != "detached_cd":
        batch = {
            "gains": torch.from_numpy(bench.gains[rows]).float(),
            "used": inputs.used,
            "candidates": inputs.candidates,
        }
        terms = loss_terms(variant.objective, output, batch, Weights())
        return torch.stack([total / count for total, count in terms.values()]).sum()
    states = bench.detached.rows(rows)
    direction = output.direction
    if variant.in_world:
        direction = (states.frames.mT.to(direction) @ direction[..., None])[..., 0]
    settings = DetachedSettings(
        radius=bench.protocol.radius,
        sums=not variant.normalise,
        normalise="range" if variant.normalise else "none",
        roll="world_up" if variant.head == "spherical" else "transported",
    )
    step = detached_step(direction, states, bench.renderer, DepthFusion(), settings)
    loss = step.loss.mean()
    if output.norm is not None:
        loss = loss + Weights().norm_weight * (output.norm - 1).square().mean()
    return loss


@torch.no_grad()
def judge(
    bench: SingleObject, variant: Variant, policy: nn.Module, step: int, curve: Curve
) -> None:
    """Note how good the greedy choices are at a step."""
    worth = bench.chosen_worth(policy.eval()(bench.inputs), variant.in_world)
    curve["steps"].append(step)
    curve["gain"].append(float(worth.mean()))
    curve["below_mean"].append(float((worth < 0).mean()))


def kept_or_trained(bench: SingleObject, name: str, seed: int, steps: int, out: Path) -> Curve:
    """Return a curve from the folder, or train it and keep it there."""
    variant = (VARIANTS | EXTRA)[name]
    asked = {
        "variant": {key: value for key, value in asdict(variant).items() if key != "label"},
        "seed": seed,
        "steps": steps,
        "object": f"{bench.family}-{bench.seed}",
    }
    path = out / f"{name}-{seed}.json"
    if path.exists():
        kept = read_json(path)
        if kept["asked"] == asked:
            return dict(kept["curve"])
    print(f"{variant.label}, seed {seed} ...", file=sys.stderr, flush=True)
    curve = train(bench, variant, seed, steps)
    atomic_write_json(path, {"asked": asked, "curve": curve})
    return curve


def summed_up(name: str, curves: list[Curve]) -> dict[str, Any]:
    """Return a variant's end over its seeds."""
    ends = np.array([curve["gain"][-1] for curve in curves])
    best = np.array([max(curve["gain"]) for curve in curves])
    return {
        "variant": name,
        "label": (VARIANTS | EXTRA)[name].label,
        "gain_median": float(np.median(ends)),
        "gain_min": float(ends.min()),
        "gain_max": float(ends.max()),
        "lost_since_best": float((best - ends).mean()),
        "first_views_below_mean": float(np.mean([c["below_mean"][-1] for c in curves])),
        "cpu_s": float(np.mean([c["cpu_s"] for c in curves])),
    }


def main() -> None:
    """Train what is missing, print the table, draw the figure."""
    args = _arguments()
    torch.set_num_threads(1)
    family, _, number = args.object.rpartition("-")
    bench = SingleObject(family, int(number))
    args.out.mkdir(parents=True, exist_ok=True)
    curves = {name: [] for name in args.variants}
    for seed in range(args.seeds):  # one seed of all first, so that a stopped run shows them all
        for name in args.variants:
            curves[name].append(kept_or_trained(bench, name, seed, args.steps, args.out))
    antipode = bench.antipode()
    result = {
        "object": args.object,
        "steps": args.steps,
        "seeds": args.seeds,
        "antipode": {"gain": float(antipode.mean()), "below_mean": float((antipode < 0).mean())},
        "variants": [summed_up(name, of_seeds) for name, of_seeds in curves.items()],
    }
    if args.plot:
        from open_problem_plot import draw_plot

        labels = {name: (VARIANTS | EXTRA)[name].label for name in curves}
        draw_plot(args.plot, curves, labels, result["antipode"]["gain"])
    _say(result, args.json)


def _say(result: Mapping[str, Any], as_json: bool) -> None:
    out = sys.stderr if as_json else sys.stdout
    print(f"{'':44} gain (min, max)        below  lost  CPU s", file=out)
    for row in result["variants"]:
        print(
            f"{row['label']:44} {row['gain_median']:5.2f} ({row['gain_min']:5.2f}, "
            f"{row['gain_max']:5.2f})  {row['first_views_below_mean']:9.0%} "
            f"{row['lost_since_best']:5.2f} {row['cpu_s']:6.1f}",
            file=out,
        )
    print(f"{'opposite of the first view':44} {result['antipode']['gain']:5.2f}", file=out)
    if as_json:
        print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to this, not included")
    parser.add_argument("--steps", type=int, default=500, help="optimizer steps of each training")
    parser.add_argument("--object", default="chair-1", help="a made object, family-number")
    parser.add_argument(
        "--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS | EXTRA)
    )
    parser.add_argument("--out", type=Path, default=Path("open_problem"), help="kept trainings")
    parser.add_argument("--plot", type=Path, help="write the figure to this PNG")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    main()
