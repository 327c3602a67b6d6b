"""Taking a card: only one that was granted, only with room, and at once.

What is only looked at can be gone a moment later, so the memory is reserved and not just counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from dataclasses import dataclass

from gimbal.errors import ConfigError
from gimbal.experiment.attempt import GpuContended, GrantFile
from gimbal.gpus.backend import GpuBackend
from gimbal.gpus.model import GpuSample, NodeSample
from gimbal.gpus.own_cards import find_card, holders, used_by_others
from gimbal.gpus.ports import GpuMemory
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.words import MIB, size

logger = logging.getLogger(__name__)

_POLL_S = 0.25
_OWN_PATIENCE_S = 30.0
"""How long to wait for a worker of this node's Ray to end: that of the stage before, or of a group
that is being started anew, gives its memory back only with its process."""
_CONTEXT_BYTES = 512 * MIB
"""What is not reserved of what a card has left: a CUDA context with the workspaces of its libraries
takes about that outside of torch's allocator."""
_REMEDY = (
    "wait until it is free, lower resources.gpu_memory, or let `gimbal submit` find a free GPU: "
    "the run goes on from its last checkpoint"
)
_OUT_OF_MEMORY = re.compile(
    r"out of memory|alloc_?failed|not_?initialized|memory allocation|busy or unavailable", re.I
)


@dataclass(frozen=True, kw_only=True)
class CardToTake:
    """A card a worker is about to take.

    Attributes:
        card: As it was seen.
        label: `NODE:INDEX`.
        backend: Where it is.
        tolerated_bytes: Memory of others with which the card still counts as clean.
    """

    card: GpuSample
    label: str
    backend: GpuBackend
    tolerated_bytes: int

    def require_granted(self, grant: GrantFile | None) -> None:
        """Refuse a card that was not chosen for this job."""
        granted = grant.gpus if grant else ()
        if not granted or any(gpu.uuid == self.card.uuid for gpu in granted):
            return
        names = ", ".join(f"{gpu.node}:{gpu.index} ({gpu.uuid})" for gpu in granted)
        raise GpuContended(
            f"Ray gave this worker GPU {self.label} ({self.card.uuid}), granted were {names}",
            "nothing to mend: the job service gives the job new cards",
        )

    def take(self, budget: int | None, patience_s: float, *, least: int) -> tuple[GpuMemory, int]:
        """Take the card with its budget now, or say within seconds who is in the way.

        Args:
            budget: Bytes to reserve; None: nothing, as it is not known what the worker needs.
            patience_s: How long to wait for room.
            least: How much of the budget is a promise. The rest was measured once: on a card that
                is clean, what it has left must do.

        Returns:
            The card and what is reserved on it.

        Raises:
            GpuContended: There is not the room.
            ConfigError: The card is too small.
        """
        try:
            memory = self.backend.memory(self.card.uuid)
            held = 0 if budget is None else self._reserve(memory, budget, least, patience_s)
            return memory, held
        except RuntimeError as error:  # a full card refuses even the first touch
            if not _OUT_OF_MEMORY.search(str(error)):
                raise
            raise self.contended(budget) from error

    def _reserve(self, memory: GpuMemory, budget: int, least: int, patience_s: float) -> int:
        _, total = memory.room()
        needed = max(least, min(budget, total - self.tolerated_bytes - _CONTEXT_BYTES))
        if needed > total:
            raise ConfigError(
                f"GPU {self.label} has {size(total)}, the run wants {size(needed)} on it",
                "lower resources.gpu_memory, or use larger cards",
            )
        began = time.monotonic()
        while True:
            late = self._too_late(began, patience_s)  # before measuring: they may be gone by then
            free, _ = memory.room()
            if free >= needed:
                break
            if late:
                raise self.contended(needed, free)
            time.sleep(_POLL_S)
        held = max(least, min(budget, free - _CONTEXT_BYTES))
        memory.reserve(held)
        return held

    def require_clean(self, patience_s: float) -> None:
        """Refuse a card that somebody else is on.

        Raises:
            GpuContended: Naming who.
        """
        began, card = time.monotonic(), self.card
        while self._foreign(card):
            late = self._too_late(began, patience_s)
            card = find_card(self.card.uuid, look(self.backend)) or self.card
            if late and self._foreign(card):
                raise self.contended(None)
            time.sleep(_POLL_S)

    def _too_late(self, began: float, patience_s: float) -> bool:
        """Return whether to stop waiting for room: later where our own leave it."""
        since_s = time.monotonic() - began
        if since_s < patience_s or since_s > _OWN_PATIENCE_S:
            return since_s >= patience_s
        card = find_card(self.card.uuid, look(self.backend))
        return card is None or not _siblings_on(card)

    def warn_of_others(self) -> None:
        """Say who else is on the card; without a stated need nothing can be refused."""
        if others := self._foreign(self.card):
            logger.warning(
                "GPU %s: %s are in use already; %s. State resources.gpu_memory to be told at the "
                "start whether the rest suffices",
                self.label,
                size(others),
                holders(self.card, own_pids()),
            )

    def contended(self, budget: int | None, free: int | None = None) -> GpuContended:
        """Return the error that says what is free, what is needed and who has the rest."""
        card = find_card(self.card.uuid, look(self.backend)) or self.card
        if free is None and card.total_bytes is not None and card.used_bytes is not None:
            free = card.total_bytes - card.reserved_bytes - card.used_bytes
        room = "an unknown amount" if free is None else size(max(0, free))
        need = "a clean card" if budget is None else size(budget)
        words = f"GPU {self.label}: {room} free, {need} needed; {holders(card, own_pids())}"
        return GpuContended(words, _REMEDY)

    def _foreign(self, card: GpuSample) -> int:
        """Return what others hold on a card, 0 where it is too little to matter."""
        others = used_by_others(card, own_pids())
        return others if others > self.tolerated_bytes else 0


def tolerated_bytes(grant: GrantFile | None) -> int:
    """Return how much of others the service takes a card with; without one, the defaults.

    The worker must not be stricter: it would refuse what it is given again and again.
    """
    said = grant.tolerated_bytes if grant else None
    return OccupancySettings().tolerated_bytes if said is None else said


def _siblings_on(card: GpuSample) -> bool:
    """Return whether another worker of this node's Ray is on a card: a child of our parent."""
    import psutil

    for use in card.processes or ():
        with contextlib.suppress(psutil.Error):
            if use.pid != os.getpid() and psutil.Process(use.pid).ppid() == os.getppid():
                return True
    return False


def look(backend: GpuBackend) -> NodeSample:
    """Return one sample of this machine's cards."""
    with contextlib.closing(backend.probe()) as probe:
        return probe.sample()


def own_pids() -> frozenset[int]:
    """Return the ids of this process and everything it has started."""
    import psutil

    me = psutil.Process()
    with contextlib.suppress(psutil.Error):
        return frozenset((me.pid, *(child.pid for child in me.children(recursive=True))))
    return frozenset((me.pid,))
