"""Say in words why a stage has to run again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_MAX_CODE_FILES = 5
_ABSENT = object()


def explain(old: Mapping[str, Any], new: Mapping[str, Any], *, all_code: bool = False) -> list[str]:
    """Return what differs between two fingerprints' parts, one phrase each; empty if nothing.

    Examples are `settings.data.count: 24 → 32`, `code: gimbal_nbv/features.py changed`,
    `input views changed`, `library torch 2.12 → 2.13`.

    Args:
        old: Parts of one fingerprint.
        new: Parts of the other.
        all_code: Name every source file, not only the first few.
    """
    return [
        *_stage(old, new),
        *_values("settings", old.get("settings"), new.get("settings")),
        *_values("", old.get("fields"), new.get("fields")),
        *_values("seed", old.get("seed"), new.get("seed")),
        *_inputs(_mapping(old, "inputs"), _mapping(new, "inputs")),
        *_code(_mapping(old, "code"), _mapping(new, "code"), None if all_code else _MAX_CODE_FILES),
        *_libraries(_mapping(old, "libraries"), _mapping(new, "libraries")),
        *_files(old.get("files"), new.get("files")),
        *_outside(old.get("outside"), new.get("outside")),
    ]


def _mapping(parts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parts.get(name)
    return value if isinstance(value, Mapping) else {}


def _stage(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old.get("format") != new.get("format"):
        yield "the way fingerprints are made changed"
    if old.get("stage") != new.get("stage"):
        yield f"the stage is now {new.get('stage')}, was {old.get('stage')}"


def _values(key: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            below = f"{key}.{name}" if key else name
            yield from _values(below, old.get(name, _ABSENT), new.get(name, _ABSENT))
    elif old is _ABSENT:
        yield f"{key} is new: {_shown(new)}"
    elif new is _ABSENT:
        yield f"{key} is gone"
    elif _same(old, new):
        return
    elif _is_content(old) and _is_content(new):
        yield f"content of {key} changed"
    else:
        yield f"{key}: {_shown(old)} → {_shown(new)}"


def _same(old: Any, new: Any) -> bool:
    """Return whether two values are the same in JSON, where 1 and true are not."""
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def _is_content(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("content:")


def _shown(value: Any) -> str:
    if _is_content(value):
        return "other content"
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _inputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in old:
            yield f"input {name} is new"
        elif name not in new:
            yield f"input {name} is gone"
        elif old[name] != new[name]:
            yield f"input {name} changed"


def _code(old: Mapping[str, Any], new: Mapping[str, Any], most: int | None) -> Iterator[str]:
    changes = [
        f"{name} {'is new' if name not in old else 'is gone' if name not in new else 'changed'}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    yield from (f"code: {change}" for change in changes[:most])
    if most is not None and len(changes) > most:
        yield f"code: {len(changes) - most} more files changed"


def _libraries(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield f"library {name} {old.get(name, 'unused')} → {new.get(name, 'unused')}"


def _files(old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, list) and isinstance(new, list) and len(old) != len(new):
        yield f"outside files: {len(old)} → {len(new)}"


def _outside(old: Any, new: Any) -> Iterator[str]:
    if old != new:
        yield "the data set outside changed: names, sizes or times of its files"
