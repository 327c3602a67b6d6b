"""Between Ray Tune and the trial queue: what Tune asks a searcher, answered from the queue."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from gimbal.errors import StorageError
from gimbal.experiment.attempt import AttemptFolder, StopFile
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.sweeps.queue import Ended, TrialQueue
from gimbal.sweeps.scheduler import JUDGE, STEP
from gimbal.sweeps.trainable import ATTEMPT, TRIAL
from gimbal.sweeps.trial_run import first_record


class QueueSearch(Searcher):
    """Hands out the queue's trials.

    Tune copies and pickles its searcher for a restart of its own; ours are made from the trials'
    files, so what it keeps of this one is empty.
    """

    def __init__(self, queue: TrialQueue, sweep: SweepFolder) -> None:
        super().__init__(metric=None, mode=None)
        self._queue = queue
        self._sweep = sweep
        self._curves: dict[str, dict[int, float]] = {}
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the next trial's id, after leaving a file for it."""
        trial = self._queue.next()
        if trial is None:
            return Searcher.FINISHED  # type: ignore[return-value]  # Ray's own signature lacks it
        if self._record(trial.id) is None:
            self._sweep.write_trial(first_record(trial))
        self._numbers[trial_id] = trial.number
        return {TRIAL: trial.id}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Remember the curve."""
        if JUDGE in result:
            self._curves.setdefault(trial_id, {})[result[STEP]] = result[JUDGE]

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the queue how the trial ended, if it did."""
        number = self._numbers.pop(trial_id, None)
        curve = self._curves.pop(trial_id, {})
        if number is None or not result:
            return
        # The file first: a trial may end by itself while Tune decides to stop it.
        record = self._record(str(result.get(TRIAL)))
        if record is not None and record.status.is_terminal:
            how = Ended(status=record.status, metric=record.metric, curve=curve)
            self._queue.ended(number, how)
            return
        stop = AttemptFolder(result[ATTEMPT]).read("stop", StopFile) if ATTEMPT in result else None
        if stop is not None and stop.why == "early":
            self._queue.ended(number, Ended(status=TrialStatus.STOPPED, curve=curve))

    def _record(self, trial_id: str) -> TrialRecord | None:
        """Return a trial's record; a damaged one counts as none, and its trial begins anew."""
        try:
            return self._sweep.trial(trial_id)
        except StorageError:
            return None

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing; see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing; see the class."""

    def __deepcopy__(self, memo: dict[int, Any]) -> QueueSearch:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}
