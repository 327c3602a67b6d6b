"""How far the next-best-view scorer can be pushed: ensembles, DAgger states, a completion feature.

Every variant is trained like stage `train` of a finished run, on its states, with several seeds,
and rolled out from the same first views; `short` ones take 500 steps, where learning has ended.
`held` are the training families kept for choosing, so that a choice among variants never looks at
`test`, objects of other families, or at `real`, a folder of meshes. Intervals are paired bootstraps
over objects of the mean over seeds; `seeds` shows what each seed alone closes.

    python benchmarks/scorer_push.py --run nbv-many-meshes --runs-dir runs [--real meshes] \
        [--judge held test real] [--only plain visited ...] [--seeds 3]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gimbal.experiment.run_finding import find
from gimbal_nbv.gap import difference, gap_closed
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies import FarthestPolicy, OracleCoverage
from gimbal_nbv.protocol import first_views
from gimbal_nbv.rollout import roll_out
from push_completion import Completions
from push_data import Bench, KeptFeatures, Rows, Thing, more_rows, real_things, sampled, visited
from push_training import Ensemble, Recipe, Scored, Seeds, Split, trained

SHORT = 500
RECIPES = {
    "plain": Recipe(),
    "averaged": Recipe(averaged=True),
    "context": Recipe(context=True),
    "wide": Recipe(hidden=128),
    "short": Recipe(steps=SHORT),
    "short-noise": Recipe(steps=SHORT, noise=0.1),
    "short-regret-0": Recipe(steps=SHORT, regret_weight=0.0),
}
PLAIN = "plain"
HELD_STARTS = 4
Judged = Mapping[str, NDArray[np.float64]]
"""AUC of each policy [seeds, objects]."""
Variants = Mapping[str, Sequence[Any]]
"""Policies of each variant, one a seed."""


@dataclass(frozen=True)
class Variant:
    """A recipe, the states beyond the run's own, and how many scorers are averaged.

    `rows` are as many states again, `sampled` as stage `states` does or `visited` by the policy.
    `half` takes the states of half the families, `completed` adds the completion feature to them;
    see `push_completion.py`.
    """

    recipe: str = PLAIN
    rows: str = ""
    members: int = 1
    half: str = ""
    completed: bool = False


VARIANTS = {name: Variant(name) for name in RECIPES} | {
    "short-sampled": Variant("short", "sampled"),
    "short-visited": Variant("short", "visited"),
    "short-ensemble-4": Variant("short", members=4),
    "completed-apart": Variant("short", half="apart", completed=True),
    "completed-leaky": Variant("short", half="leaky", completed=True),
    "half-apart": Variant("short", half="apart"),
    "half-leaky": Variant("short", half="leaky"),
}


@dataclass
class Lab:
    """What trains variants, each once."""

    bench: Bench
    folder: Path
    completions: Completions

    def __post_init__(self) -> None:
        self._extra: dict[str, Rows] = {}
        self.numbers: dict[str, dict[str, float]] = {}

    def policy(self, name: str, seed: int) -> Scored:
        """Return a variant's policy."""
        variant = VARIANTS[name]
        members = [self._member(variant, seed, member) for member in range(variant.members)]
        network = members[0] if len(members) == 1 else Ensemble(members)
        return Scored(network, widened=variant.completed)

    def _member(self, variant: Variant, seed: int, member: int) -> nn.Module:
        recipe = RECIPES[variant.recipe]
        base = PLAIN if recipe.averaged else variant.recipe
        label = "+".join(filter(None, [base, variant.rows, variant.half]))
        label += ".completed" * variant.completed
        split = self._split(variant)
        file = self.folder / "scorers" / f"{label}-{seed}-{member}.pt"
        seeds = Seeds(weights=10 * seed + member, order=seed)
        scorer, numbers = trained(file, split, recipe, seeds, self.bench.config.train)
        self.numbers[f"{label}{' averaged' if recipe.averaged else ''}-{seed}-{member}"] = numbers
        return scorer

    def _split(self, variant: Variant) -> Split:
        rows = self.bench.rows
        if variant.half:
            rows = rows.chosen(self.completions.rows(variant.half))
        if variant.completed:
            rows = rows.widened(self.completions.columns(variant.half))
        if variant.rows:
            rows = rows.joined(self._made(variant.rows))
        held = {thing.id for thing in self.bench.held}
        chosen = np.isin(rows.objects, list(held))
        return Split(rows, np.flatnonzero(~chosen), np.flatnonzero(chosen))

    def _made(self, name: str) -> Rows:
        """Make as many states again of the training objects that are not held back.

        Those that the policy visits are drawn once, by the first seed's.
        """
        if name not in self._extra:
            count = self.bench.config.states.per_object
            draw = sampled(count)
            if name == "visited":
                draw = visited(self.policy(PLAIN, 0), count)
            file = self.folder / "states" / f"{name}.npz"
            self._extra[name] = more_rows(self.bench.train, draw, file)
        return self._extra[name]


def judge(lab: Lab, things: Sequence[Thing], variants: Variants, starts: int, kept: Path) -> Judged:
    """Roll every variant out on every object; return the AUC of each [seeds, objects]."""
    everybody = itertools.chain.from_iterable(variants.values())
    widened = any(getattr(policy, "widened", False) for policy in everybody)
    bench, completed = lab.bench, lab.completions.describe() if widened else None
    found: dict[str, list[list[float]]] = {name: [] for name in variants}
    for thing in things:
        oracle = thing.load()
        file = kept / f"{thing.id.replace('/', '+')}.npz"
        features = KeptFeatures(oracle, file, completed)
        first = first_views(bench.protocol, thing.id, starts, bench.config.seed)
        for name, policies in variants.items():
            found[name].append([_auc(bench, p, oracle, first, features) for p in policies])
        features.keep()
    return {name: np.array(auc).T for name, auc in found.items()}


def _auc(
    bench: Bench, policy: Any, oracle: OracleMap, first: list[int], features: KeptFeatures
) -> float:
    rollout = roll_out(policy, oracle, first, bench.config.evaluate.budget, features)
    return float(rollout.coverage.mean())


def figures(auc: Judged, against: str) -> dict[str, dict[str, Any]]:
    """Return gap closed by variant: of the mean over seeds, of each seed, and beyond another's."""
    low, top = auc["farthest"][0], auc["oracle"][0]
    rows = {}
    for name, values in auc.items():
        if name in ("farthest", "oracle"):
            continue
        mean = values.mean(axis=0)
        row: dict[str, Any] = {
            "gap": _rounded(gap_closed(mean, low, top)),
            "seeds": [round(gap_closed(v, low, top).value, 3) for v in values],
            "auc": round(float(mean.mean()), 4),
        }
        if against in auc and name != against:
            over = auc[against].mean(axis=0)
            row["beyond"] = _rounded(gap_closed(mean - over + low, low, top))
            row["auc_beyond"] = _rounded(difference(mean, over), 4)
        rows[name] = row
    return rows


def _rounded(interval: Any, digits: int = 3) -> list[float]:
    return [round(x, digits) for x in (interval.value, interval.low, interval.high)]


def show(part: str, objects: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one table."""
    print(f"\n{part}: {objects} objects\n{'':22}{'gap closed':>24}  {'beyond':>24}  seeds")
    for name, row in rows.items():
        gap, over = (
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(*row[key]) if key in row else ""
            for key in ("gap", "beyond")
        )
        print(f"{name:22}{gap:>24}  {over:>24}  {' '.join(f'{s:+.3f}' for s in row['seeds'])}")


def main() -> None:
    """Train what is asked for, roll out, print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="nbv-many-meshes")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--folder", type=Path, default=Path("runs") / "scorer-push")
    parser.add_argument("--completion", type=Path, help="folder of the completion net and features")
    parser.add_argument("--real", type=Path, help="folder of meshes, for --judge real")
    parser.add_argument("--judge", nargs="*", choices=("held", "test", "real"), default=["held"])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--against", choices=list(VARIANTS), default=PLAIN, help="see 'beyond'")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    run = find(options.runs_dir, options.run).path
    bench = Bench.open(run)
    kept = options.completion or options.folder / "completion"
    lab = Lab(bench, options.folder, Completions(run, bench.protocol, kept))
    variants: dict[str, list[Any]] = {"farthest": [FarthestPolicy()], "oracle": [OracleCoverage()]}
    for name in options.only:
        variants[name] = [lab.policy(name, seed) for seed in range(options.seeds)]
        print(f"{name:22}{time.process_time() - began:7.0f} CPU-s", flush=True)
    _print_training(lab)
    result = {}
    for part in options.judge:
        things = _things(part, bench, options)
        starts = HELD_STARTS if part == "held" else bench.config.evaluate.first_views
        auc = judge(lab, things, variants, starts, options.folder / "features" / part)
        result[part] = {"objects": len(things), "variants": figures(auc, options.against)}
        show(part, len(things), result[part]["variants"])
    print(json.dumps({
        "benchmark": "scorer_push", "seeds": options.seeds, **result,
        "cpu_s": round(time.process_time() - began), "machine": platform.machine(),
        "versions": {name: version(name) for name in ("numpy", "torch")},
    }))  # fmt: skip


def _things(part: str, bench: Bench, options: argparse.Namespace) -> Sequence[Thing]:
    if part == "real":
        if options.real is None:
            raise SystemExit("--judge real needs --real FOLDER")
        return list(real_things(options.real, bench.protocol, options.folder / "real"))
    return bench.held if part == "held" else bench.test


def _print_training(lab: Lab) -> None:
    print(f"\n{'scorer-seed-member':34}{'best step':>10}{'val loss':>10}{'regret':>9}{'CPU-s':>8}")
    for name, row in lab.numbers.items():
        print(
            f"{name:34}{row['best_step']:10.0f}{row['loss']:10.4f}{row['regret']:9.4f}"
            f"{row['cpu_s']:8.1f}"
        )


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
