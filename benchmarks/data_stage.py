"""A data stage against a warm two-process pool that does the same work and writes the same files.

The work is numpy alone: depth, normals and colours of a few spheres from 16 sides, about a quarter
of a second and 2.8 MB an item. The pool is what one would write by hand with `multiprocessing`: no
hashes, statistics, manifest or resuming. Both are started and warmed up before the clock runs;
rounds alternate and the best counts.

    python benchmarks/data_stage.py [--items 80] [--processes 2]
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from gimbal.data import BlockSchema, Column, DataStage

VIEWS, SIZE, STEPS, ITEMS_PER_BLOCK = 16, 96, 8, 4
COLUMNS = {
    "depth": ("float32", (VIEWS, SIZE, SIZE)),
    "normal": ("float32", (VIEWS, SIZE, SIZE, 3)),
    "rgb": ("uint8", (VIEWS, SIZE, SIZE, 3)),
}


def render(seed: int) -> dict[str, np.ndarray]:
    """Sphere-trace a union of spheres from `VIEWS` sides."""
    rng = np.random.default_rng(seed)
    centres, radii = rng.uniform(-0.4, 0.4, (6, 3)), rng.uniform(0.1, 0.3, 6)
    grid = np.linspace(-0.8, 0.8, SIZE)
    x, y = np.meshgrid(grid, grid)
    depth, normal = [], []
    for angle in np.linspace(0, 2 * np.pi, VIEWS, endpoint=False):
        c, s = np.cos(angle), np.sin(angle)
        forward, right = np.array([-c, -s, 0]), np.array([-s, c, 0])
        eye = -2 * forward + x[..., None] * right + y[..., None] * np.array([0, 0, 1.0])
        t = np.zeros((SIZE, SIZE))
        for _ in range(STEPS):
            points = eye + t[..., None] * forward
            t += np.min(
                [
                    np.linalg.norm(points - p, axis=-1) - r
                    for p, r in zip(centres, radii, strict=True)
                ],
                0,
            )
        points = eye + t[..., None] * forward
        gaps = np.stack(
            [np.linalg.norm(points - p, axis=-1) - r for p, r in zip(centres, radii, strict=True)]
        )
        away = points - centres[gaps.argmin(0)]
        hit = gaps.min(0) < 1e-2
        depth.append(np.where(hit, t, 0))
        normal.append(
            np.where(hit[..., None], away / np.linalg.norm(away, axis=-1, keepdims=True), 0)
        )
    normals = np.stack(normal).astype(np.float32)
    return {
        "depth": np.stack(depth).astype(np.float32),
        "normal": normals,
        "rgb": ((normals + 1) * 127.5).astype(np.uint8),
    }


class Spheres(BaseModel):
    """How many items."""

    items: int


@dataclass(frozen=True, kw_only=True)
class SphereStage(DataStage):
    """The work as a data stage."""

    settings: Spheres

    @property
    def schema(self) -> BlockSchema:
        """Depth, normals and colours."""
        return BlockSchema(tuple(Column(n, d, s) for n, (d, s) in COLUMNS.items()))

    def items(self, inputs: Any) -> Sequence[dict[str, Any]]:
        """One item a seed."""
        return [{"id": str(i), "seed": i} for i in range(self.settings.items)]

    def rows(self, item: Mapping[str, Any], inputs: Any) -> Iterator[dict[str, np.ndarray]]:
        """One row an item."""
        yield render(item["seed"])


def write_by_hand(job: tuple[int, Sequence[int], str]) -> tuple[int, float]:
    """One pool task: the same rows into the same kind of file; returns rows and CPU seconds."""
    started = time.process_time()
    index, seeds, folder = job
    rows = [render(seed) for seed in seeds]
    arrays = {
        name: pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack([row[name] for row in rows]))
        for name in COLUMNS
    }
    batch = pa.record_batch(arrays)
    with pa.ipc.new_file(f"{folder}/{index:05d}.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    return len(rows), time.process_time() - started


def run_pool(pool: Any, items: int, folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of the warm pool."""
    jobs = [
        (k, range(start, min(start + ITEMS_PER_BLOCK, items)), folder)
        for k, start in enumerate(range(0, items, ITEMS_PER_BLOCK))
    ]
    started = time.perf_counter()
    done = list(pool.imap_unordered(write_by_hand, jobs))
    assert sum(rows for rows, _ in done) == items
    return time.perf_counter() - started, sum(cpu_s for _, cpu_s in done)


def run_stage(items: int, folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of the stage on a running Ray."""
    from gimbal.data.writing import write_stage

    stage = SphereStage(
        name="spheres", settings=Spheres(items=items), items_per_block=ITEMS_PER_BLOCK
    )
    metrics = write_stage(stage, {}, folder)
    return metrics["wall_s"], metrics["cpu_s"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=80)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    import ray

    found: dict[str, list[tuple[float, float]]] = {"pool": [], "stage": []}
    with (
        tempfile.TemporaryDirectory() as scratch,
        multiprocessing.get_context("spawn").Pool(asked.processes) as pool,
    ):
        ray.init(num_cpus=asked.processes, include_dashboard=False, log_to_driver=False)
        for turn in range(asked.rounds + 1):
            items = asked.items if turn else ITEMS_PER_BLOCK * asked.processes
            for name, done in found.items():
                folder = Path(scratch, f"{name}-{turn}")
                folder.mkdir()
                run = functools.partial(run_pool, pool) if name == "pool" else run_stage
                done.append(run(items, str(folder)))
        ray.shutdown()
    report({name: done[1:] for name, done in found.items()}, asked.items)


def report(found: dict[str, list[tuple[float, float]]], items: int) -> None:
    """Print a table and, last, one JSON object; the best round counts."""
    result: dict[str, Any] = {"items": items}
    for name, rounds in found.items():
        wall, cpu = min(w for w, _ in rounds), min(c for _, c in rounds)
        result[name] = {"items_per_s": items / wall, "cpu_s_per_item": cpu / items}
        spread = ", ".join(f"{w:.1f}" for w, _ in rounds)
        print(f"{name:>6}  {items / wall:6.2f} items/s  {cpu / items:.3f} CPU s/item  ({spread} s)")
    for field in ("items_per_s", "cpu_s_per_item"):
        result[f"stage_over_pool_{field}"] = result["stage"][field] / result["pool"][field]
        print(f"{field:>16}: stage / pool = {result[f'stage_over_pool_{field}']:.3f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
