"""Brings configs, numbers and names within what every MLflow server accepts.

Pure. Nothing is dropped silently: a value or name that is too long is cut and ends in a hash of
the whole, so that two different ones stay different.
"""

from __future__ import annotations

import hashlib
import math
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

MAX_NAME = 250
"""Longest name of a param, metric or tag (characters)."""
MAX_PARAM_VALUE = 6000
MAX_TAG_VALUE = 8000
MAX_PARAMS_PER_CALL = 100
MAX_TAGS_PER_CALL = 100
MAX_METRICS_PER_CALL = 1000

_FORBIDDEN = re.compile(r"[^/\w.\- ]")
_HASH_DIGITS = 12
T = TypeVar("T")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(dotted name, leaf)` of nested mappings; lists of scalars stay whole."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{name}.")
        elif _is_sequence(value) and any(isinstance(item, Mapping) for item in value):
            yield from flatten({str(i): item for i, item in enumerate(value)}, f"{name}.")
        else:
            yield name, value


def params(tree: Mapping[str, Any]) -> dict[str, str]:
    """Return a config as MLflow params."""
    return {clean_name(name): cut(str(leaf), MAX_PARAM_VALUE) for name, leaf in flatten(tree)}


def tags(values: Mapping[str, Any]) -> dict[str, str]:
    """Return facts as MLflow tags; None is left out."""
    return {
        clean_name(name): cut(str(leaf), MAX_TAG_VALUE)
        for name, leaf in flatten(values)
        if leaf is not None
    }


def metrics(tree: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a nested mapping; a list's are named by index, words are left out."""
    return {clean_name(name): value for name, value in _numbers(tree)}


def clean_name(name: str) -> str:
    """Return a name MLflow accepts; different names stay different."""
    clean = _FORBIDDEN.sub("_", name)
    if not clean or posixpath.normpath(clean) != clean or clean.startswith((".", "/")):
        clean = clean.replace("/", "_").lstrip(".") or "_"
    if clean != name:
        clean = f"{clean}-{_digest(name)}"
    return clean if len(clean) <= MAX_NAME else f"{clean[: MAX_NAME - 13]}-{_digest(name)}"


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning and a hash of the whole when it is too long."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= limit:
        return text
    tail = f"… sha256:{_digest(text)}"
    return text[: limit - len(tail)] + tail


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield consecutive parts of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _numbers(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{name}.")
        elif _is_sequence(value):
            yield from _numbers({str(i): item for i, item in enumerate(value)}, f"{name}.")
        elif (number := _number(value)) is not None:
            yield name, number


def _number(value: Any) -> float | None:
    """Return a float for anything that is one number (numpy scalars too), else None."""
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if not math.isinf(number) else math.copysign(1.7976931348623157e308, number)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_HASH_DIGITS]
