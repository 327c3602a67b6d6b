"""Fill a tree with made scenarios, on as many processes as there are cores."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker

from gimbal_multicar.errors import SynthesisError
from gimbal_multicar.synthesis.tree import Tree, claim, require_space
from gimbal_multicar.synthesis.writing import write_car_frames
from gimbal_vision.rendering.parallel import default_threads

Task = tuple[int, str, tuple[str, ...]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was done.

    Attributes:
        car_frames: How many the tree has.
        kept: How many of them were there before.
        estimated_bytes: Space that the others were expected to take.
        seconds: How long it took.
    """

    car_frames: int
    kept: int
    estimated_bytes: int
    seconds: float


def make_tree(tree: Tree, progress: Progress, processes: int | None = None) -> Made:
    """Make what a tree does not hold yet.

    Args:
        tree: Where and what.
        progress: Called with (car-frames finished, car-frames of the tree).
        processes: At most this many; by default one a core.

    Raises:
        SynthesisError: The folder holds something else, or a process was killed.
        StorageError: The disk is too small, or a file cannot be written.
    """
    began = time.monotonic()
    claim(tree.root, tree.options)
    tasks = list(tree.open_tasks())
    total = tree.options.scenarios * tree.options.frames * tree.options.agents
    missing = sum(len(agents) for _, _, agents in tasks)
    space = require_space(tree, missing)
    done = kept = total - missing
    progress(done, total)
    for finished in _finished(tree, tasks, processes or default_threads()):
        done += finished
        progress(done, total)
    return Made(
        car_frames=total,
        kept=kept,
        estimated_bytes=space,
        seconds=time.monotonic() - began,
    )


def _finished(tree: Tree, tasks: list[Task], processes: int) -> Iterator[int]:
    """Give the number of car-frames of each task as it is finished."""
    if min(processes, len(tasks)) <= 1:
        for task in tasks:
            yield write_car_frames(tree, *task)
        return
    try:
        with _pool(min(processes, len(tasks))) as pool:
            with _interrupts_held():
                futures = [pool.submit(write_car_frames, tree, *task) for task in tasks]
            for future in as_completed(futures):
                yield future.result()
    except BrokenExecutor as error:
        raise SynthesisError(
            "a process that makes images was killed, perhaps for lack of memory",
            "free some memory, or use smaller images, and run the same command again: it continues",
        ) from error


@contextlib.contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Give fresh processes; when the block is left by an error, what waits is not begun."""
    pool = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_begin_worker
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait, so that processes begun meanwhile are never told of it.

    They inherit the mask; a handler of their own would come only after a second of imports.
    """
    resource_tracker.ensure_running()  # its start would let Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and the other cores to the other processes."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
