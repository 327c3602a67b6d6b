r"""Text from strangers (logs, process names, reasons) made harmless for terminals and pages.

A log has two forms. A followed log is text: control characters and terminal sequences are dropped.
A log read by ranges must keep its offsets, so there they become as many blanks; a lone `\r` (a
progress bar) becomes a line end. Bytes that are no UTF-8 become `?`.
"""

from __future__ import annotations

import re
from typing import Any

MAX_LINE = 8192
"""Characters of one log line that are sent; what is longer is cut."""
MAX_WORDS = 2000
"""Characters of any other foreign text."""
CONTEXT_BYTES = 64
"""Neighbouring bytes `blanked` needs to judge those at the rim."""

_SEQUENCE = r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,48}(?:\x07|\x1b\\)|[@-Z\\-_])"
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_HOSTILE = re.compile(f"{_SEQUENCE}|{_CONTROL}")


def cleaned(text: str, limit: int = MAX_WORDS) -> str:
    """Return a text as one line without control characters, at most `limit` characters long."""
    if not text.isprintable():
        text = _HOSTILE.sub("", text.replace("\n", " ").replace("\t", " "))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cleaned_lines(raw: bytes) -> list[str]:
    r"""Return whole log lines, without their ends; `raw` should end with `\n` or `\r`."""
    text = raw.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [cleaned(line, MAX_LINE) for line in lines]


def blanked(window: bytes, start: int, end: int) -> bytes:
    """Return `window[start:end]` made harmless, as long as it was.

    Args:
        window: The bytes wanted and, where there are some, `CONTEXT_BYTES` on either side.
        start: Where those wanted begin.
        end: Where they end.
    """
    text = window.decode("utf-8", errors="surrogateescape")
    return _HOSTILE.sub(_blank, text).encode("utf-8", errors="surrogateescape")[start:end]


def cleaned_plain(value: Any) -> Any:
    """Return plain data with every text in it made harmless and every number one JSON knows."""
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, dict):
        return {cleaned(str(key)): cleaned_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned_plain(item) for item in value]
    if isinstance(value, float) and value - value != 0:  # NaN and infinities, which JSON has not
        return str(value)
    return value


def _blank(match: re.Match[str]) -> str:
    found = match.group()
    if found == "\r":
        return "\n"
    if "\udc80" <= found <= "\udcff":
        return "?"
    return " " * len(found.encode("utf-8", errors="surrogatepass"))
