"""A YAML reader for files written by hand, including by a hostile hand.

It builds values from the parser's events itself instead of using a ready-made constructor, because
that is the only place where all of these can be refused at the right line: a key given twice,
aliases that expand without end, an alias inside its own anchor, tags that would run code, and
nesting deep enough to exhaust the stack. Mapping keys are always text. Scalars: `yaml_scalars`.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gimbal.errors import ConfigError
from gimbal.experiment.files import storage_error
from gimbal.experiment.yaml_scalars import read_scalar

MAX_BYTES = 4 << 20
MAX_DEPTH = 64
MAX_VALUES = 10_000
"""Values a file may hold after its aliases are expanded."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAG = "tag:yaml.org,2002:str"
_MERGE_KEY = "<<"
KeyPath = tuple[str, ...]
Tags = Mapping[str, Callable[[Any], Any]]
"""What a tag such as `!!binary` makes of its plain value; a ValueError refuses the value."""


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file's value, and the line on which each key or item stands."""

    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Node:
    value: Any
    size: int


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What files of one kind may hold.

    Attributes:
        max_values: Values of a file after its aliases are expanded.
        tags: The tags that are allowed beside plain text, by their full names.
    """

    max_values: int = MAX_VALUES
    tags: Tags = field(default_factory=dict)


SETTINGS = Dialect()
"""Files of settings: short, and without tags."""


def read_yaml(path: Path, dialect: Dialect = SETTINGS) -> Document:
    """Read one YAML document from a file.

    Raises:
        ConfigError: If the file cannot be read, or is not one safe YAML document; the message
            names the file and the line.
    """
    return parse_yaml(_decode(_read_bytes(path), path), str(path), dialect)


def parse_yaml(text: str, source: str, dialect: Dialect = SETTINGS) -> Document:
    """Read one YAML document from a text; `source` names it in errors.

    Raises:
        ConfigError: See `read_yaml`.
    """
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _refusal(source, line, "holds a NUL character", "remove it: the file may be damaged")
    builder = _Builder(source, dialect)
    try:
        return builder.document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = " ".join(part for part in (error.context, error.problem) if part)
        remedy = "check the indentation, brackets and quotes there"
        if "\t" in _line(text, line):
            remedy = "indent with spaces, not tabs"
        raise _refusal(source, line, f"is not valid YAML: {problem}", remedy) from error
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise _refusal(
            source, line, f"is not valid YAML: {error}", "remove the character"
        ) from error


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _refusal(source: str, line: int, problem: str, remedy: str) -> ConfigError:
    return ConfigError(f"{source}, line {line}: {problem}", remedy)


def _read_bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"{path} is a folder", "name a .yaml file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path} is not an ordinary file", "name a .yaml file")
        if status.st_size > MAX_BYTES:
            raise ConfigError(
                f"{path} is {status.st_size / 1e6:.0f} MB, too large for a config",
                "name the .yaml file of an experiment",
            )
        return path.read_bytes()
    except OSError as error:
        wrong = storage_error(error, path, "read")
        raise ConfigError(wrong.message, "check the path and that you may read it") from error


def _decode(data: bytes, path: Path) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{path}, line 1: is UTF-16 text", "save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: is not UTF-8 text", "save the file as UTF-8"
        ) from error


class _Builder:
    """Builds plain values from YAML events within fixed bounds."""

    def __init__(self, source: str, dialect: Dialect) -> None:
        self.source = source
        self.dialect = dialect
        self.lines: dict[KeyPath, int] = {}
        self.anchors: dict[str, _Node | None] = {}
        self.size = 0

    def document(self, events: Iterator[Any]) -> Document:
        root: _Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self._refuse(event, "a second document starts", "keep only one")
                root = self._node(next(events), events, ())
        return Document(root.value if root else None, self.lines)

    def _refuse(self, event: Any, problem: str, remedy: str) -> ConfigError:
        return _refusal(self.source, event.start_mark.line + 1, problem, remedy)

    def _node(self, event: Any, events: Iterator[Any], path: KeyPath) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            node = self._alias(event)
        else:
            self._refuse_tag(event)
            if event.anchor:
                self.anchors[event.anchor] = None
            node = self._tagged(event, self._fresh(event, events, path))
            if event.anchor:
                self.anchors[event.anchor] = node
        self.size += 1 if not isinstance(event, yaml.AliasEvent) else node.size
        most = self.dialect.max_values
        if self.size > most:
            raise self._refuse(
                event,
                f"expands to more than {most:,} values",
                "write fewer values, or aliases (`*name`) that do not multiply",
            )
        return node

    def _alias(self, event: Any) -> _Node:
        if event.anchor not in self.anchors:
            raise self._refuse(event, f"*{event.anchor} is not defined above", "define it first")
        node = self.anchors[event.anchor]
        if node is None:
            raise self._refuse(event, f"*{event.anchor} contains itself", "remove the alias")
        return node

    def _refuse_tag(self, event: Any) -> None:
        tag = getattr(event, "tag", None)
        if tag is None or (tag in ("!", _TEXT_TAG) and isinstance(event, yaml.ScalarEvent)):
            return
        if tag in self.dialect.tags:
            return
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        raise self._refuse(event, f"the tag {shown} is not allowed", "write a plain value")

    def _tagged(self, event: Any, node: _Node) -> _Node:
        make = self.dialect.tags.get(event.tag) if event.tag else None
        if make is None:
            return node
        try:
            return _Node(make(node.value), node.size)
        except ValueError as error:
            raise self._refuse(event, str(error), "write plain numbers") from error

    def _fresh(self, event: Any, events: Iterator[Any], path: KeyPath) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0] and event.tag is None
            return _Node(read_scalar(event.value) if plain else event.value, 1)
        if len(path) >= MAX_DEPTH:
            raise self._refuse(event, f"is nested deeper than {MAX_DEPTH} levels", "flatten it")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        return self._mapping(events, path)

    def _sequence(self, events: Iterator[Any], path: KeyPath) -> _Node:
        items: list[Any] = []
        size = 1
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            here = (*path, str(len(items)))
            self.lines[here] = event.start_mark.line + 1
            node = self._node(event, events, here)
            items.append(node.value)
            size += node.size
        return _Node(items, size)

    def _mapping(self, events: Iterator[Any], path: KeyPath) -> _Node:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        size = 1
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event)
            if key in own or (key == _MERGE_KEY and merged):
                raise self._refuse(event, f"the key {key!r} is given twice", "keep only one")
            here = (*path, key)
            self.lines[here] = event.start_mark.line + 1
            node = self._node(next(events), events, here)
            size += node.size + 1
            if key == _MERGE_KEY and event.implicit[0]:
                merged = self._merge(event, node.value)
            else:
                own[key] = node.value
        return _Node({**merged, **own}, size)

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag in self.dialect.tags:
            raise self._refuse(event, "a key must be a word", "write `key: value`")
        self._refuse_tag(event)
        return str(event.value)

    def _merge(self, event: Any, value: Any) -> dict[str, Any]:
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            raise self._refuse(event, "`<<` takes keys and values", "give it an alias of a mapping")
        return {key: item for part in reversed(parts) for key, item in part.items()}
