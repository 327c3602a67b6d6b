"""Turns the trials' files into what an observer is told, each thing once."""

from __future__ import annotations

import threading

from gimbal.errors import GimbalError
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.sweeps.events import SweepObserver
from gimbal.sweeps.outcome import best_of
from gimbal.sweeps.spec import SweepSpec


class TrialTeller:
    """Tells an observer about trials that moved.

    Args:
        folder: The sweep.
        observer: Whom to tell.
        spec: The sweep's settings.
    """

    def __init__(self, folder: SweepFolder, observer: SweepObserver, spec: SweepSpec) -> None:
        self._folder = folder
        self._observer = observer
        self._spec = spec
        self._told: dict[str, tuple[TrialStatus, int]] = {}
        self._lock = threading.Lock()

    def moved(self, trial_id: str) -> None:
        """Look at a trial's file and tell what is new."""
        with self._lock:
            try:
                record = self._folder.trial(trial_id)
            except GimbalError:
                return
            if record is None or self._told.get(trial_id) == (record.status, record.attempts):
                return
            self._told[trial_id] = (record.status, record.attempts)
            if record.status.is_terminal:
                self._observer.trial_ended(record, self._best())
            else:
                self._observer.trial_moved(record)

    def _best(self) -> TrialRecord | None:
        best = best_of(self._folder.trials(), self._spec.mode, self._spec.seeds)
        return best.trial if best else None
