"""Keeps one agent alive on every node with GPUs, and asks them all at once."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import ray
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.model import NodeReport
from gimbal.gpus.node_agent import NodeAgent
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.slots import RayNode
from gimbal.scheduling.model import NodeName

log = logging.getLogger(__name__)

NAMESPACE = "gimbal"
AGENT_PREFIX = "gimbal-agent:"
_FREED_KEPT = 500


def node_name(node: RayNode, nodes: Sequence[RayNode]) -> NodeName:
    """Return what people call a node: its label, else its host, made unique by Ray's id.

    Only nodes that share a host name need the id; a label is believed to be unique.
    """
    if node.label:
        return NodeName(node.label)
    same_host = [other for other in nodes if other.host == node.host and not other.label]
    return NodeName(node.host if len(same_host) == 1 else f"{node.host}-{node.node_id[:6]}")


class Agents:
    """The agents of a cluster. Not for several threads at once.

    Args:
        occupancy: Given to each agent.
        fence: Given to each agent.

    Attributes:
        freed: Attempts whose cards were given back lately; agents end what these left behind.
    """

    def __init__(self, occupancy: OccupancySettings, fence: FenceSettings) -> None:
        self._occupancy = occupancy
        self._fence = fence
        self.freed: deque[str] = deque(maxlen=_FREED_KEPT)
        self._handles: dict[str, Any] = {}
        self._asked: dict[str, tuple[Any, float]] = {}

    def gather(
        self, nodes: Sequence[RayNode], timeout_s: float, every: Sequence[RayNode] = ()
    ) -> Mapping[str, NodeReport | str]:
        """Return the report of each node, or why there is none.

        Args:
            nodes: The nodes to ask.
            timeout_s: How long to wait for the slowest.
            every: All nodes of the cluster, by which a new agent is named; none: `nodes`.
        """
        late = {n.node_id: at for n in nodes if (at := self._late(n.node_id)) is not None}
        for node in nodes:
            if node.node_id not in self._asked:
                self._ask(node, node_name(node, every or nodes))
        # Who owes an answer from earlier is not waited for again: it would hold up everybody.
        asked = [n.node_id for n in nodes if n.node_id in self._asked and n.node_id not in late]
        refs = [self._asked[node_id][0] for node_id in asked]
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=timeout_s)
        return {node.node_id: self._answer(node.node_id, late) for node in nodes}

    def _late(self, node_id: str) -> float | None:
        """Return since when an agent owes an answer from an earlier round."""
        return self._asked[node_id][1] if node_id in self._asked else None

    def _ask(self, node: RayNode, name: NodeName) -> None:
        handle = self._handles.get(node.node_id)
        try:
            if handle is None:
                handle = self._handles[node.node_id] = self._start(node, name)
            self._asked[node.node_id] = (handle.report.remote(tuple(self.freed)), time.monotonic())
        except (ray.exceptions.RayError, ValueError) as error:
            log.warning("the agent of %s cannot be started: %s", name, error)

    def _start(self, node: RayNode, name: NodeName) -> Any:
        actor = ray.remote(NodeAgent).options(
            name=AGENT_PREFIX + node.node_id,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False),
        )
        return actor.remote(name, self._occupancy, self._fence)

    def _answer(self, node_id: str, late: Mapping[str, float]) -> NodeReport | str:
        if node_id not in self._asked:
            return "its agent cannot be started"
        ref, asked_at = self._asked[node_id]
        try:
            report: NodeReport = ray.get(ref, timeout=0)
        except ray.exceptions.GetTimeoutError:
            return f"its agent has not answered for {time.monotonic() - asked_at:.0f} s"
        except ray.exceptions.RayError as error:
            self._forget(node_id)
            return f"its agent failed: {(str(error).splitlines() or [''])[0]}"
        del self._asked[node_id]
        if node_id in late:  # what it saw when it was asked is old news by now
            return "its agent answered too late"
        return report

    def _forget(self, node_id: str) -> None:
        self._asked.pop(node_id, None)
        self._handles.pop(node_id, None)

    def keep_only(self, nodes: Sequence[RayNode]) -> None:
        """End the agents of nodes that have left."""
        alive = {node.node_id for node in nodes}
        self._end(lambda node_id: node_id not in alive)

    def end_all(self) -> None:
        """End every agent."""
        self._end(lambda node_id: True)

    def _end(self, which: Callable[[str], bool]) -> None:
        for node_id in [node_id for node_id in self._handles if which(node_id)]:
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.kill(self._handles[node_id])
            self._forget(node_id)
