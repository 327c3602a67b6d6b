"""Pictures as files: what a person looks at, and what is judged.

PNG and GIF show the object before its light, sRGB-encoded, white beyond 1. An `.npz` holds linear
light in half precision: `radiance` [H, W, 3] of the object alone, weighed by `coverage` [H, W], its
share of the pixel; and `behind` [H, W, 3], the light that is seen past it, weighed by the rest.
Their sum is the picture; `radiance / coverage` is the object's colour where there is some.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes
from gimbal_nero.relighting.renderer import Picture
from gimbal_nero.synthesis.writing import png_bytes, srgb_bytes

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_LARGEST = float(np.finfo(np.float16).max)
_TURN_MS = 3000
"""A whole turn of a GIF; frames are shown no shorter than browsers obey."""
_SHORTEST_MS = 20
_PALETTE_SIDE = 96


def shown(picture: Picture) -> Bytes:
    """Return [H, W, 3] sRGB, the object before its light."""
    return srgb_bytes(picture.whole)


def write_png(path: Path, pixels: Bytes) -> None:
    """Write [H, W, 3] sRGB pixels in one piece.

    Raises:
        StorageError: It cannot be written.
    """
    atomic_write_bytes(path, png_bytes(pixels))


def write_linear(path: Path, picture: Picture) -> None:
    """Write `radiance`, `coverage` and `behind` as float16 `.npz`; see this module's docstring.

    Raises:
        StorageError: It cannot be written.
    """
    parts = {name: getattr(picture, name) for name in ("radiance", "coverage", "behind")}
    halves = {
        name: np.clip(values, 0.0, _LARGEST).astype(np.float16) for name, values in parts.items()
    }
    content = io.BytesIO()
    np.savez_compressed(content, **halves)
    atomic_write_bytes(path, content.getvalue())


def gif_bytes(frames: Sequence[Bytes], turn_ms: int = _TURN_MS) -> bytes:
    """Return frames of one size as a GIF that goes on for ever, all of one palette.

    A palette for each frame would make the same surface flicker.

    Args:
        frames: [H, W, 3] sRGB, at least one.
        turn_ms: How long all of them are shown together.
    """
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in frames]
    every = max(1, len(frames) // 12)
    small = [picture.resize((_PALETTE_SIDE, _PALETTE_SIDE)) for picture in pictures[::every]]
    montage = np.concatenate([np.asarray(picture) for picture in small], axis=1)
    palette = Image.fromarray(montage).quantize(256, method=Image.Quantize.MEDIANCUT)
    shown = [picture.quantize(palette=palette) for picture in pictures]
    content = io.BytesIO()
    shown[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=shown[1:],
        duration=max(_SHORTEST_MS, round(turn_ms / len(frames))),
        loop=0,
        optimize=False,
    )
    return content.getvalue()


def file_name(view: str) -> str:
    """Return a view's name as one of a file; a source's folders become part of it."""
    return view.replace("/", "_").replace("\\", "_")
