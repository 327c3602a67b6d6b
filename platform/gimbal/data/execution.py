"""Run shards as Ray Data tasks and hand back each block's record as soon as it is made.

The one module here that imports Ray; importing it costs more than a second.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from ray.data import DataContext

import ray
from gimbal.data.building import BlockTask
from gimbal.data.records import BlockRecord
from gimbal.data.shards import Shard
from gimbal.errors import GimbalError, StageFailed


def run_on_ray(
    task: BlockTask, shards: Sequence[Shard], place: Mapping[str, Any] | None = None
) -> Generator[tuple[int, BlockRecord], None, None]:
    """Yield `(shard index, record)` in the order in which blocks are finished.

    Args:
        task: Makes a block.
        shards: What to make blocks of.
        place: Options of the tasks instead of what the stage asks for.

    Raises:
        GimbalError: What a task reported, or that Ray could not run them.
    """
    with _quiet(), DataContext.current(_context(DataContext.get_current())):
        packed = [{"shard": pickle.dumps(shard)} for shard in shards]
        dataset = ray.data.from_items(packed, override_num_blocks=len(packed))
        asked = {"num_cpus": task.stage.num_cpus, "num_gpus": task.stage.num_gpus or None}
        built = _mapped(dataset, task, asked if place is None else place)
        try:
            for row in built.iter_rows():
                yield _unpack(row)
        except ray.exceptions.RayError as error:
            raise StageFailed(
                f"stage {task.stage.name}: Ray could not run its tasks: {_last_line(error)}",
                "start it again: finished blocks are kept; `ray status` shows the cluster",
            ) from error


def _mapped(dataset: Any, task: BlockTask, options: Mapping[str, Any]) -> Any:
    with warnings.catch_warnings():
        # Deprecated without another way to name a placement group; gone in Ray 2.64.
        warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
        return dataset.map(_runner(task), **options)


def _runner(task: BlockTask) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def build_block(row: dict[str, Any]) -> dict[str, Any]:
        shard: Shard = pickle.loads(row["shard"])
        return {"result": pickle.dumps((shard.index, task(shard)))}

    return build_block


def _unpack(row: dict[str, Any]) -> tuple[int, BlockRecord]:
    index, result = pickle.loads(row["result"])
    if isinstance(result, GimbalError):
        raise result
    return index, result


def _context(current: Any) -> Any:
    """Ray Data's options for tasks that are few, long and return next to nothing.

    Reserving a share of the cluster for each operator is meant for pipelines whose operators feed
    one another; on a small cluster it lets the single operator here run one task at a time.
    """
    context = current.copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.op_resource_reservation_enabled = False
    context.execution_options.verbose_progress = False
    return context


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Data's notes and tracebacks off the terminal; they stay in its log file."""
    logger = logging.getLogger("ray.data")
    consoles = [h for h in logger.handlers if getattr(h, "level", 0) == logging.INFO]
    levels = [handler.level for handler in consoles]
    for handler in consoles:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in zip(consoles, levels, strict=True):
            handler.setLevel(level)


def _last_line(error: BaseException) -> str:
    """The line of a remote error that says what happened; those before it are the traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
