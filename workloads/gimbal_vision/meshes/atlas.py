"""Several textures and plain colours in one image.

A renderer then needs to know one texture only. Images are placed side by side on shelves, each
with a border that continues it, so that bilinear sampling at its edge never sees a neighbour. A
texture that repeats over a face is repeated in the atlas, smaller if it must be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gimbal_vision.meshes.model import Bytes, Floats

MAX_SIDE = 8192
"""Pixels of the longer side of an atlas; 8192 x 8192 is what any GPU takes."""
_BORDER = 2
_MAX_REPEATS = 64
_PALETTE_LEVELS = 32
"""Plain colours are rounded to so many levels a channel when they must become texels."""


@dataclass(frozen=True, eq=False)
class Texture:
    """An image and where each face's corners lie on it.

    Attributes:
        image: [H, W, 3] uint8, row 0 at the top.
        uv: [F, 3, 2] float32, (0, 0) the lower left corner of the image; repeats outside [0, 1].
    """

    image: Bytes
    uv: Floats


def pack(
    surfaces: Sequence[Texture | Bytes], max_side: int = MAX_SIDE
) -> tuple[Texture, list[str]]:
    """Return one texture for all surfaces and warnings about lost detail.

    Args:
        surfaces: For each part its texture, or the plain colours [F, 3, 3] uint8 of its faces'
            corners. At least one part is textured.
        max_side: Pixels of the longer side of the result, and of one repeated texture in it.
    """
    first = surfaces[0]
    if isinstance(first, Texture) and _all_show(surfaces, first.image):
        uv = [surface.uv for surface in surfaces if isinstance(surface, Texture)]
        return Texture(first.image, np.concatenate(uv)), []
    tiles = [_unroll(s, max_side) if isinstance(s, Texture) else _palette(s) for s in surfaces]
    images, slot_of = _distinct([tile.image for tile in tiles])
    images, scale = _fit([_with_border(image) for image in images], max_side)
    corners, height, width = _shelves([image.shape[:2] for image in images])
    atlas = np.zeros((height, width, 3), np.uint8)
    for image, (top, left) in zip(images, corners, strict=True):
        atlas[top : top + image.shape[0], left : left + image.shape[1]] = image
    uv = [
        _place(tile, corners[slot], images[slot].shape[:2], (height, width))
        for tile, slot in zip(tiles, slot_of, strict=True)
    ]
    warnings = [] if scale == 1 else [f"textures were shrunk to {scale:.0%} to fit one image"]
    return Texture(atlas, np.concatenate(uv)), warnings


def _all_show(surfaces: Sequence[Texture | Bytes], image: Bytes) -> bool:
    return all(
        isinstance(s, Texture)
        and (s.image is image or (s.image.shape == image.shape and (s.image == image).all()))
        for s in surfaces
    )


def _unroll(texture: Texture, max_side: int) -> Texture:
    """Return the texture with coordinates inside [0, 1], repeating the image where a face does."""
    uv = texture.uv - np.floor(texture.uv.min(axis=1, keepdims=True))
    repeats = np.clip(np.ceil(uv.reshape(-1, 2).max(axis=0, initial=1.0)), 1, _MAX_REPEATS)
    across, up = int(repeats[0]), int(repeats[1])
    if across == up == 1:
        return Texture(texture.image, uv)
    height, width = texture.image.shape[:2]
    size = (max(1, min(width, max_side // across)), max(1, min(height, max_side // up)))
    image = np.tile(_resized(texture.image, size), (up, across, 1))
    return Texture(image, (uv / repeats).clip(0.0, 1.0).astype(np.float32))


def _palette(corner_colors: Bytes) -> Texture:
    """Return a texture of 2 x 2 patches, one for each colour; a face has its corners' mean."""
    mean = corner_colors.astype(np.float64).mean(axis=1)
    exact, index = np.unique(mean.round().astype(np.uint8), axis=0, return_inverse=True)
    if len(exact) > _PALETTE_LEVELS**2:
        step = 255.0 / (_PALETTE_LEVELS - 1)
        rounded = ((mean / step).round() * step).round().astype(np.uint8)
        exact, index = np.unique(rounded, axis=0, return_inverse=True)
    side = int(np.ceil(np.sqrt(len(exact))))
    image = np.zeros((side * side, 3), np.uint8)
    image[: len(exact)] = exact
    row, column = np.divmod(index.ravel(), side)
    centre = np.stack([(column + 0.5) / side, 1.0 - (row + 0.5) / side], axis=-1)
    uv = np.repeat(centre[:, None].astype(np.float32), 3, axis=1)
    return Texture(image.reshape(side, side, 3).repeat(2, axis=0).repeat(2, axis=1), uv)


def _distinct(images: Sequence[Bytes]) -> tuple[list[Bytes], list[int]]:
    """Return the images without repeats and the place of each in that list."""
    slots: dict[tuple[bytes, tuple[int, ...]], int] = {}
    kept: list[Bytes] = []
    places = []
    for image in images:
        key = (hashlib.blake2b(image.tobytes()).digest(), image.shape)
        if key not in slots:
            slots[key] = len(kept)
            kept.append(image)
        places.append(slots[key])
    return kept, places


def _with_border(image: Bytes) -> Bytes:
    return np.pad(image, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), mode="edge")


def _fit(images: list[Bytes], max_side: int) -> tuple[list[Bytes], float]:
    """Halve bordered images until their shelves fit; return them and the scale."""
    scale = 1.0
    while max(_shelves([image.shape[:2] for image in images])[1:]) > max_side:
        scale /= 2
        inner = [image[_BORDER:-_BORDER, _BORDER:-_BORDER] for image in images]
        if all(max(image.shape[:2]) == 1 for image in inner):
            break
        images = [
            _with_border(_resized(i, (max(1, i.shape[1] // 2), max(1, i.shape[0] // 2))))
            for i in inner
        ]
    return images, scale


def _resized(image: Bytes, size: tuple[int, int]) -> Bytes:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX), np.uint8)


def _shelves(sizes: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, int]], int, int]:
    """Place (height, width) boxes on shelves, tallest first.

    Returns:
        The (top, left) corner of each box, and height and width of the whole.
    """
    area = sum(height * width for height, width in sizes)
    width = max(max(w for _, w in sizes), int(np.ceil(np.sqrt(area))))
    corners = [(0, 0)] * len(sizes)
    top = left = shelf = 0
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i][0], i)):
        if left + sizes[i][1] > width:
            top, left, shelf = top + shelf, 0, 0
        corners[i] = (top, left)
        left += sizes[i][1]
        shelf = max(shelf, sizes[i][0])
    return corners, top + shelf, width


def _place(
    tile: Texture, corner: tuple[int, int], size: tuple[int, ...], atlas: tuple[int, int]
) -> Floats:
    """Return the coordinates of a tile's corners on the atlas."""
    inner = np.array([size[1] - 2 * _BORDER, size[0] - 2 * _BORDER], np.float64)
    left_bottom = np.array([corner[1] + _BORDER, atlas[0] - corner[0] - size[0] + _BORDER])
    placed = (tile.uv * inner + left_bottom) / np.array([atlas[1], atlas[0]])
    return np.asarray(placed, np.float32)
