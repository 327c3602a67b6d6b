"""Overrides on the command line: `data.count=32`, `train.decay=null`, `data.meshes=/my files/a=b`.

The first `=` ends the key, so a value may hold more of them. A value that opens with `[`, `{` or a
quote is read as YAML; any other is one scalar by the rules of `yaml_scalars`, so that paths with
spaces, `#` or `: ` need no quotes beyond the shell's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.yaml_reading import parse_yaml
from gimbal.experiment.yaml_scalars import read_scalar

_KEY = re.compile(r"^[^\s.=\[\]{}]+(?:\.[^\s.=\[\]{}]+)*$")


@dataclass(frozen=True, slots=True)
class Override:
    """One `key=value` of the command line, or a value a sweep sets.

    Attributes:
        text: As it was written.
        keys: The key's parts.
        value: The value.
        where: Where else it was written; empty: on the command line.
    """

    text: str
    keys: tuple[str, ...]
    value: Any
    where: str = ""

    @property
    def origin(self) -> str:
        """How an error message names it."""
        return self.where or f"override {self.text!r}"


def parse_override(text: str) -> Override:
    """Read one override.

    Raises:
        ConfigError: If it has no `=`, no proper key, or a value that is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(
            f"override {text!r} has no '='", f"write {text}=VALUE, such as data.count=32"
        )
    key = key.strip()
    if not _KEY.match(key):
        raise ConfigError(
            f"override {text!r} has no proper key before '='",
            "write names joined by dots, such as data.count=32 or views.0=5",
        )
    return Override(text, tuple(key.split(".")), _value(value.strip(), text))


def _value(text: str, override: str) -> Any:
    if text[:1] not in ("[", "{", '"', "'"):
        return read_scalar(text)
    try:
        return parse_yaml(text, "override").data
    except ConfigError as error:
        problem = error.message.partition(": ")[2]
        raise ConfigError(
            f"override {override!r}: the value {problem}",
            "close the brackets, or quote the value for YAML: key='\"[text]\"'",
        ) from error
