"""Explain why a config does not fit its model: which key, where it stands, what was expected.

pydantic says what is wrong in terms of its own models. Here that is said in terms of the user's
files: the full dotted key, the line or override it came from, and the nearest right name.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from gimbal.errors import ConfigError
from gimbal.experiment.nearest import nearest_key
from gimbal.experiment.yaml_reading import KeyPath

_SHOWN = 8
_MAX_MODEL_DEPTH = 12


def explain_validation(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    origins: Mapping[KeyPath, str],
    source: str,
) -> ConfigError:
    """Translate pydantic's complaint about a config.

    Args:
        error: What pydantic found.
        model: The settings model.
        data: The plain values that were validated.
        origins: Where each key came from.
        source: The config file.
    """
    problems: dict[KeyPath, list[str]] = {}
    remedies: list[str] = []
    known = list(known_keys(model))
    for detail in error.errors(include_url=False):
        path = _data_path(detail["loc"], data)
        message, remedy = _explain(detail["type"], detail["msg"], detail["input"], path, known)
        messages = problems.setdefault(path, [])
        if message not in messages:
            messages.append(message)
        if remedy and remedy not in remedies:
            remedies.append(remedy)
    lines = [
        f"{_origin(path, origins, source)}: {' or '.join(messages)}"
        for path, messages in problems.items()
    ]
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"… and {len(lines) - _SHOWN} more"]
    return ConfigError("\n".join(lines), "\n    ".join(remedies) or "correct the value there")


def _explain(
    kind: str, message: str, value: Any, path: KeyPath, known: Sequence[str]
) -> tuple[str, str]:
    dotted = ".".join(path)
    if kind == "extra_forbidden":
        return f"unknown key {dotted!r}", _suggest(dotted, known)
    if kind == "missing":
        return f"the key {dotted!r} is missing", f"add {dotted}=… or write it in the file"
    wanted = message.removeprefix("Value error, ").replace("Input should be", "should be")
    if kind in ("value_error", "assertion_error"):
        return (f"{dotted}: {wanted}" if dotted else wanted), ""
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}…"
    return f"{dotted or 'the config'}: {wanted}, but is {shown}", ""


def _suggest(dotted: str, known: Sequence[str]) -> str:
    section = dotted.rpartition(".")[0]
    prefix = f"{section}." if section else ""
    siblings = [
        key
        for key in known
        if key.startswith(prefix) and "." not in key[len(prefix) :] and "*" not in key
    ]
    near = nearest_key(dotted, known)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    listed = f"keys there: {', '.join(siblings)}" if siblings else ""
    return f"{meant}{listed}".strip()


def _data_path(loc: Sequence[int | str], data: Any) -> KeyPath:
    """Drop from pydantic's location what is no key of the data, such as a union's branch."""
    path: list[str] = []
    node = data
    for position, part in enumerate(loc):
        inside = part in node if isinstance(node, Mapping) else _is_index(node, part)
        if inside:
            node = node[part]
        elif not (isinstance(node, Mapping) and position == len(loc) - 1):
            continue
        path.append(str(part))
    return tuple(path)


def _is_index(node: Any, part: int | str) -> bool:
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def _origin(path: KeyPath, origins: Mapping[KeyPath, str], source: str) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return source


def known_keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield every dotted key a settings model accepts, sections before their keys.

    A key of free choice, such as an item's number, is written `*`.
    """
    yield from _keys(model, "", 0)


def _keys(model: type[BaseModel], prefix: str, depth: int) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key
        if depth < _MAX_MODEL_DEPTH:
            for inner, star in _models(field.annotation):
                yield from _keys(inner, f"{key}.{'*.' if star else ''}", depth + 1)


def _models(annotation: Any, star: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, star
        return
    origin = typing.get_origin(annotation)
    collection = isinstance(origin, type) and issubclass(origin, (list, tuple, dict))
    for argument in typing.get_args(annotation):
        yield from _models(argument, star or collection)
