"""What a scripted job does: how long it works, how it ends, whether it leaves when it is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What a job does.

    Attributes:
        work_s: Seconds until it is done; what earlier attempts did counts.
        exit_code: How it exits then.
        error_type: Class of what rank 0 raises then, if it fails.
        text: Its text.
        fails_after_s: It fails that long after an attempt began, instead of when it is done.
        peak_bytes: Memory each worker uses.
        leaves_after_s: How long after it was asked it leaves; None: it does not heed.
    """

    work_s: float = 20.0
    exit_code: int = 0
    error_type: str = ""
    text: str = ""
    fails_after_s: float | None = None
    peak_bytes: int = 1 << 30
    leaves_after_s: float | None = 2.0
