"""JSON from strangers: only what every part behind it can hold.

Python's parser takes NaN, numbers of any size, NUL characters, lone surrogates and repeated keys.
Databases, YAML and pydantic each refuse some of these in ways of their own, so they end here.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 32
_INT64 = range(-(2**63), 2**63)


class BadJson(ValueError):
    """The text is not JSON that is taken here; says why."""


def parse(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        BadJson: It is damaged, too deep, repeats a key, or holds a number or character that not
            every part of the service can keep.
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_finite,
            object_pairs_hook=_once,
        )
    except UnicodeDecodeError as error:
        raise BadJson(f"it is not UTF-8: byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise BadJson(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise BadJson(f"it is nested deeper than {MAX_DEPTH} levels") from error
    _check(value, 0)
    return value


def _refuse_constant(name: str) -> Any:
    raise BadJson(f"{name} is not JSON")


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else None
    if value is None or value not in _INT64:
        raise BadJson(f"the number {digits[:24]}… does not fit into 64 bits")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise BadJson(f"the number {digits[:24]} is too large")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadJson("a key is written twice in one object")
    return value


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadJson(f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise BadJson("a text holds a NUL character")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise BadJson("a text holds half of a surrogate pair")
