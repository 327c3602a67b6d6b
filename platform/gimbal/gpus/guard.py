"""A worker's first act: is the card the right one, and is there room on it?

A neighbour that takes the card between the decision to start and the start itself is met here,
within seconds, and not minutes later in the middle of a checkpoint or of the first backward pass.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gimbal.errors import ConfigError
from gimbal.experiment.attempt import AttemptFolder, GpuContended, GrantFile, WorkerFile
from gimbal.gpus.backend import BACKEND_VARIABLE, open_backend
from gimbal.gpus.model import GpuSample, NodeSample
from gimbal.gpus.own_cards import as_uuids, find_card, unknown, used_by
from gimbal.gpus.ports import GpuMemory
from gimbal.gpus.taking import CardToTake, look, own_pids, tolerated_bytes
from gimbal.scheduling.model import GpuUuid

logger = logging.getLogger(__name__)

_PATIENCE_S = 5.0
"""How long memory may take to come back from a process that has just ended."""


class WorkerPlace(Protocol):
    """What the guard must know of its worker; a `training.hooks.WorkerContext` is one."""

    @property
    def rank(self) -> int:
        """The worker's number."""
        ...

    @property
    def gpu_ids(self) -> tuple[str, ...]:
        """Ray's names of its GPUs."""
        ...


@dataclass
class GpuGuard:
    """Checks and reserves a worker's cards, then measures them; a worker hook by its shape.

    Attributes:
        budget_bytes: Memory the run states it needs on each card; None: not stated.
        attempt: Folder of the service's attempt this run is; None: nobody submitted it.
        patience_s: How long to wait for room before giving up.
    """

    budget_bytes: int | None = None
    attempt: str | None = None
    patience_s: float = _PATIENCE_S
    _rank: int = 0
    _reserved: int = 0
    _uuids: tuple[GpuUuid, ...] = ()
    _held: dict[GpuUuid, GpuMemory] = field(default_factory=dict, repr=False)

    def __call__(self, context: WorkerPlace) -> None:
        """Do all of it; without a GPU, nothing.

        Raises:
            GpuContended: A card is not one that was granted, or has not the room.
            ConfigError: The run states that it needs more than the card has.
        """
        if not context.gpu_ids:
            return
        self._rank = context.rank
        # Ray's numbers are NVML's; CUDA's own order is another. CUDA reads both variables once.
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        backend, grant = open_backend(), self._grant()
        sample = look(backend)
        cards = _own(context.gpu_ids, sample, grant)
        if not cards:
            return
        listed = os.environ.get("CUDA_VISIBLE_DEVICES")
        if listed:
            os.environ["CUDA_VISIBLE_DEVICES"] = as_uuids(listed, sample)
        budget = _budget(self.budget_bytes, grant)
        self._uuids = tuple(card.uuid for card in cards)
        for card in cards:
            place = CardToTake(
                card=card,
                label=_label(card, grant),
                backend=backend,
                tolerated_bytes=tolerated_bytes(grant),
            )
            place.require_granted(grant)
            try:
                self._held[card.uuid] = self._taken(place, budget, grant)
            except ConfigError as error:
                if grant is not None or budget is not None:
                    raise
                # Such as a torch without CUDA on a machine with GPUs: nobody asked for one.
                logger.warning("nothing is measured on GPU %s: %s", place.label, error.message)
        self.report()

    def _grant(self) -> GrantFile | None:
        return AttemptFolder(self.attempt).grant() if self.attempt else None

    def _taken(self, place: CardToTake, budget: int | None, grant: GrantFile | None) -> GpuMemory:
        granted = bool(grant and grant.gpus)
        shared = any(gpu.share < 1 for gpu in grant.gpus) if grant else False
        if budget is None:
            # The service grants a job that states nothing a whole card, and a clean one.
            place.require_clean(self.patience_s) if granted else place.warn_of_others()
        # A measured peak is no promise of the user's: only what is stated or shared binds.
        least = budget if shared else min(self.budget_bytes or 0, budget or 0)
        memory, self._reserved = place.take(budget, self.patience_s, least=least or 0)
        if budget is not None and (shared or self.budget_bytes is not None):
            memory.cap(budget)
        return memory

    @property
    def uuids(self) -> tuple[str, ...]:
        """The worker's cards; none before it was called, or without a GPU."""
        return tuple(str(uuid) for uuid in self._uuids)

    def touch(self) -> None:
        """Do what every step does outside of what is reserved.

        Raises:
            RuntimeError: A neighbour left no room for it, in the words of CUDA.
        """
        for memory in self._held.values():
            memory.touch()

    def peak_bytes(self) -> int:
        """Return the most memory this process has held on any card."""
        return max((memory.peak_bytes() for memory in self._held.values()), default=0)

    def report(self) -> None:
        """Write the worker's cards and measured peak into the attempt's folder, if it has one.

        Raises:
            StorageError: It could not be written.
        """
        if self.attempt is None or not self._held:
            return
        record = WorkerFile(
            rank=self._rank,
            uuids=self._uuids,
            reserved_bytes=self._reserved,
            peak_bytes=self.peak_bytes(),
            at=time.time(),
        )
        AttemptFolder(self.attempt).write(f"worker-{self._rank}", record)

    def cards_now(self) -> tuple[dict[str, Any], ...]:
        """Return the numbers of the worker's cards, as `FailureFile.gpus` wants them."""
        if not self._uuids:
            return ()
        pids = own_pids()
        return tuple(
            {
                "uuid": card.uuid,
                "total_bytes": card.total_bytes,
                "used_bytes": card.used_bytes,
                "own_bytes": self._own_bytes(card, pids),
                "fault": card.fault,
            }
            for card in look(open_backend()).gpus
            if card.uuid in self._uuids
        )

    def _own_bytes(self, card: GpuSample, pids: frozenset[int]) -> int:
        """Return what we hold: where the driver does not list us, the library's count must do."""
        listed = used_by(card, pids)
        if listed is not None:
            return listed
        return self._held[card.uuid].peak_bytes() if card.uuid in self._held else 0


def _own(ids: Sequence[str], sample: NodeSample, grant: GrantFile | None) -> tuple[GpuSample, ...]:
    """Return the worker's cards; none where nothing can be known of them and nothing must be."""
    found = [card for name in ids if (card := find_card(name, sample)) is not None]
    if len(found) == len(ids):
        return tuple(found)
    if grant is not None and grant.gpus:
        raise GpuContended(unknown(ids, sample), "nothing to mend: the job is given other cards")
    if os.environ.get(BACKEND_VARIABLE) or sample.gpus:
        logger.warning("%s; nothing is reserved on it", unknown(ids, sample))
    else:
        logger.info("%s; Ray was told of GPUs that are not there", unknown(ids, sample))
    return ()


def _budget(stated: int | None, grant: GrantFile | None) -> int | None:
    """Return what to reserve: what the service decided goes before what the config states."""
    granted = grant.memory_bytes if grant else None
    return stated if granted is None else granted


def _label(card: GpuSample, grant: GrantFile | None) -> str:
    named = [gpu for gpu in grant.gpus if gpu.uuid == card.uuid] if grant else []
    return f"{named[0].node if named else socket.gethostname()}:{card.index}"
