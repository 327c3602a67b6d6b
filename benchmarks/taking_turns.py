"""Time several calls in turns, so that a change of load meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Time all calls in turn, `rounds` times, after one warm-up."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(rounds + 1):
        for name, call in calls.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            call()
            if round_number:
                wall[name].append(1e3 * (time.perf_counter() - start))
                cpu[name].append(1e3 * (time.process_time() - cpu_start))
    return {
        name: {
            "min_ms": min(wall[name]),
            "median_ms": float(np.median(wall[name])),
            "min_cpu_ms": min(cpu[name]),
        }
        for name in calls
    }
