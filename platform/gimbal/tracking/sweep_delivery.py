"""Brings a sweep and all its trials into a store, turn by turn.

One process for a whole sweep: MLflow costs seconds of CPU time to import, and one writer has the
database to itself. Trials appear while the sweep goes on, in processes that know nothing of the
courier, so the courier looks for their folders.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gimbal.tracking import membership, outbox
from gimbal.tracking.delivery import Delivery, Say
from gimbal.tracking.state import IDENTITY_FILE, Identity
from gimbal.tracking.store import Store

_LOOK_S = 2.0


class SweepDelivery:
    """Delivers a sweep and its trials, each in its own order, all at the same pace.

    Args:
        sweep_dir: The sweep's folder.
        identity: The sweep's.
        store: Where to; trials that were told to another store are left alone.
        say: Called with a sentence for the user.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        sweep_dir: Path,
        identity: Identity,
        store: Store,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sweep_dir = sweep_dir
        self._uri = identity.uri
        self._store = store
        self._say = say
        self._clock = clock
        self._turns = deque([Delivery(sweep_dir, identity, store, say)])
        self._looked_at = clock()
        self._trials: set[str] = set()
        self._seen: dict[str, tuple[int, int]] = {}

    def step(self) -> bool:
        """Deliver some more of whoever's turn it is; return False when nothing was waiting.

        Raises:
            StoreUnavailable: The store failed; the next step goes on with the next run.
        """
        if self._clock() - self._looked_at >= _LOOK_S:
            self._find_trials()
        for _ in range(len(self._turns)):
            delivery = self._turns[0]
            self._turns.rotate(-1)
            if not delivery.at_rest and self._step_one(delivery):
                return True
        return self._find_trials()

    def _step_one(self, delivery: Delivery) -> bool:
        known_lost = delivery.started_over
        busy = delivery.step()
        if delivery.started_over and not known_lost:
            self._start_over(delivery)
        return busy

    def _start_over(self, first: Delivery) -> None:
        """The database that forgot one run was replaced, and has forgotten the others too."""
        for delivery in self._turns:
            if delivery is not first and not delivery.started_over:
                delivery.start_over()

    def _find_trials(self) -> bool:
        self._looked_at = self._clock()
        names = membership.folders_in(self._sweep_dir.parent)
        found = [trial for name in names if (trial := self._new_trial(name)) is not None]
        self._turns.extend(found)
        return bool(found)

    def _new_trial(self, name: str) -> Delivery | None:
        """Return the delivery of a trial seen for the first time; each identity is read once."""
        run_dir = self._sweep_dir.parent / name
        try:
            status = (outbox.folder(run_dir) / IDENTITY_FILE).stat()
        except OSError:
            return None
        version = (status.st_ino, status.st_mtime_ns)
        if name in self._trials or self._seen.get(name) == version:
            return None
        self._seen[name] = version
        identity = membership.trial_identity(run_dir, self._sweep_dir)
        if identity is None or identity.uri != self._uri:
            return None
        self._trials.add(name)
        return Delivery(run_dir, identity, self._store, self._say)
