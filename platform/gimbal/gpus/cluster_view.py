"""From the agents' reports to what is to be fenced, and where in Ray a card is.

A slot is open only if the card behind it is known to be free or ours. So a slot without a card, a
card without a report and a node whose agent never came are closed without a rule of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from gimbal.gpus.model import NodeReport, Owner
from gimbal.gpus.occupancy import HeldCard, Occupancy
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.slot_book import NodeCards
from gimbal.gpus.slots import RayNode
from gimbal.gpus.words import size
from gimbal.scheduling.model import Condition, Gpu, GpuUuid, NodeName

_OPEN = (Condition.FREE, Condition.OURS)


class ClusterView:
    """What is known of the cluster's cards. For several threads.

    Args:
        settings: Of the occupancy.
        agent_start_s: How long a new node may be without a report before it is closed.
    """

    def __init__(self, settings: OccupancySettings, agent_start_s: float) -> None:
        self._lock = threading.RLock()
        self._occupancy = Occupancy(settings)
        self._agent_start_s = agent_start_s
        self._nodes: dict[str, RayNode] = {}
        self._since: dict[str, float] = {}
        self._reports: dict[str, NodeReport] = {}
        self._silent: dict[str, str] = {}
        self._holds: tuple[HeldCard, ...] = ()
        self._quarantined: dict[GpuUuid, str] = {}

    def see_nodes(self, nodes: Sequence[RayNode], now: float) -> None:
        """Take in which nodes live."""
        with self._lock:
            alive = {node.node_id: node for node in nodes}
            for node_id in self._nodes.keys() - alive.keys():
                report = self._reports.pop(node_id, None)
                self._since.pop(node_id)
                if report is not None:
                    self._occupancy.lost(report.node, now=now, why="the node has left Ray")
            self._nodes = alive
            self._silent = {key: why for key, why in self._silent.items() if key in alive}
            for node_id in alive:
                self._since.setdefault(node_id, now)

    def see_reports(self, answers: Mapping[str, NodeReport | str], now: float) -> None:
        """Take in each node's report, or why it gave none.

        Args:
            answers: By Ray's node id.
            now: Unix seconds.
        """
        with self._lock:
            for node_id, answer in answers.items():
                if isinstance(answer, NodeReport):
                    self._see(node_id, answer, now)
                    continue
                self._silent[node_id] = answer
                if node_id in self._reports:
                    self._occupancy.lost(self._reports[node_id].node, now=now, why=answer)

    def _see(self, node_id: str, report: NodeReport, now: float) -> None:
        self._silent.pop(node_id, None)
        self._occupancy.observe(report, now=now)
        if report.ray_ids or node_id not in self._reports:
            self._reports[node_id] = report

    def set_holds(self, holds: Sequence[HeldCard]) -> None:
        """Replace the claims of people."""
        with self._lock:
            self._holds = tuple(holds)

    def set_quarantines(self, cards: Mapping[GpuUuid, str]) -> None:
        """Replace the cards nobody should use, and why."""
        with self._lock:
            self._quarantined = dict(cards)

    def gpus(self, now: float) -> tuple[Gpu, ...]:
        """Return every card."""
        with self._lock:
            return self._occupancy.snapshot(
                now=now, holds=self._holds, quarantined=self._quarantined
            )

    def node_id_of(self, name: NodeName, uuid: GpuUuid) -> str | None:
        """Return Ray's id of the node a card is in; None: no living node has it."""
        with self._lock:
            for node_id, report in self._reports.items():
                if report.node == name and any(card == uuid for _, card in report.ray_ids):
                    return node_id
            return None

    def slots_of(self, node_id: str) -> dict[str, GpuUuid]:
        """Return the card behind each slot Ray counts on a node, in Ray's order."""
        with self._lock:
            node, report = self._nodes.get(node_id), self._reports.get(node_id)
            if node is None or report is None or not report.ray_ids:
                return {}
            known = dict(report.ray_ids[: node.gpus])
            missing = [str(n) for n in range(len(known), node.gpus) if str(n) not in known]
            return known | {slot: GpuUuid("") for slot in missing}

    def to_fence(self, now: float) -> tuple[NodeCards, ...]:
        """Return what must be kept out of Ray's circulation on each living node."""
        with self._lock:
            gpus = {(gpu.node, gpu.uuid): gpu for gpu in self.gpus(now)}
            return tuple(self._node_cards(node, gpus, now) for node in self._nodes.values())

    def _node_cards(
        self, node: RayNode, gpus: Mapping[tuple[NodeName, GpuUuid], Gpu], now: float
    ) -> NodeCards:
        slots = self.slots_of(node.node_id)
        report = self._reports.get(node.node_id)
        closed: dict[str, str] = {}
        for slot, uuid in slots.items():
            gpu = gpus.get((report.node, uuid)) if report else None
            why = _why_closed(gpu) or (_leaked(report, uuid) if report else "")
            if why:
                closed[slot] = why
        return NodeCards(
            node_id=node.node_id,
            gpus=node.gpus,
            slots=tuple(slots),
            closed=closed,
            shut="" if slots else self._why_shut(node.node_id, now),
        )

    def _why_shut(self, node_id: str, now: float) -> str:
        """Return why a node without any report is closed; empty: its agent may yet come."""
        if node_id in self._reports:
            return self._reports[node_id].problem or "no card is behind any of its slots"
        silent_s = now - self._since[node_id]
        why = self._silent.get(node_id, "its agent has not reported")
        return why if silent_s > self._agent_start_s else ""


def _why_closed(gpu: Gpu | None) -> str:
    if gpu is None:
        return "Ray counts a card that the driver does not list"
    return "" if gpu.condition in _OPEN else f"{gpu.condition}: {gpu.note}"


def _leaked(report: NodeReport, uuid: GpuUuid) -> str:
    """Return why a card is closed that only a process of an ended job is on.

    Its condition is OURS, but no reservation covers it: Ray would give it to the next one.
    """
    for gpu in report.gpus:
        leaked = gpu.held_by(Owner.OWN_LEAKED) if gpu.sample.uuid == uuid else 0
        if leaked and not gpu.held_by(Owner.OWN_LIVE):
            return f"a process of an ended job still holds {size(leaked)}"
    return ""
