"""A config as a service elsewhere must get it: complete, with paths that mean the same there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from gimbal.experiment.plain import to_plain
from gimbal.experiment.settings import ExperimentSettings

_WHERE = ("platform",)
"""Sections that say where something runs; the service decides that."""


def portable_config(settings: ExperimentSettings) -> dict[str, Any]:
    """Return a checked config as plain data with absolute paths, without `platform`.

    Relative paths count from the folder the command is run in, as for `gimbal run`; the service may
    have been started anywhere.
    """
    content = settings.model_dump(mode="python", exclude=set(_WHERE))
    plain: dict[str, Any] = to_plain(_absolute(content))
    return plain


def _absolute(value: Any) -> Any:
    if isinstance(value, PurePath):
        return Path(value).expanduser().absolute()
    if isinstance(value, Mapping):
        return {key: _absolute(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(item) for item in value]
    return value
