"""Sixteen short trials: `gimbal sweep` against a loop written by hand, in alternating rounds.

Both run the same points of the next-best-view scorer, two at a time, one thread each; the data is
made before and shared. Gimbal's side does all it always does: Ray, Tune, MLflow, provenance,
checkpoints, a report a trial, the comparison page. The hand-written side (`sweep_by_hand.py`) does
none of it. Every trial's metric is compared; another number than the peer's ends the benchmark.

Start-up is the time until the first trial's first training step, steady is from there until the
last trial's end, and the rest (comparison page, MLflow's last records, Ray's end) is the tail. CPU
seconds are those of all processes of a side, daemons of Ray included.

    python benchmarks/sweep_overhead.py [--trials 16] [--steps 600] [--rounds 2]
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import yaml

import sweep_by_hand
from gimbal.sweeps.spec import read_sweep
from gimbal.sweeps.trials import points_of
from gimbal.training.metrics import read_metrics
from sweep_trials import BASE, SMALL, prepare

NAME = "sweep-overhead"
SPACE = {
    "model.temperature": {"loguniform": [0.03, 0.3]},
    "train.lr": {"loguniform": [5.0e-4, 8.0e-3]},
}
_BECOME_SUBREAPER = 36


@dataclass(frozen=True)
class Times:
    """What one side took, in seconds."""

    start: float
    steady: float
    tail: float
    cpu: float

    @property
    def total(self) -> float:
        return self.start + self.steady + self.tail


def sweep_file(folder: Path, trials: int, steps: int, seed: int) -> Path:
    """Write the sweep; the same data in every round, other points."""
    path = folder / "sweep.yaml"
    content = {
        "base": str(BASE.resolve()),
        "name": NAME,
        "set": {**SMALL, "train.steps": steps},
        "space": SPACE,
        "metric": "evaluate.gap_closed.value",
        "mode": "max",
        "search": "random",
        "search_seed": seed,
        "samples": trials,
        "concurrent": 2,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def by_gimbal(sweep: Path, runs_dir: Path) -> tuple[Times, list[float]]:
    """Run the sweep as a user would; return its times and metrics."""
    command = [sys.executable, "-m", "gimbal.cli.main", "sweep", str(sweep), "--json"]
    command += [f"platform.runs_dir={runs_dir}"]
    began = time.time()
    with CpuSeconds() as cpu:
        output = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    ended = time.time()
    trials = sorted(json.loads(output.stdout)["trials"], key=lambda trial: trial["number"])
    first = min(_first_step(Path(trial["run_dir"])) for trial in trials)
    last = max(datetime.fromisoformat(trial["ended_at"]).timestamp() for trial in trials)
    times = Times(first - began, last - first, ended - last, cpu.total)
    return times, [trial["metric"] for trial in trials]


def by_hand(
    config: Path, inputs: Mapping[str, Any], points: Sequence[Mapping[str, Any]], out: Path
) -> tuple[Times, list[float]]:
    """Run the same points by hand."""
    began = time.time()
    with CpuSeconds() as cpu:
        found = sweep_by_hand.loop(config, inputs, points, out)
    ended, first, last = time.time(), found["first_step"], found["ended"]
    times = Times(first - began, last - first, ended - last, cpu.total)
    return times, [result["gap_closed"]["value"] for result in found["results"]]


def _first_step(run_dir: Path) -> float:
    return float(next(iter(read_metrics(run_dir / "stages" / "train" / "metrics.jsonl")))["time_s"])


class CpuSeconds:
    """Adds up the CPU time of every descendant, by looking twice a second until the block ends.

    The kernel's own sum leaves out processes that Ray ends without waiting for them. What a process
    spends after the last look at it is missed.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> CpuSeconds:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def total(self) -> float:
        return sum(self._seen.values())

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    used = child.cpu_times()
                    self._seen[child.pid, child.create_time()] = used.user + used.system


def rounds(options: argparse.Namespace, folder: Path) -> list[dict[str, Times]]:
    """Alternate both sides, each first in every second round."""
    runs_dir, found = (options.folder or folder) / "runs", []
    changes = {**SMALL, "train.steps": options.steps}
    inputs = _prepared(changes, runs_dir)
    for number in range(options.rounds):
        place = folder / f"round-{number}"
        place.mkdir()
        path = sweep_file(place, options.trials, options.steps, seed=options.seed + number)
        sweep = read_sweep(path)
        points = [{**changes, **point} for point in points_of(sweep.spec, sweep.axes) or ()]
        sides: dict[str, Callable[[], tuple[Times, list[float]]]] = {
            "gimbal": lambda path=path: by_gimbal(path, runs_dir),
            "hand": lambda points=points, place=place: by_hand(BASE, inputs, points, place),
        }
        times, metrics = {}, {}
        for name in list(sides) if number % 2 else list(sides)[::-1]:
            times[name], metrics[name] = sides[name]()
            print(number, name, times[name], f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        if metrics["gimbal"] != metrics["hand"]:
            raise SystemExit(f"other numbers: {metrics}")
        found.append(times)
    return found


def _prepared(changes: Mapping[str, Any], runs_dir: Path) -> dict[str, Any]:
    """Make the data in a process of its own, so that this one stays free of Ray."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(prepare, (changes, runs_dir))


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps all; then change --seed")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(tempfile.mkdtemp(dir=options.folder)) if options.folder else Path(scratch)
        found = rounds(options, folder)
    figures: dict[str, float] = {}
    for part in ("start", "steady", "tail", "total", "cpu"):
        pairs = [(getattr(t["gimbal"], part), getattr(t["hand"], part)) for t in found]
        figures[f"gimbal_{part}_s"] = median(ours for ours, _ in pairs)
        figures[f"hand_{part}_s"] = median(theirs for _, theirs in pairs)
        if part in ("steady", "total", "cpu"):
            figures[f"{part}_ratio"] = median(ours / theirs for ours, theirs in pairs)
    rounded = {key: round(value, 2) for key, value in figures.items()}
    print(json.dumps({"trials": options.trials, "steps": options.steps, **rounded}))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
