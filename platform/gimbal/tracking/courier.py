"""The process that delivers a run's outbox to MLflow, or those of a sweep and all its trials.

A process of its own, at low priority, because MLflow costs seconds of imports and database set-up
and its calls can hang: none of that may touch the process that trains, not even through the
interpreter lock, and a process can be ended while a thread that hangs cannot.

Why any number of runs and sweeps may write to one store at once:

- Each outbox is read by one courier at a time, the holder of its lock; trials share their sweep's.
- A new SQLite database is built by one process, under another name, and moved in whole.
- SQLite lets one process write at a time; MLflow waits 20 s for its turn. What then still fails,
  or fails because a server is away, stays in the outbox and is sent again.
- What arrived twice is stored once: see `delivery`.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from gimbal.tracking import membership, uris
from gimbal.tracking.control import Control, Voice
from gimbal.tracking.delivery import Delivery
from gimbal.tracking.leftovers import mark_dead_trials, mark_killed, runs_with_leftovers
from gimbal.tracking.state import Identity, load_identity, shown_uri
from gimbal.tracking.store import Store, StoreUnavailable
from gimbal.tracking.sweep_delivery import SweepDelivery

ALL_RUNS = "--all"
POLL_S = 0.5
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_LAST_ATTEMPTS = 3
_NICENESS = 5
_PATIENCE_S = 15.0
"""How long the trials of a killed sweep may take to die."""

Connect = Callable[[], Store]


class Deliverer(Protocol):
    """What a courier repeats: a `Delivery` or a `SweepDelivery`."""

    def step(self) -> bool:
        """Deliver some more; return False when nothing was waiting."""


class Courier:
    """Delivers until told to stop.

    Args:
        connect: Opens the store; may raise `StoreUnavailable`.
        own: Makes the delivery of the run or sweep the courier belongs to.
        others: Yields the deliveries of other runs that an earlier outage left behind.
        control: When to stop.
        say: Called with a sentence for the user.
        store_name: The store, as shown to the user.
    """

    def __init__(
        self,
        *,
        connect: Connect,
        own: Callable[[Store], Deliverer],
        others: Callable[[Store], Iterator[Delivery]],
        control: Control,
        say: Callable[[str], None],
        store_name: str,
    ) -> None:
        self._connect = connect
        self._make_own = own
        self._make_others = others
        self._control = control
        self._say = say
        self._store_name = store_name
        self._own: Deliverer | None = None
        self._others: Iterator[Delivery] = iter(())
        self._failures = 0

    def run(self) -> None:
        """Deliver until the run has ended and everything is delivered or the time is over."""
        while not self._control.expired:
            try:
                busy = self._step()
            except StoreUnavailable as exc:
                if not self._pause(exc):
                    return
                continue
            self._recovered()
            if not busy:
                if self._control.closing:
                    return
                self._control.wait(POLL_S)

    def _step(self) -> bool:
        if self._own is None:
            store = self._connect()
            self._own = self._make_own(store)
            self._others = self._make_others(store)
        if self._own.step():
            return True
        other = None if self._control.closing else next(self._others, None)
        return other is not None and _drain(other, self._control)

    def _pause(self, exc: StoreUnavailable) -> bool:
        """Wait before the next attempt; return False when there is to be none."""
        self._failures += 1
        if self._failures == 2 or self._failures % 20 == 0:
            self._say(
                f"MLflow does not answer at {self._store_name} ({exc}); the run goes on, "
                "its records are kept and delivered when it is back"
            )
        if self._control.closing:
            if self._failures >= _LAST_ATTEMPTS:
                return False
            self._control.wait(_FIRST_PAUSE_S)
            return True
        longest = min(_FIRST_PAUSE_S * 2 ** (self._failures - 1), _LONGEST_PAUSE_S)
        self._control.wait(longest * random.uniform(0.5, 1.0))
        return True

    def _recovered(self) -> None:
        if self._failures >= 2:
            self._say(f"MLflow answers again at {self._store_name}; catching up")
        self._failures = 0


def _drain(delivery: Delivery, control: Control) -> bool:
    while not control.closing and delivery.step():
        pass
    return True


def main(arguments: Sequence[str]) -> None:
    """Deliver one run while its process lives, or with `--all` whatever is left of any run.

    The store is in `MLFLOW_TRACKING_URI`, not among the arguments, since it may hold a password.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    voice = Voice(sys.stdout)
    sys.stdout = sys.stderr
    uri = os.environ[uris.ENVIRONMENT_VARIABLE]
    if arguments[0] == ALL_RUNS:
        deliver_leftovers(Path(arguments[1]), uri, voice)
    else:
        deliver_run(Path(arguments[0]), Path(arguments[1]), uri, voice)


def deliver_run(run_dir: Path, runs_dir: Path, uri: str, voice: Voice) -> None:
    """Deliver a run or sweep until its process closes the pipe; see `Courier`."""
    identity = load_identity(run_dir)
    if identity is None:
        return
    control = Control()
    listener = threading.Thread(
        target=control.listen, args=(sys.stdin, partial(_mark_killed, run_dir)), daemon=True
    )
    listener.start()
    kind = SweepDelivery if membership.is_sweep(run_dir) else Delivery
    with _turn(run_dir, identity, control) as ours:
        if ours:
            Courier(
                connect=partial(_connect, uri),
                own=lambda store: kind(run_dir, identity, store, voice.say),
                others=lambda store: _leftovers(runs_dir, identity.uri, store, voice),
                control=control,
                say=voice.say,
                store_name=uris.redacted(uri),
            ).run()


def _mark_killed(run_dir: Path) -> None:
    with contextlib.suppress(OSError):  # a full disk must not keep the courier from ending
        mark_killed(run_dir)
        mark_dead_trials(run_dir, _PATIENCE_S)


def deliver_leftovers(runs_dir: Path, uri: str, voice: Voice) -> None:
    """Deliver what is left of every run of one store, except of runs going on."""
    try:
        store = _connect(uri)
        for delivery in _leftovers(runs_dir, shown_uri(uri, runs_dir), store, voice):
            while delivery.step():
                pass
    except StoreUnavailable as exc:
        voice.say(f"MLflow does not answer at {uris.redacted(uri)}: {exc}")


def _leftovers(runs_dir: Path, shown: str, store: Store, voice: Voice) -> Iterator[Delivery]:
    for run_dir, identity in runs_with_leftovers(runs_dir):
        if identity.uri != shown:
            continue
        with contextlib.suppress(Timeout), _lock(run_dir, identity).acquire(timeout=0):
            yield Delivery(run_dir, identity, store, voice.say)


@contextlib.contextmanager
def _turn(run_dir: Path, identity: Identity, control: Control) -> Iterator[bool]:
    """Wait for the courier of an earlier process of this run; False: there was no time left."""
    lock = _lock(run_dir, identity)
    while not control.expired:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            control.wait(POLL_S)
            continue
        try:
            yield True
        finally:
            lock.release()
        return
    yield False


def _lock(run_dir: Path, identity: Identity) -> FileLock:
    return FileLock(membership.lock_folder(run_dir, identity) / "courier.lock")


def _connect(uri: str) -> Store:
    from gimbal.tracking.mlflow_store import MlflowStore

    return MlflowStore(uri)


if __name__ == "__main__":
    main(sys.argv[1:])
