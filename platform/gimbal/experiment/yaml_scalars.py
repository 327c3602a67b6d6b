"""What an unquoted word in a config file means.

The rules are YAML 1.2's core schema, not the YAML 1.1 that most Python readers follow, because the
older rules silently turn a country into False and a time into a number:

| written | meaning |
|---|---|
| `true`, `false` (also `True`, `TRUE`, ...) | truth values; `yes`, `no`, `on`, `off` stay text |
| `null`, `~`, nothing | None |
| `12`, `-3`, `0x1f`, `0o17` | integers; `1:30` and `1_000` stay text |
| `000069` | text: a number with leading zeros is a name, and must not lose them |
| `1.5`, `1e3`, `.5`, `.inf`, `-.inf`, `.nan` | floats |
| anything else, dates too | text |

A truth-valued setting still accepts `yes` and `no`: the settings model reads the text.
"""

from __future__ import annotations

import re

NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
TRUE = re.compile(r"^(?:true|True|TRUE)$")
FALSE = re.compile(r"^(?:false|False|FALSE)$")
INTEGER = re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,308})$")
OCTAL = re.compile(r"^0o[0-7]{1,100}$")
HEXADECIMAL = re.compile(r"^0x[0-9a-fA-F]{1,100}$")
FLOAT = re.compile(
    r"^[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|(?:0|[1-9][0-9]*)(?=[eE]))(?:[eE][-+]?[0-9]+)?$"
)
INFINITE = re.compile(r"^[-+]?\.(?:inf|Inf|INF)$")
NOT_A_NUMBER = re.compile(r"^\.(?:nan|NaN|NAN)$")

Scalar = str | int | float | bool | None


def read_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar by the rules above."""
    if NULL.match(text):
        return None
    if TRUE.match(text):
        return True
    if FALSE.match(text):
        return False
    if INTEGER.match(text):
        return int(text)
    if OCTAL.match(text):
        return int(text[2:], 8)
    if HEXADECIMAL.match(text):
        return int(text[2:], 16)
    if FLOAT.match(text):
        return float(text)
    if INFINITE.match(text):
        return float("-inf") if text[0] == "-" else float("inf")
    if NOT_A_NUMBER.match(text):
        return float("nan")
    return text
