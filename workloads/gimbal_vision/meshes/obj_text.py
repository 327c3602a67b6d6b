"""Make OBJ text safe for trimesh: indices that count backwards become absolute.

A negative index counts back from the last vertex read *so far*. Trimesh counts from the end of the
file, which is wrong as soon as vertices and faces alternate.
"""

from __future__ import annotations

import re

_HAS_RELATIVE = re.compile(rb"^\s*f\b[^\n]*[\s/]-\d", re.MULTILINE)
_COUNTED = {b"v": 0, b"vt": 1, b"vn": 2}


def plain_obj(text: bytes) -> bytes:
    """Return the text with Unix line ends and every negative face index replaced."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if _HAS_RELATIVE.search(text) is None:
        return text
    counts = [0, 0, 0]
    lines = text.replace(b"\\\n", b" ").splitlines()
    for number, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        if words[0] in _COUNTED:
            counts[_COUNTED[words[0]]] += 1
        elif words[0] == b"f" and b"-" in line:
            lines[number] = b"f " + b" ".join(_absolute(corner, counts) for corner in words[1:])
    return b"\n".join(lines) + b"\n"


def _absolute(corner: bytes, counts: list[int]) -> bytes:
    indices = corner.split(b"/")
    return b"/".join(
        b"%d" % (count + 1 + int(index)) if index.startswith(b"-") else index
        for index, count in zip(indices, counts, strict=False)
    )
