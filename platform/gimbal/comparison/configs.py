"""Stored configs as flat settings, many of them quickly.

The runs of a sweep have configs that are equal but for a section or two, so a section that was
read before is not read again. Whatever is not laid out as Gimbal writes it is read whole.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.yaml_reading import parse_yaml, read_yaml

_SECTION = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)
_AS_WRITTEN = re.compile(r"(?:[A-Za-z_]\w*:(?: [^&*#|>%@`\n]*)?\n(?:[ -][^&*#|>\n]*\n)*)+")
"""Sections of plain settings: no anchors, comments, blocks or documents."""


def read_config(path: Path) -> dict[str, Any]:
    """Return every setting of a stored config, by dotted key.

    Raises:
        ConfigError: It cannot be read, or holds no settings.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""  # the reader of whole files says what is wrong
    sections = _SECTION.split(text)[1:] if _AS_WRITTEN.fullmatch(text) else []
    names = [section.partition(":")[0] for section in sections]
    if sections and len(set(names)) == len(names):
        try:
            return {key: value for section in sections for key, value in _section(section)}
        except ConfigError:
            pass  # read whole, so that the message names the file and the line
    tree = read_yaml(path).data
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no settings", "remove that run's folder")
    return dict(flat(tree))


def flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(dotted key, leaf)` of nested mappings and of lists that hold any."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(tree, list) and any(isinstance(item, dict | list) for item in tree):
        yield from flat({str(i): item for i, item in enumerate(tree)}, prefix)
    else:
        yield prefix, tree


@functools.lru_cache(maxsize=4096)
def _section(text: str) -> tuple[tuple[str, Any], ...]:
    return tuple(flat(parse_yaml(text, "config.yaml").data))
