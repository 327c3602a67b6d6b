"""A tiny HTML builder that escapes by default.

Object ids come from file names, so no text reaches the page except through here: plain strings
are escaped, only what `el` itself made (type `Html`) is taken as it is.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

VOID = frozenset({"br", "hr", "img", "input", "meta", "wbr"})


class Html(str):
    """Markup that is already safe."""

    __slots__ = ()


Child = str | int | float | None
Children = Child | Iterable[Child]


def el(tag: str, *children: Children, **attributes: str | int | bool | None) -> Html:
    """Make an element; strings among the children are escaped, None is left out.

    Args:
        tag: Element name.
        children: Text, `Html`, numbers, or iterables of these.
        attributes: `class_` becomes `class`, other underscores become dashes; True writes the
            bare name, None and False leave it out.
    """
    opening = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID:
        return Html(f"<{tag}{opening}>")
    return Html(f"<{tag}{opening}>{join(*children)}</{tag}>")


def join(*children: Children) -> Html:
    """Concatenate children, escaping every plain string."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str | int | float):
            parts.append(html.escape(str(child)))
        else:
            parts.append(join(*child))
    return Html("".join(parts))


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    key = name.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'


def script_json(value: Any) -> str:
    """Serialise for a `<script type="application/json">`: nothing in it can close the element.

    Non-finite numbers become null, since JSON has none.
    """
    try:
        text = _dump(value)
    except (TypeError, ValueError):  # going through every number beforehand takes far longer
        text = _dump(_plain(value))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def plot_text(text: object) -> str:
    """Escape text for Plotly labels, which read a subset of HTML."""
    return html.escape(str(text), quote=False)
