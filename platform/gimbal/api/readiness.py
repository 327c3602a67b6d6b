"""Whether the service can do its work."""

from __future__ import annotations

from datetime import datetime

from gimbal.api.settings import ApiSettings
from gimbal.errors import GimbalError
from gimbal.jobs.ports import JobStore


def unreadiness(
    store: JobStore, settings: ApiSettings, now: datetime, gpus_age_s: float | None
) -> tuple[str, ...]:
    """Return why the service cannot do its work; empty: it can.

    Args:
        store: The job store.
        settings: Says how old a look at the GPUs may be.
        now: The time.
        gpus_age_s: How old it is; None: there was none yet.
    """
    try:
        store.ping()
        until = store.lease_until()
    except GimbalError:
        return ("the job store does not answer",)
    reasons = []
    if until is None or until <= now:
        reasons.append("no controller is at work: jobs wait")
    if gpus_age_s is None:
        reasons.append("no GPUs were looked at yet")
    elif gpus_age_s > settings.stale_gpus_s:
        reasons.append(f"the GPUs were last seen {gpus_age_s:.0f} s ago")
    return tuple(reasons)
