"""What people and the service say of cards, kept for the warden's successor.

The truth is in the service's store, which is told again every second or so. What was heard last is
kept beside Ray's groups, so that a warden that starts while the service is down closes what the one
before it had closed.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from gimbal.gpus.cluster_view import ClusterView
from gimbal.gpus.occupancy import HeldCard
from gimbal.gpus.slots import Memory
from gimbal.scheduling.model import GpuUuid

log = logging.getLogger(__name__)

_HOLDS = "holds"
_QUARANTINES = "quarantine"


class Claims:
    """Passes on what is said of cards, and keeps it. For several threads.

    Args:
        memory: Where it is kept.
        view: Who is told.
    """

    def __init__(self, memory: Memory, view: ClusterView) -> None:
        self._memory, self._view = memory, view
        self._lock = threading.Lock()
        self._kept: dict[str, str] = {}

    def recall(self) -> None:
        """Pass on what was kept, where nothing newer has been heard already."""
        with self._lock:
            for key in (_HOLDS, _QUARANTINES):
                text = None if key in self._kept else self._memory.get(key)
                if text is not None:
                    self._recall(key, text)

    def _recall(self, key: str, text: str) -> None:
        try:
            self._tell(key, text)
        except (ValueError, TypeError, AttributeError):  # another version's; the service tells soon
            log.warning("the %s that were kept cannot be read: %.200s", key, text)
        else:
            self._kept[key] = text

    def set_holds(self, holds: Sequence[HeldCard]) -> None:
        """Replace the claims of people."""
        self._hear(_HOLDS, json.dumps([asdict(hold) for hold in holds]))

    def set_quarantines(self, cards: Mapping[GpuUuid, str]) -> None:
        """Replace the cards nobody should use, and why."""
        self._hear(_QUARANTINES, json.dumps(dict(cards)))

    def _hear(self, key: str, text: str) -> None:
        with self._lock:
            if self._kept.get(key) == text:
                return
            self._tell(key, text)
            self._memory.put(key, text)
            self._kept[key] = text

    def _tell(self, key: str, text: str) -> None:
        said = json.loads(text)
        if key == _HOLDS:
            self._view.set_holds([HeldCard(**hold) for hold in said])
        else:
            self._view.set_quarantines({GpuUuid(uuid): why for uuid, why in said.items()})
