"""Explain why a config does not fit its model: which key, where it stands, what was expected.

pydantic says what is wrong in terms of its own models. Here that is said in terms of the user's
files: the full dotted key, the line or override it came from, and the nearest right name.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gimbal.errors import ConfigError
from gimbal.experiment.nearest import nearest_key
from gimbal.experiment.yaml_reading import KeyPath

_SHOWN = 8
_MAX_VALUE = 60
_MAX_MODEL_DEPTH = 12
_EXPECTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "a section of keys"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list"),
    "string_type": "text",
    "path_type": "a path",
    "none_required": "null",
    "finite_number": "a finite number",
}
"""What to call a kind of error of pydantic's; others keep pydantic's words."""


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
    problems = _problems(error, model, data)
    lines = [f"{_origin(path, origins, source)}: {it}" for path, it in problems.items()]
    remedies = [
        f"{'.'.join(path)}: {it.remedy}" if len(problems) > 1 else it.remedy
        for path, it in problems.items()
        if it.remedy
    ]
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"… and {len(lines) - _SHOWN} more"]
    return ConfigError(
        "\n".join(lines), "\n    ".join(remedies[:_SHOWN]) or "correct the value there"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyProblem:
    """What is wrong at one key.

    Attributes:
        path: The key, and an item's number where it is in a list.
        message: What is wrong.
        remedy: What to write instead; empty: the message says it.
    """

    path: KeyPath
    message: str
    remedy: str


def key_problems(
    error: ValidationError, model: type[BaseModel], data: Any
) -> tuple[KeyProblem, ...]:
    """Return the same as `explain_validation`, key by key, for a config that is in no file.

    Args:
        error: What pydantic found.
        model: The settings model.
        data: The plain values that were validated.
    """
    return tuple(
        KeyProblem(path=path, message=str(it), remedy=it.remedy)
        for path, it in _problems(error, model, data).items()
    )


def _problems(error: ValidationError, model: type[BaseModel], data: Any) -> dict[KeyPath, _Problem]:
    problems: dict[KeyPath, _Problem] = {}
    known = list(known_keys(model))
    for detail in error.errors(include_url=False):
        path = _data_path(detail["loc"], data)
        problems.setdefault(path, _Problem(path)).add(detail, known)
    return problems


@dataclass(slots=True)
class _Problem:
    """All that is wrong at one key; a union's branches each complain."""

    path: KeyPath
    statement: str = ""
    wanted: list[str] = field(default_factory=list)
    value: Any = None
    remedy: str = ""

    def add(self, detail: ErrorDetails, known: Sequence[str]) -> None:
        kind, dotted = detail["type"], ".".join(self.path)
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        if kind in ("extra_forbidden", "unexpected_keyword_argument"):
            self.statement = f"unknown key {dotted!r}"
            self.remedy = _suggest(dotted, known)
        elif kind == "missing":
            self.statement = f"the key {dotted!r} is missing"
            self.remedy = f"write it in the file, or add {dotted}=VALUE to the command"
        elif kind in ("value_error", "assertion_error"):
            self.statement = f"{dotted}: {message}" if dotted else message
        else:
            wanted = _EXPECTED.get(kind) or message.removeprefix("Input should be ")
            if wanted not in self.wanted:
                self.wanted.append(wanted)
            self.value = detail["input"]

    def __str__(self) -> str:
        if not self.wanted:
            return self.statement
        shown = "null" if self.value is None else repr(self.value)
        if len(shown) > _MAX_VALUE:
            shown = f"{shown[: _MAX_VALUE - 1]}…"
        key = ".".join(self.path) or "the config"
        return f"{key}: should be {' or '.join(self.wanted)}, but is {shown}"


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


def _keys(model: type[Any], prefix: str, depth: int) -> Iterator[str]:
    if not issubclass(model, BaseModel):
        yield from (f"{prefix}{field.name}" for field in dataclasses.fields(model))
        return
    for name, info in model.model_fields.items():
        key = f"{prefix}{info.alias or name}"
        yield key
        if depth < _MAX_MODEL_DEPTH:
            for inner, star in _models(info.annotation):
                yield from _keys(inner, f"{key}.{'*.' if star else ''}", depth + 1)


def _models(annotation: Any, star: bool = False) -> Iterator[tuple[type[Any], bool]]:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_model or (isinstance(annotation, type) and dataclasses.is_dataclass(annotation)):
        yield annotation, star
        return
    origin = typing.get_origin(annotation)
    collection = isinstance(origin, type) and issubclass(origin, (list, tuple, dict))
    for argument in typing.get_args(annotation):
        yield from _models(argument, star or collection)
