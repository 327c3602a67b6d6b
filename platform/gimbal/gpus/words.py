"""Bytes and counts in words, the same wherever a GPU is spoken of."""

from __future__ import annotations

from gimbal.experiment.units import in_bytes as size
from gimbal.experiment.units import in_duration as duration

__all__ = ["GIB", "MIB", "counted", "duration", "size"]

MIB = 1024**2
GIB = 1024**3


def counted(count: int, noun: str) -> str:
    """Return `1 sample`, `2 samples`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
