"""Make binary PLY files with mixed polygons readable for trimesh.

Trimesh assumes that all lists of a binary element are as long as the first, and gives up on a file
in which triangles and quadrangles mix, which is what most editors export. Such a face element is
rewritten as triangles; properties of a face beside its corners are left out.
"""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

_SIZES = {
    **dict.fromkeys((b"char", b"uchar", b"int8", b"uint8"), 1),
    **dict.fromkeys((b"short", b"ushort", b"int16", b"uint16"), 2),
    **dict.fromkeys((b"int", b"uint", b"int32", b"uint32", b"float", b"float32"), 4),
    **dict.fromkeys((b"double", b"float64"), 8),
}
_SIGNED = (b"char", b"int8", b"short", b"int16", b"int", b"int32")
_CORNERS = (b"vertex_index", b"vertex_indices")
_HEADER = re.compile(
    rb"\Aply\r?\nformat binary_(little|big)_endian .*?\nend_header\r?\n", re.DOTALL
)

_Property = tuple[bytes, ...]


def with_triangles_only(content: bytes) -> bytes | None:
    """Return the file with its polygons of mixed sizes fanned into triangles.

    None for anything else: ASCII, polygons of one size, other layouts, damage.
    """
    header = _HEADER.match(content)
    if header is None:
        return None
    lines = header.group().split(b"\n")
    elements = _elements(lines)
    start = header.end()
    for name, count, properties in elements:
        if name == b"face":
            break
        if any(p[0] == b"list" for p in properties):
            return None
        start += count * sum(_SIZES[p[0]] for p in properties)
    else:
        return None
    if not any(p[0] == b"list" and p[-1] in _CORNERS for p in properties):
        return None
    triangles = _fans(content, start, count, properties, header.group(1) == b"big")
    if triangles is None:
        return None
    return _rewritten(lines, content[header.end() : start], triangles)


def _elements(lines: list[bytes]) -> list[tuple[bytes, int, list[_Property]]]:
    elements: list[tuple[bytes, int, list[_Property]]] = []
    for words in (line.split() for line in lines):
        if words[:1] == [b"element"] and len(words) == 3:
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == [b"property"] and elements:
            elements[-1][2].append(tuple(words[1:]))
    return elements


def _fans(
    content: bytes, at: int, count: int, properties: list[_Property], big: bool
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]] | None:
    """Walk the face element; return its triangles, or None where all faces are of one size."""
    order: Literal["big", "little"] = "big" if big else "little"
    sizes, polygons = set(), []
    for _ in range(count):
        for kind, *rest in properties:
            if kind != b"list":
                at += _SIZES[kind]
                continue
            of_length, of_item, name = rest
            length = int.from_bytes(content[at : at + _SIZES[of_length]], order)
            at += _SIZES[of_length]
            end = at + length * _SIZES[of_item]
            if end > len(content):
                return None
            if name in _CORNERS:
                sizes.add(length)
                polygons.append((at, length, of_item))
            at = end
    if len(sizes) < 2:
        return None
    triangles = []
    for at, length, kind in polygons:
        code = f"{'>' if big else '<'}{'i' if kind in _SIGNED else 'u'}{_SIZES[kind]}"
        corners = np.frombuffer(content, code, length, at).astype(np.int64)
        triangles += [(corners[0], corners[i], corners[i + 1]) for i in range(1, length - 1)]
    return np.array(triangles, np.int64).reshape(-1, 3)


def _rewritten(
    lines: list[bytes], before: bytes, triangles: np.ndarray[tuple[int, int], np.dtype[np.int64]]
) -> bytes:
    """Return a file with the elements before the faces unchanged and the faces as triangles."""
    position = next(i for i, line in enumerate(lines) if line.split()[:2] == [b"element", b"face"])
    head = [line.rstrip(b"\r") for line in lines[:position]]
    head += [b"element face %d" % len(triangles), b"property list uchar int vertex_indices"]
    big = b"binary_big_endian" in lines[1]
    rows = np.empty(len(triangles), [("n", "u1"), ("v", ">i4" if big else "<i4", 3)])
    rows["n"], rows["v"] = 3, triangles
    return b"\n".join([*head, b"end_header"]) + b"\n" + before + rows.tobytes()
