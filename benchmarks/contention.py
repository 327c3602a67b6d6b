"""How does the job service do in a lab whose cards colleagues take without asking?

    python benchmarks/contention.py [--seeds 5] [--first-seed 0] [--jobs 200] [--json]

Ten cards of 24 GiB on a virtual clock; colleagues' processes need 14 GiB, come and go; 200 jobs on
1, 2 or 4 cards are submitted at 1.5 times the rate the cards left over can serve, and all are run
to their end. `default` is the real controller, policy, occupancy and store; `first_fit` is blind to
foreign memory, as Ray alone; `fifo` is a queue in strict order that looks once; `oracle` knows how
long jobs run and when colleagues come, has no cool-down, and takes the one of three orders that
gives the most goodput (not the shortest waits). What counts as a death after admission, as goodput
and as a false hold is defined in `gimbal.testing.lab` and `gimbal.testing.lab_figures`.
`overloaded` is the same lab at 2 times that rate, so that jobs wait past the starvation bound, and
`calm` is one in which no colleague ever comes.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
from dataclasses import asdict, replace
from statistics import mean

from gimbal.testing.lab_figures import POLICIES, Figures, run
from gimbal.testing.lab_scenario import Shape, draw

GOODPUT_TARGET = 0.95

Row = dict[str, float]


def compare(seed: int, shape: Shape) -> dict[str, Row]:
    """Run one scenario under every policy and return their rows."""
    scenario = draw(seed, shape)
    figures = {name: run(scenario, name) for name in POLICIES}
    return {name: _row(found, figures) for name, found in figures.items()}


def _row(found: Figures, figures: dict[str, Figures]) -> Row:
    return asdict(found) | {
        "goodput_vs_oracle": found.goodput / figures["oracle"].goodput,
        "mean_jct_vs_first_fit": found.mean_jct_s / figures["first_fit"].mean_jct_s,
    }


def spread(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Return mean, least and most of every figure over the seeds."""
    return {
        key: {
            "mean": mean(row[key] for row in rows),
            "min": min(row[key] for row in rows),
            "max": max(row[key] for row in rows),
        }
        for key in rows[0]
    }


def summarise(rows: list[dict[str, Row]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the spread of every policy."""
    return {name: spread([row[name] for row in rows]) for name in POLICIES}


_COLUMNS = {
    "deaths_after_admission": ("deaths", "{:.0f}"),
    "bounces": ("bounces", "{:.0f}"),
    "goodput_vs_oracle": ("goodput/oracle", "{:.3f}"),
    "mean_jct_vs_first_fit": ("JCT/first_fit", "{:.2f}"),
    "wait_p99_s": ("wait p99 s", "{:.0f}"),
    "false_holds": ("false holds", "{:.4f}"),
    "lost_gpu_s": ("lost GPU s", "{:.0f}"),
}


def show(title: str, summary: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a table of means, with least and most over the seeds."""
    print(title)
    print(f"{'':10}" + "".join(f"{head:>26}" for head, _ in _COLUMNS.values()))
    for name, figures in summary.items():
        cells = []
        for key, (_, form) in _COLUMNS.items():
            low, middle, high = (form.format(figures[key][k]) for k in ("min", "mean", "max"))
            cells.append(f"{middle} [{low}, {high}]")
        print(f"{name:10}" + "".join(f"{cell:>26}" for cell in cells))


def main() -> None:
    """Run, print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="print the line of JSON only")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    shape = Shape(jobs=arguments.jobs)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    busy = summarise([compare(seed, shape) for seed in seeds])
    overloaded = summarise([compare(seeds[0], replace(shape, load=2.0))])
    calm = summarise([compare(seeds[0], replace(shape, foreign_bytes=0))])
    if not arguments.json:
        show(f"busy lab, {len(seeds)} seeds: mean [least, most]", busy)
        show("overloaded lab, 1 seed", overloaded)
        show("calm lab, 1 seed", calm)
    default = busy["default"]
    summary = {
        "benchmark": "contention",
        "deaths_after_admission": default["deaths_after_admission"]["max"],
        "goodput_vs_oracle": default["goodput_vs_oracle"]["mean"],
        "mean_jct_vs_first_fit": default["mean_jct_vs_first_fit"]["mean"],
        "wait_p99_s": default["wait_p99_s"]["mean"],
        "false_holds": default["false_holds"]["mean"],
        "passed": default["deaths_after_admission"]["max"] == 0
        and default["goodput_vs_oracle"]["mean"] >= GOODPUT_TARGET,
        "machine": platform.machine(),
        "busy": busy,
        "overloaded": overloaded,
        "calm": calm,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
