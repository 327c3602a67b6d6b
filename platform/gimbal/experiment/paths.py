"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def at_home(path: Path) -> Path:
    """Expand a leading `~`; one of an unknown user stays, and is then reported as missing."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path
