"""What runs on every node with GPUs: samples its cards and says whose memory is on them.

It knows only its own machine. Ours are the descendants of this node's raylet, whose child this
actor is; what the cluster is to make of a card is decided in one place, by the warden.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection
from dataclasses import replace

import psutil

import ray
from gimbal.gpus.attribution import AttributionRules, attribute, needs_reports
from gimbal.gpus.backend import open_backend
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.leaks import Leaks
from gimbal.gpus.model import NodeReport, NodeSample, Owner
from gimbal.gpus.own_cards import find_card
from gimbal.gpus.processes import ProcessWatch
from gimbal.gpus.self_probe import probe_self_if_real
from gimbal.gpus.self_reports import self_reported
from gimbal.gpus.settings import OccupancySettings
from gimbal.scheduling.model import GpuUuid, NodeName

log = logging.getLogger(__name__)

NODE_VARIABLE = "GIMBAL_FAKE_NODE"
"""Names the node of a made-up lab this machine plays; several raylets of one machine need it."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class NodeAgent:
    """Reports on one node; see the module.

    Args:
        node: What people call the node.
        occupancy: How much a display server may hold.
        fence: How long a leftover process may live.
    """

    def __init__(self, node: NodeName, occupancy: OccupancySettings, fence: FenceSettings) -> None:
        self._node = NodeName(os.environ.get(NODE_VARIABLE) or node)
        self._node_id = str(ray.get_runtime_context().get_node_id())
        self._probe = open_backend().probe()
        self._raylet = find_raylet()
        self._watch = ProcessWatch([self._raylet.pid])
        self._rules = AttributionRules(system_allowance_bytes=int(occupancy.system_allowance))
        self._leaks = Leaks(fence.leak_grace_s)
        # It starts a child with torch: half a minute in which reports must go on.
        threading.Thread(target=self._probe_self, name="self-probe", daemon=True).start()

    def _probe_self(self) -> None:
        probe = open_backend().probe()
        try:
            found = probe_self_if_real(probe)
        except Exception:  # a thread's border: without the answer ids are believed
            log.exception("how the driver lists our processes could not be found out")
            return
        finally:
            probe.close()
        log.info("%s", found.words)
        self._rules = replace(self._rules, mode=found.mode)

    def report(self, freed: Collection[str] = ()) -> NodeReport:
        """Return what is on the cards now.

        Args:
            freed: Submission ids of attempts whose cards were given back: processes of theirs are
                leftovers.
        """
        sample = self._probe.sample()
        own = self._watch.own(sample)
        reports = self_reported(own.live) if needs_reports(sample, self._rules.mode) else {}
        gpus = attribute(sample, own, self._rules, reports)
        leaked = [use for gpu in gpus for use in gpu.uses if use.owner is Owner.OWN_LEAKED]
        self._leaks.end_old(leaked, freed, now=time.time())
        return NodeReport(
            node=self._node,
            node_id=self._node_id,
            at=sample.at,
            gpus=gpus,
            problem=sample.problem,
            ray_ids=ray_ids(visible_to(self._raylet), sample),
        )


def find_raylet() -> psutil.Process:
    """Return this node's raylet: the nearest ancestor of that name, else our parent."""
    parents = psutil.Process().parents()
    return next((p for p in parents if p.name() == "raylet"), parents[0])


def visible_to(process: psutil.Process) -> str | None:
    """Return the CUDA_VISIBLE_DEVICES a process was started with; None: it was not set.

    A worker's own value is no use: Ray changes it.
    """
    try:
        return process.environ().get(_VISIBLE)
    except psutil.Error:
        return None


def ray_ids(visible: str | None, sample: NodeSample) -> tuple[tuple[str, GpuUuid], ...]:
    """Return Ray's id of each card: what the list calls it, else its number in PCI bus order.

    Args:
        visible: The raylet's CUDA_VISIBLE_DEVICES. Ray's ids are its entries, in its order.
        sample: The cards.
    """
    if visible is None:
        cards = sorted(sample.gpus, key=lambda card: card.index)
        return tuple((str(number), card.uuid) for number, card in enumerate(cards))
    names = [name.strip() for name in visible.split(",") if name.strip()]
    found = [(name, find_card(name, sample)) for name in names]
    return tuple((name, card.uuid if card else GpuUuid("")) for name, card in found)
