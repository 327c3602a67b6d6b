"""Records of trials as an earlier start of a sweep would have left them."""

from __future__ import annotations

from typing import Any

from gimbal.experiment.sweep_record import TrialRecord, TrialStatus
from gimbal.sweeps.trial_run import first_record
from gimbal.sweeps.trials import Trial


def record_of(trial: Trial, status: TrialStatus = TrialStatus.FINISHED, **more: Any) -> TrialRecord:
    """Return a trial's record as an earlier start would have left it."""
    return first_record(trial).model_copy(update={"status": status, "attempts": 1, **more})
