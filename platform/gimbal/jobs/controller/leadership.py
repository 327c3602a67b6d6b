"""The right to act: a lease in the store, renewed while it is used."""

from __future__ import annotations

import os
import secrets
import socket

from gimbal.jobs.controller.events import event
from gimbal.jobs.model import LeaseLost
from gimbal.jobs.ports import Clock, JobStore, Lease


class Leadership:
    """Takes, renews and gives back the controller's lease.

    Args:
        store: Where the lease is.
        clock: The time.
        seconds: How long the lease lasts without being renewed.
    """

    def __init__(self, store: JobStore, clock: Clock, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._lease: Lease | None = None
        self._renewed = 0.0
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def acquire(self) -> bool:
        """Take or renew the lease at the start of a tick; False: another controller leads."""
        if self._lease is not None:
            try:
                self._renew(self._lease)
                return True
            except LeaseLost:
                self.lost()
        taken = self._store.take_lease(self.owner, now=self._clock.now(), seconds=self._seconds)
        self._lease, self._renewed = taken, self._clock.monotonic()
        if taken is not None:
            event("lease_taken", owner=self.owner)
        return taken is not None

    def current(self) -> Lease:
        """Return the lease for one more write, renewed in time where a tick takes long.

        Raises:
            LeaseLost: Another controller took over.
        """
        if self._lease is None:
            raise LeaseLost("this controller does not hold the lease")
        if self._clock.monotonic() - self._renewed > self._seconds / 3:
            self._renew(self._lease)
        return self._lease

    def lost(self) -> None:
        """Forget a lease that another controller has now."""
        if self._lease is not None:
            event("lease_lost", owner=self.owner)
        self._lease = None

    def give_back(self) -> None:
        """Let another controller lead at once."""
        if self._lease is not None:
            self._store.drop_lease(self._lease)
            event("lease_dropped", owner=self.owner)
        self._lease = None

    def _renew(self, lease: Lease) -> None:
        self._lease = self._store.renew_lease(lease, now=self._clock.now(), seconds=self._seconds)
        self._renewed = self._clock.monotonic()
