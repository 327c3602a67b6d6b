"""Keeps a worker process of the warden's warm on every node.

Which card a placement group got is told by a task in it. With a process at hand that takes 3 ms,
else one to ten seconds, added to the start of every job; and on a full node Ray ends a process that
has been idle for a second. So each is given nothing to do twice in that time.

That helps only while the driver lives that started the warden: afterwards Ray ends each of its
processes after one task. The next service then replaces the warden by one of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import ray
from gimbal.gpus.slots import RayNode

log = logging.getLogger(__name__)

_EVERY_S = 0.5
_ASK_EVERY = 20
"""Rounds after which it is asked again whether that driver lives."""
_NODES = 32
"""In a larger cluster that would be too many tasks for one actor; there processes start cold."""


def driver_lives() -> bool:
    """Return whether the driver that this actor goes back to is still connected to Ray."""
    own = ray.get_runtime_context().get_job_id()
    state: Any = ray._private.state
    return any(job["JobID"] == own and not job["IsDead"] for job in state.jobs())


def _nothing() -> None:
    """Run on a worker, and leave it warm."""


def keep_warm(nodes: Callable[[], Sequence[RayNode]], stop: threading.Event) -> None:
    """Give every node's worker nothing to do again and again, until told to stop.

    Args:
        nodes: Returns the nodes.
        stop: Ends it.
    """
    warmer = _Warmer()
    round_number = 0
    lives = False
    while not stop.wait(_EVERY_S):
        try:
            if round_number % _ASK_EVERY == 0:
                lives = driver_lives()
            if lives:
                warmer.warm([node.node_id for node in nodes()][:_NODES])
        except Exception:  # a thread's border: a cold process costs seconds, nothing else
            log.warning("worker processes could not be kept warm", exc_info=True)
        round_number += 1


class _Warmer:
    """Never has more than one task on the way to a node."""

    def __init__(self) -> None:
        self._task: Any = ray.remote(_nothing)
        self._pending: dict[str, Any] = {}

    def warm(self, node_ids: Sequence[str]) -> None:
        refs = list(self._pending.values())
        late = set(ray.wait(refs, num_returns=len(refs), timeout=0)[1]) if refs else set()
        self._pending = {key: ref for key, ref in self._pending.items() if ref in late}
        for node_id in node_ids:
            if node_id not in self._pending:
                where = NodeAffinitySchedulingStrategy(node_id, soft=False)
                task = self._task.options(num_cpus=0, max_retries=0, scheduling_strategy=where)
                self._pending[node_id] = task.remote()
