"""Arrays as pictures, and pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gimbal_nero.capture import Bytes
from gimbal_nero.watching.rendering import Array, Bools, Floats

_GAP, _HEADER, _SMALLEST = 3, 15, 96
"""Pixels between pictures, above them, and the least width of one: names fit into it."""
_PAPER, _INK = 255, (40, 40, 40)


def linear_light(srgb: Array) -> Floats:
    """Decode sRGB in [0, 1] (IEC 61966-2-1)."""
    bright = ((srgb + 0.055) / 1.055) ** 2.4
    return np.asarray(np.where(srgb <= 0.04045, srgb / 12.92, bright), np.float64)


def encoded_srgb(linear: Array) -> Floats:
    """Encode linear light, at least 0, and clip it to [0, 1]."""
    bright = 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    return np.clip(np.where(linear <= 0.0031308, 12.92 * linear, bright), 0, 1)


def grey(values: Floats) -> Bytes:
    """Return [H, W, 3] of [H, W] in [0, 1]; what is not finite is black."""
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    level = np.rint(np.clip(finite, 0.0, 1.0) * 255).astype(np.uint8)
    return np.repeat(level[..., None], 3, -1)


def coloured(values: Floats, known: Bools) -> Bytes:
    """Return [H, W, 3] of [H, W] in [0, 1] by colour; black where not known."""
    import cv2

    mapped = cv2.applyColorMap(grey(values)[..., :1], cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return np.asarray(np.where(known[..., None], mapped, 0), np.uint8)


def signed(values: Floats) -> Bytes:
    """Return [H, W, 3] of [H, W] in [-1, 1]: orange below zero, blue above, white at zero."""
    ends = np.array([[214, 96, 24], [255, 255, 255], [33, 102, 172]], np.float64)
    place = np.clip(values, -1.0, 1.0)[..., None]
    mixed = np.where(
        place < 0,
        ends[1] + (ends[0] - ends[1]) * -place,
        ends[1] + (ends[2] - ends[1]) * place,
    )
    return np.asarray(np.rint(mixed), np.uint8)


def sheet(rows: Sequence[Sequence[tuple[str, Bytes]]]) -> Bytes:
    """Return named pictures in rows; small ones are enlarged without blurring."""
    drawn = [np.concatenate([_named(*one) for one in row], axis=1) for row in rows]
    width = max(row.shape[1] for row in drawn)
    padded = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=_PAPER)
              for r in drawn]  # fmt: skip
    return np.asarray(np.concatenate(padded, axis=0), np.uint8)


def png(picture: Bytes) -> bytes:
    """Return a picture [H, W, 3] as a file's content."""
    import cv2

    return bytes(cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1])


def _named(name: str, picture: Bytes) -> Bytes:
    import cv2

    times = max(1, -(-_SMALLEST // picture.shape[1]))
    large = np.repeat(np.repeat(picture, times, 0), times, 1)
    framed = np.full((large.shape[0] + _HEADER, large.shape[1] + _GAP, 3), _PAPER, np.uint8)
    cv2.putText(framed, name, (2, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, _INK, 1, cv2.LINE_AA)
    framed[_HEADER:, :-_GAP] = large
    return framed
