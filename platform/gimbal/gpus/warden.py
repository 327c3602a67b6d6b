"""The one actor of a cluster that watches its GPUs and keeps Ray's accounting true.

It is detached and starts again by itself. Everything it needs to know is in placement groups, in
the key-value store of Ray's head and on the cards themselves, so nothing is lost when it dies.
One lock covers whatever touches placement groups: a reservation never meets a grab of the fence.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gimbal.gpus.claims import Claims
from gimbal.gpus.cluster_view import ClusterView
from gimbal.gpus.fence import Fence
from gimbal.gpus.fence_plan import WHOLE
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.model import NodeReport
from gimbal.gpus.occupancy import HeldCard
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.slot_book import Bundle
from gimbal.gpus.slots import CardsTaken, Memory, RayNode, Slots
from gimbal.scheduling.model import Condition, Gpu, GpuUuid, Grant

if TYPE_CHECKING:
    from gimbal.gpus.agents import Agents

log = logging.getLogger(__name__)

_STEP_S = 1.0
"""How often at least the fence is looked after between two samples: a released card is grabbed that
soon, and it costs one question to Ray's head."""
_READY_S = 3.0


class WardenNotReady(Exception):
    """The warden has just started and has not seen the cards yet; ask again."""


class Warden:
    """Watches and fences; see the module. For several threads.

    Args:
        occupancy: When a card counts as free.
        fence: How patient the fence is.
        slots: Ray's slots.
        memory: What outlives this actor.
        agents: The nodes' agents.
    """

    def __init__(
        self,
        occupancy: OccupancySettings,
        fence: FenceSettings,
        *,
        slots: Slots,
        memory: Memory,
        agents: Agents,
    ) -> None:
        self._occupancy = occupancy
        self._settings = fence
        self._slots = slots
        self._agents = agents
        self._view = ClusterView(occupancy, fence.agent_start_s)
        self._claims = Claims(memory, self._view)
        self._fence = Fence(slots, memory, fence)
        self._groups_lock = threading.RLock()
        self._agents_lock = threading.Lock()
        self._ready = threading.Event()
        self._nodes: tuple[RayNode, ...] = ()
        self._next_look = 0.0

    # The loop.

    def run(self, stop: threading.Event) -> None:
        """Watch until told to stop."""
        failures = 0
        while not stop.is_set():
            try:
                self.step()
                failures = 0
            except Exception:  # the loop's border: the next round may find Ray well again
                failures += 1
                if failures in (1, 10, 100):
                    log.exception("the warden's round failed %d times in a row", failures)
            stop.wait(min(_STEP_S, self._occupancy.sample_interval_s))

    def step(self) -> None:
        """Look at the cards if it is time to, and put the fence right."""
        if not self._ready.is_set():
            self._recover()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + self._occupancy.sample_interval_s
            self._nodes = self._slots.nodes()
            self._look(self._nodes)
        self.fence_now()
        self._ready.set()

    def _recover(self) -> None:
        with self._groups_lock:
            self._fence.recover(now=True)
        self._claims.recall()

    def _look(self, nodes: Sequence[RayNode]) -> Mapping[str, NodeReport | str]:
        with self._agents_lock:
            if nodes is self._nodes:
                self._agents.keep_only(nodes)
            answers = self._agents.gather(nodes, self._settings.report_timeout_s, self._nodes)
        now = time.time()
        self._view.see_nodes(self._nodes, now)
        self._view.see_reports(answers, now)
        return answers

    def fence_now(self) -> None:
        """Put the fence right by what is known."""
        with self._groups_lock:
            self._fence.apply(self._view.to_fence(time.time()))

    # What clients ask.

    def ping(self) -> int:
        """Return the id of the process that answers."""
        return os.getpid()

    def snapshot(self) -> tuple[Gpu, ...]:
        """Return every card.

        A card that is free, but on whose slot a Ray task that is not Gimbal's was found, is shown
        as ours: it cannot be had.

        Raises:
            WardenNotReady: The cards have not been looked at yet.
        """
        self._require_ready()
        gpus = self._view.gpus(time.time())
        taken = self._taken()
        return tuple(_in_use(gpu) if gpu.uuid in taken else gpu for gpu in gpus)

    def _taken(self) -> set[GpuUuid]:
        now = time.monotonic()
        return {
            uuid
            for node in self._nodes
            for slot, uuid in self._view.slots_of(node.node_id).items()
            if slot in self._fence.book.taken(node.node_id, now)
        }

    def reserve(self, submission_id: str, grants: Sequence[Grant]) -> tuple[tuple[str, int], ...]:
        """Take exactly these cards for an attempt; asking again gives the same.

        Returns:
            UUID and index of the card of each bundle, in the order of bundles.

        Raises:
            CardsTaken: A card is not free any more; nothing is held.
            WardenNotReady: The cards have not been looked at yet.
        """
        self._require_ready()
        with self._groups_lock:
            wanted = self._bundles(grants)
            if submission_id not in self._fence.book.reservations:
                self._look_again({bundle.node_id for bundle in wanted})
                self._require_free(wanted)
            nodes = self._view.to_fence(time.time())
            reservation = self._fence.reserve(submission_id, wanted, nodes)
        log.info("reserved %s for %s", [b.uuid for b in reservation.bundles], submission_id)
        return tuple((bundle.uuid, bundle.index) for bundle in reservation.bundles)

    def _bundles(self, grants: Sequence[Grant]) -> list[Bundle]:
        uuids = {grant.uuid for grant in grants}
        if not grants or len(uuids) < len(grants):
            raise CardsTaken("a reservation names each of its cards once")
        if len(grants) > 1 and any(grant.share < WHOLE for grant in grants):
            raise CardsTaken("only a job with one worker can share a card")
        return [self._bundle(grant) for grant in grants]

    def _bundle(self, grant: Grant) -> Bundle:
        node_id = self._view.node_id_of(grant.node, grant.uuid)
        gpu = self._gpu(grant.uuid)
        if node_id is None or gpu is None:
            label = gpu.label if gpu else f"{grant.node}: {grant.uuid}"
            raise CardsTaken(f"{label} is on no living node of Ray")
        for slot, uuid in self._view.slots_of(node_id).items():
            if uuid == grant.uuid:
                return Bundle(
                    node_id=node_id, slot=slot, share=grant.share, uuid=uuid, index=gpu.index
                )
        raise CardsTaken(f"Ray does not count the card {gpu.label}")

    def _gpu(self, uuid: str) -> Gpu | None:
        return next((gpu for gpu in self._view.gpus(time.time()) if gpu.uuid == uuid), None)

    def _look_again(self, node_ids: set[str]) -> None:
        answers = self._look([node for node in self._nodes if node.node_id in node_ids])
        for answer in answers.values():
            if isinstance(answer, str):
                raise CardsTaken(answer)

    def _require_free(self, wanted: Sequence[Bundle]) -> None:
        for bundle in wanted:
            gpu = self._gpu(bundle.uuid)
            held = self._fence.book.share_of(bundle.node_id, bundle.slot)
            if gpu is None or held + bundle.share > 1.0001:
                raise CardsTaken(f"{gpu.label if gpu else bundle.uuid} is reserved already")
            shared = held > 0 and gpu.condition is Condition.OURS
            if gpu.condition is not Condition.FREE and not shared:
                raise CardsTaken(f"{gpu.label} is {gpu.condition}: {gpu.note}")

    def free(self, submission_id: str) -> None:
        """Let go of an attempt's cards; unknown names are ignored."""
        self._require_ready()
        with self._groups_lock:
            self._fence.free(submission_id)
        self._agents.freed.append(submission_id)

    def reservations(self) -> tuple[str, ...]:
        """Return the submission ids that hold cards."""
        self._require_ready()
        return tuple(self._fence.book.reservations)

    def set_holds(self, holds: Sequence[HeldCard]) -> None:
        """Replace the claims of people."""
        self._claims.set_holds(holds)

    def set_quarantines(self, cards: Mapping[GpuUuid, str]) -> None:
        """Replace the cards nobody should use until a person releases them, and why."""
        self._claims.set_quarantines(cards)

    def end_agents(self) -> None:
        """End the agents, for a successor with other settings or newer code."""
        with self._agents_lock:
            self._agents.end_all()

    def _require_ready(self) -> None:
        if not self._ready.wait(_READY_S):
            raise WardenNotReady("the warden has just started and has not seen the cards yet")


def _in_use(gpu: Gpu) -> Gpu:
    if gpu.condition is not Condition.FREE:
        return gpu
    note = "Ray has given it to a task that is not Gimbal's"
    return replace(gpu, condition=Condition.OURS, note=note)
