"""Bytes and counts in words, the same wherever a GPU is spoken of."""

from __future__ import annotations

from datetime import datetime

from gimbal.experiment.units import in_bytes as size
from gimbal.experiment.units import in_duration as duration

__all__ = ["GIB", "MIB", "clock_time", "counted", "duration", "size"]

MIB = 1024**2
GIB = 1024**3


def counted(count: int, noun: str) -> str:
    """Return `1 sample`, `2 samples`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def clock_time(at: float, now: float) -> str:
    """Return a time as people here read it: `14:05`, or `2026-03-09 14:05` on another day.

    Args:
        at: The time, Unix seconds.
        now: The time by which today is today.
    """
    there, here = datetime.fromtimestamp(at), datetime.fromtimestamp(now)
    return there.strftime("%H:%M" if there.date() == here.date() else "%Y-%m-%d %H:%M")
