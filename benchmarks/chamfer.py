"""How long does a Chamfer distance with its gradients take, against scipy's bare KD-trees?

    python benchmarks/chamfer.py [--points 10000 30000 100000] [--rounds 9] [--mesh FILE]

scipy does no more than build both trees and query them with two workers: no loss, no gradient.
Ours is `chamfer_squared(a, b).backward()` with gradients for both clouds. Rounds are interleaved,
so that a busy machine disturbs all alike; the ratio is of the minima. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pykdtree.kdtree import KDTree
from scipy.spatial import cKDTree

from gimbal_vision.meshes import load_mesh, normalise
from gimbal_vision.pointclouds import chamfer_squared
from gimbal_vision.sampling import sample_surface

TARGET = 0.6
"""Ratio to scipy wanted at 100 000 points."""


def bumpy_sphere(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return points on a closed surface of diagonal about 1 with hills and valleys."""
    d = rng.normal(size=(count, 3))
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    return d * (0.25 + 0.05 * np.sin(9 * d).prod(axis=-1, keepdims=True))


def clouds(count: int, mesh: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy and a clean float32 cloud of one surface, in random order."""
    rng = np.random.default_rng(0)
    if mesh is None:
        first, second = bumpy_sphere(rng, count), bumpy_sphere(rng, count)
    else:
        surface = normalise(load_mesh(mesh))
        first, second = (sample_surface(surface, count, s, even=False).points for s in (0, 1))
    noisy = first + 0.005 * rng.normal(size=first.shape)
    return noisy.astype(np.float32), second.astype(np.float32)


def contenders(a: np.ndarray, b: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    ta, tb = (torch.from_numpy(x).requires_grad_() for x in (a, b))

    def scipy_trees() -> None:
        of_a, of_b = cKDTree(a), cKDTree(b)
        of_b.query(a, workers=2)
        of_a.query(b, workers=2)

    def pykdtree_trees() -> None:
        of_a, of_b = KDTree(a), KDTree(b)
        of_b.query(a)
        of_a.query(b)

    return {
        "scipy trees": scipy_trees,
        "pykdtree trees": pykdtree_trees,
        "ours forward": lambda: chamfer_squared(ta.detach(), tb.detach()),
        "ours forward+backward": lambda: torch.autograd.grad(chamfer_squared(ta, tb), (ta, tb)),
    }


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Time all calls in turn, `rounds` times, after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_number:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {
        name: {"min_ms": min(values), "median_ms": float(np.median(values))}
        for name, values in times.items()
    }


def main() -> None:
    """Run, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mesh", type=Path)
    arguments = parser.parse_args()
    results = {}
    print(f"{'points':>8}  {'':24}{'min ms':>9}{'median ms':>11}{'ratio to scipy':>16}")
    for count in arguments.points:
        timed = measure(contenders(*clouds(count, arguments.mesh)), arguments.rounds)
        base = timed["scipy trees"]["min_ms"]
        for name, row in timed.items():
            row["ratio"] = row["min_ms"] / base
            print(
                f"{count:8d}  {name:24}{row['min_ms']:9.1f}{row['median_ms']:11.1f}"
                f"{row['ratio']:16.2f}"
            )
        results[str(count)] = timed
    ratio = results[str(max(arguments.points))]["ours forward+backward"]["ratio"]
    summary = {
        "benchmark": "chamfer",
        "ratio": ratio,
        "target": TARGET,
        "passed": ratio <= TARGET,
        "machine": f"{platform.machine()}, torch threads {torch.get_num_threads()}",
        "versions": {name: version(name) for name in ("numpy", "scipy", "pykdtree", "torch")},
        "results": results,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
