"""How long `gimbal compare` takes to open and compare 200 stored runs, its page written.

    python benchmarks/compare_runs.py [--runs 200] [--rounds 5]

The runs look like nbv's: a config of 80 settings, some 500 final numbers, 200 lines of
`metrics.jsonl`, 60 samples of three metrics, 55 kB of provenance; 50 points with 4 seeds each. The
floor is a process that starts Python, imports numpy and parses the very same files, JSON by
`json.loads` and YAML by libyaml's parser: what nobody can go below who reads them. Both are fresh
processes, in turns. Prints medians and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from gimbal.testing.stored_runs import MadeRun, make_sweep

LIMIT_S = 3.0
FLOOR = """
import json, sys, pathlib, yaml, numpy
for run in pathlib.Path(sys.argv[1]).glob('*-*-*'):
    for file in run.rglob('*.json'):
        json.loads(file.read_bytes())
    for file in run.glob('*.yaml'):
        for _ in yaml.parse(file.read_bytes(), Loader=yaml.CSafeLoader): pass
    for file in run.rglob('*.jsonl'):
        for line in file.read_bytes().splitlines(): json.loads(line)
"""
POLICIES = (
    "random ring farthest cov_nbv rear_side frontier unknown_ray oracle_cd oracle blind policy"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gimbal-compare-"))
    try:
        sizes = make(folder, given.runs)
        commands = {
            "floor": [sys.executable, "-c", FLOOR, str(folder / "bench")],
            "gimbal compare": [
                sys.executable, "-m", "gimbal.cli.main", "compare", "--sweep", "bench",
                "--runs-dir", str(folder),
            ],
        }  # fmt: skip
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(given.rounds):
            for name, command in commands.items():
                times[name].append(measured(command))
        page = next(folder.glob("bench/sweep-*/comparison.html")).stat().st_size
    finally:
        shutil.rmtree(folder)
    report(times, given.runs, sizes, page)


def measured(command: list[str]) -> tuple[float, float]:
    """Return wall and CPU seconds of a process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = os.times()
    cpu = after.children_user + after.children_system
    return time.perf_counter() - began, cpu - before.children_user - before.children_system


def report(
    times: dict[str, list[tuple[float, float]]], runs: int, read_bytes: int, page_bytes: int
) -> None:
    result = {
        name: {
            "wall_s": round(median(wall for wall, _ in rounds), 2),
            "best_wall_s": round(min(wall for wall, _ in rounds), 2),
            "cpu_s": round(median(cpu for _, cpu in rounds), 2),
        }
        for name, rounds in times.items()
    }
    print(f"{runs} runs, {read_bytes / 1e6:.1f} MB read, page of {page_bytes / 1e6:.1f} MB")
    for name, row in result.items():
        print(
            f"{name:<16} {row['wall_s']:.2f} s wall (best {row['best_wall_s']:.2f}), "
            f"{row['cpu_s']:.2f} CPU-s"
        )
    print(json.dumps({"runs": runs, "medians": result, "limit_s": LIMIT_S}))


def make(folder: Path, count: int) -> int:
    """Write the runs and return the bytes they take."""
    rng = np.random.default_rng(0)
    points = [(float(f"{10 ** rng.uniform(-2, 0):.4g}"), float(f"{10 ** rng.uniform(-4, -2):.4g}"))
              for _ in range(count // 4)]  # fmt: skip
    runs = [
        MadeRun(
            number=4 * i + seed,
            experiment="bench",
            seed=seed,
            config=config(temperature, lr),
            mean=0.6 + 0.02 * float(rng.normal()),
            luck=0.004,
            samples=60,
            steps=1600,
            finals=finals(rng),
            provenance={"code": {"digest": "0" * 64}, "packages": {
                f"package-{k}": {"version": "1.2.3", "path": "/opt/site-packages/" + "x" * 60}
                for k in range(400)}},
            trial=f"temperature={temperature} lr={lr} seed={seed}",
        )
        for i, (temperature, lr) in enumerate(points)
        for seed in range(4)
    ]  # fmt: skip
    make_sweep(folder, runs, ["model.temperature", "train.lr"])
    for run in folder.glob("bench/2*"):
        widen(run / "stages" / "train" / "metrics.jsonl")
    return sum(f.stat().st_size for f in folder.glob("bench/2*/**/*") if f.is_file())


def config(temperature: float, lr: float) -> dict[str, object]:
    sections = {
        name: {f"setting_{k}": 0.1 * k for k in range(12)}
        for name in ("data", "views", "oracle", "states", "evaluate")
    }
    return {
        **sections,
        "model": {"hidden": 64, "temperature": temperature},
        "train": {"lr": lr, **{f"setting_{k}": k for k in range(20)}},
    }


def finals(rng: np.random.Generator) -> dict[str, object]:
    names = POLICIES.split()
    return {
        number: {name: rng.random(10).tolist() for name in names}
        for number in ("coverage", "cd", "rri", "regret")
    }


def widen(path: Path) -> None:
    """Give every line as many numbers as a training of two models logs."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for name, value in list(line["values"].items()):
            line["values"] |= {f"{name}/policy": value, f"{name}/blind": value * 1.1234567890123}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
