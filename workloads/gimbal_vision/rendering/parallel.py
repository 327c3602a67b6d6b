"""Share independent pieces of work among a few threads that release the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Workspace = TypeVar("Workspace")


def default_threads() -> int:
    """Return how many threads this process may use.

    The cores it is allowed on, or OMP_NUM_THREADS where that is smaller: Ray sets it to the CPUs a
    task was given, so that four tasks on four cores do not start sixteen threads.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    limit = int(wanted) if wanted.isdigit() and int(wanted) > 0 else None
    return max(1, min(cores or 1, limit or cores or 1))


def row_bands(views: int, height: int, threads: int) -> list[tuple[int, int, int]]:
    """Cut views into bands of rows such that all threads have about the same to do.

    Each band repeats the set-up of the whole mesh, so there are as few as can be.

    Returns:
        (view, first row, row after the last) in order.
    """
    bands = 1
    if views and views < 4 * threads:
        bands = next(b for b in range(1, threads + 1) if views * b % threads == 0)
    bands = min(bands, height)
    edges = [height * b // bands for b in range(bands + 1)]
    return [(n, edges[b], edges[b + 1]) for n in range(views) for b in range(bands)]


def run(
    items: Iterable[Item],
    work: Callable[[Item, Workspace], None],
    workspace: Callable[[], Workspace],
    threads: int,
) -> None:
    """Call `work(item, workspace)` for every item, the next one going to whoever is free.

    Args:
        items: What to work on.
        work: Must release the GIL for most of its time.
        workspace: Makes the scratch memory of one thread; reused for all its items.
        threads: At most this many at once, this one included.
    """
    pending = list(items)
    threads = min(threads, len(pending))
    queue = iter(pending)

    def drain() -> None:
        mine = workspace()
        for item in queue:
            work(item, mine)

    if threads <= 1:
        drain()
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(drain) for _ in range(threads - 1)]
        drain()
        for other in others:
            other.result()
