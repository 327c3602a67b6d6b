"""The stage of panoramas against a warm two-process pool that reads and writes the same.

Both read YAML, four 800 x 600 images and their depth of each car and moment of a made set, fuse
them (warp by depth, 1008 x 168) and write Arrow files of the same columns and arrays. The pool is
what one would write by hand with `multiprocessing`: no hashes, statistics, manifest or resuming.
Both are started, and their tables and kernels made, before the clock runs; rounds alternate and the
best counts.

    python benchmarks/panorama_stage.py [--root made] [--repeats 3] [--rounds 3]
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_multicar.config import DataSettings
from gimbal_multicar.stages.panoramas import PanoramasStage, panoramas_stage

PROCESSES, ITEMS_PER_BLOCK = 2, 4


@dataclass(frozen=True, kw_only=True)
class RepeatedStage(PanoramasStage):
    """The stage with every car and moment several times, so that a small set lasts."""

    repeats: int = 1

    def items(self, inputs: Any) -> list[dict[str, Any]]:
        """Each item `repeats` times."""
        return [
            {**item, "id": f"{item['id']}#{turn}"}
            for turn in range(self.repeats)
            for item in super(RepeatedStage, self).items(inputs)
        ]


def stage_of(root: Path, cache: Path, repeats: int) -> RepeatedStage:
    """Return the stage of a set."""
    made = panoramas_stage(DataSettings(root=root, cache_dir=cache), seed=0)
    same = {field.name: getattr(made, field.name) for field in fields(made)}
    return RepeatedStage(**(same | {"repeats": repeats, "items_per_block": ITEMS_PER_BLOCK}))


@functools.cache
def _worker_stage(root: Path, cache: Path) -> RepeatedStage:
    return stage_of(root, cache, 1)


def write_by_hand(
    job: tuple[int, Sequence[Mapping[str, Any]], Path, Path, str],
) -> tuple[int, float]:
    """One pool task: the same rows into the same kind of file; returns rows and CPU seconds."""
    import pyarrow as pa

    from gimbal.data.arrow import arrow_schema, fixed_array, ragged_array, text_array

    started = time.process_time()
    index, items, root, cache, folder = job
    stage = _worker_stage(root, cache)
    rows = [row for item in items for row in stage.rows(item, {})]
    arrays = []
    for column in stage.schema:
        values = [row[column.name] for row in rows]
        if not column.is_numeric:
            arrays.append(text_array(column, values))
        elif column.is_ragged:
            arrays.append(ragged_array(column, [np.asarray(v, column.dtype) for v in values]))
        else:
            arrays.append(fixed_array(column, np.stack(values).astype(column.dtype, copy=False)))
    batch = pa.record_batch(arrays, schema=arrow_schema(stage.schema))
    with pa.ipc.new_file(f"{folder}/{index:05d}.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    return len(rows), time.process_time() - started


def run_pool(pool: Any, stage: RepeatedStage, cache: Path, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the warm pool."""
    started = time.perf_counter()
    items, root = stage.items({}), stage.root
    jobs = [
        (k, items[start : start + ITEMS_PER_BLOCK], root, cache, str(folder))
        for k, start in enumerate(range(0, len(items), ITEMS_PER_BLOCK))
    ]
    done = list(pool.imap_unordered(write_by_hand, jobs))
    if sum(rows for rows, _ in done) != len(items):
        raise RuntimeError("the pool lost rows")
    return time.perf_counter() - started, sum(cpu_s for _, cpu_s in done)


def run_stage(stage: RepeatedStage, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the stage on a running Ray."""
    from gimbal.data.writing import write_stage

    metrics = write_stage(stage, {}, folder)
    if metrics["skipped"]:
        raise RuntimeError(f"{metrics['skipped']} car-frames could not be read")
    return metrics["wall_s"], metrics["cpu_s"]


def made_set(root: Path) -> Path:
    """Make a small set of full-size images: 24 car-frames."""
    from gimbal_multicar.synthesis.making import make_tree
    from gimbal_multicar.synthesis.tree import Tree, TreeOptions, rig_from

    options = TreeOptions(scenarios=3, agents=2, frames=4)
    make_tree(Tree(root=root, options=options, rig=rig_from(options, None)), lambda *_: None)
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="a set; none: a small one is made")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    import ray

    found: dict[str, list[tuple[float, float]]] = {"pool": [], "stage": []}
    with (
        tempfile.TemporaryDirectory() as place,
        multiprocessing.get_context("spawn").Pool(PROCESSES) as pool,
    ):
        scratch = Path(place)
        root = (asked.root or made_set(scratch / "set")).absolute()
        cache = scratch / "cache"
        ray.init(num_cpus=PROCESSES, include_dashboard=False, log_to_driver=False)
        for turn in range(asked.rounds + 1):
            stage = stage_of(root, cache, asked.repeats if turn else 1)
            for name, done in found.items():
                folder = scratch / f"{name}-{turn}"
                folder.mkdir()
                pooled = functools.partial(run_pool, pool, stage, cache)
                done.append(pooled(folder) if name == "pool" else run_stage(stage, folder))
        ray.shutdown()
        items = len(stage.items({}))
    report({name: done[1:] for name, done in found.items()}, items)


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
