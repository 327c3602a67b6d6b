"""Ends processes that a job of ours left behind on a card. Never anybody else's.

A process is ended only if it runs as this user, is still the one that was seen (pid and time of
birth), carries the label of one of our attempts, is nobody's worker any more, and that attempt is
known to have ended: its driver said so, or its cards were given back.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Collection, Iterable

import psutil

from gimbal.errors import GimbalError
from gimbal.experiment.attempt import ATTEMPT_VARIABLE, AttemptFolder, OutcomeFile
from gimbal.gpus.attribution import SAME_BIRTH_S
from gimbal.gpus.model import Use

log = logging.getLogger(__name__)

_TERM_S = 5.0
"""Between SIGTERM and SIGKILL."""


class Leaks:
    """Remembers leftovers and ends those that stay.

    Args:
        grace_s: How long a leftover may stay.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._since: dict[tuple[int, float], float] = {}
        self._asked: dict[tuple[int, float], float] = {}

    def end_old(self, leaked: Iterable[Use], freed: Collection[str], *, now: float) -> None:
        """End the leftovers among these whose grace is over.

        Args:
            leaked: Processes on cards that were started by a job of ours.
            freed: Submission ids of attempts whose cards were given back.
            now: Unix seconds.
        """
        known = {(use.pid, use.began) for use in leaked if use.pid and use.began is not None}
        self._since = {who: self._since.get(who, now) for who in known if who[1] is not None}
        self._asked = {who: at for who, at in self._asked.items() if who in self._since}
        for who, since in self._since.items():
            if now - since >= self._grace_s and _has_ended(who, freed):
                self._end(who, now)

    def _end(self, who: tuple[int, float], now: float) -> None:
        asked_at = self._asked.setdefault(who, now)
        if asked_at == now:
            _signal(who, signal.SIGTERM)
        elif now - asked_at >= _TERM_S:
            _signal(who, signal.SIGKILL)


def _has_ended(who: tuple[int, float], freed: Collection[str]) -> bool:
    """Return whether a process belongs to an attempt of ours that has ended, and to nobody else."""
    try:
        process = psutil.Process(who[0])
        if not _is(process, who) or process.uids().real != os.getuid():
            return False
        if any(parent.name() == "raylet" for parent in process.parents()):
            return False  # it is a worker of some Ray, if not of ours
        label = process.environ().get(ATTEMPT_VARIABLE, "")
        return bool(label) and _attempt_ended(AttemptFolder(label), freed)
    except (psutil.Error, OSError):
        return False


def _attempt_ended(folder: AttemptFolder, freed: Collection[str]) -> bool:
    try:
        if folder.read("outcome", OutcomeFile) is not None:
            return True
        grant = folder.grant()
    except GimbalError:
        return False
    return grant is not None and grant.reservation is not None and _bare(grant.reservation) in freed


def _bare(reservation: str) -> str:
    return reservation.partition(":")[2] or reservation


def _is(process: psutil.Process, who: tuple[int, float]) -> bool:
    return abs(process.create_time() - who[1]) <= SAME_BIRTH_S


def _signal(who: tuple[int, float], number: signal.Signals) -> None:
    """Signal a process by a descriptor of it, which cannot come to mean another one."""
    try:
        descriptor = os.pidfd_open(who[0])
    except OSError:
        return
    try:
        if _is(psutil.Process(who[0]), who):
            log.warning("ending process %d, left behind by an ended job (%s)", who[0], number.name)
            signal.pidfd_send_signal(descriptor, number)
    except (psutil.Error, OSError) as error:
        log.warning("process %d could not be ended: %s", who[0], error)
    finally:
        os.close(descriptor)
