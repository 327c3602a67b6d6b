"""A table in the form cv2 is fastest at: rectangles with fixed-point maps.

Each camera fills a few rectangles of the panorama, written straight into it; pixels of a rectangle
that belong to another camera point outside the image, which cv2 leaves alone (BORDER_TRANSPARENT).
Compared with one big remap of all images joined, nothing is copied first. Fixed-point maps hold
1/32 of a pixel, as finely as cv2 interpolates anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from gimbal_vision.panoramas.model import NO_CAMERA
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.table import RemapTable
from gimbal_vision.rendering.jit import kernel

Array = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Shares = np.ndarray[Any, np.dtype[np.uint16]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Window = tuple[slice, slice]

OUTSIDE = -100.0
"""A coordinate no image has."""

LAST = 1.0 / 32.0
"""cv2 takes the last row and column themselves for outside when it must leave such pixels alone;
coordinates stay this much short of them."""


@dataclass(frozen=True, eq=False)
class Block:
    """One rectangle of the panorama, from one camera.

    Attributes:
        camera: Its index.
        border: How cv2 treats coordinates outside the image. Where a block is one camera's alone,
            repeating the border is faster than leaving pixels alone.
        window: Rows and columns of the panorama.
        colour_maps: cv2's fixed-point maps.
        depth_maps: Rounded coordinates, float32; none for an extra.
        share: None, or [h, w] uint16 how much of the mixture this camera is, of 256; the rest is
            what is there already.
    """

    camera: int
    border: int
    window: Window
    colour_maps: tuple[Array, Array]
    depth_maps: tuple[Floats, Floats] | None
    share: Shares | None


@dataclass(frozen=True, eq=False)
class Plan:
    """What building a panorama takes, beside the images.

    Attributes:
        blocks: In the order they are drawn: first each pixel's own camera, then extras.
        range_per_depth: [H, W] float32 factors from the z-depth of the pixel that is looked up to
            its range, 0 where no camera sees.
        coverage: [H, W] bool.
    """

    blocks: tuple[Block, ...]
    range_per_depth: Floats
    coverage: Bools


def make_plan(rig: Rig, table: RemapTable) -> Plan:
    """Return the plan of a table of that rig."""
    factors = np.zeros(table.x.shape, np.float32)
    blocks: list[Block] = []
    for i, camera in enumerate(rig.cameras):
        own = table.camera_index == i
        column, row = np.rint(table.x[own]).astype(int), np.rint(table.y[own]).astype(int)
        factors[own] = camera.camera.range_per_depth()[row, column]
        size = camera.camera.height, camera.camera.width
        blocks += [_own_block(i, w, table, own[w], size) for w in _windows(own)]
    blocks += _extra_blocks(rig, table)
    return Plan(tuple(blocks), factors, table.camera_index != NO_CAMERA)


def _own_block(
    camera: int, window: Window, table: RemapTable, own: Bools, size: tuple[int, int]
) -> Block:
    x, y = table.x[window], table.y[window]
    depth = (_masked(np.rint(x), own), _masked(np.rint(y), own))
    border = cv2.BORDER_REPLICATE if own.all() else cv2.BORDER_TRANSPARENT
    return Block(camera, border, window, _colour_maps(x, y, own, size), depth, None)


def _extra_blocks(rig: Rig, table: RemapTable) -> list[Block]:
    """Return blocks that are laid over the others, each with its share of the sum so far."""
    blocks: list[Block] = []
    total = table.weight.copy()
    for i, camera in enumerate(rig.cameras):
        mine = table.extra_camera == i
        x, y, weight = (np.zeros_like(total) for _ in range(3))
        for image, values in ((x, table.extra_x), (y, table.extra_y), (weight, table.extra_weight)):
            image.reshape(-1)[table.extra_pixel[mine]] = values[mine]
        total += weight
        alpha = weight / np.where(total > 0, total, np.float32(1))
        size = camera.camera.height, camera.camera.width
        for w in _windows(weight > 0):
            maps = _colour_maps(x[w], y[w], weight[w] > 0, size)
            share = np.round(256 * alpha[w]).astype(np.uint16)
            blocks.append(Block(i, cv2.BORDER_REPLICATE, w, maps, None, share))
    return blocks


def _colour_maps(x: Floats, y: Floats, own: Bools, size: tuple[int, int]) -> tuple[Array, Array]:
    height, width = size
    held_x = np.clip(x, 0, max(width - 1 - LAST, 0))
    held_y = np.clip(y, 0, max(height - 1 - LAST, 0))
    first, second = cv2.convertMaps(_masked(held_x, own), _masked(held_y, own), cv2.CV_16SC2)
    return first, second


def _masked(values: Floats, own: Bools) -> Floats:
    return np.where(own, values, np.float32(OUTSIDE)).astype(np.float32)


def _windows(pixels: Bools) -> list[Window]:
    """Return rectangles around the true pixels, one per run of columns that have any."""
    edges = np.flatnonzero(np.diff(pixels.any(axis=0), prepend=False, append=False))
    windows = []
    for first, last in edges.reshape(-1, 2):
        rows = np.flatnonzero(pixels[:, first:last].any(axis=1))
        windows.append((slice(int(rows[0]), int(rows[-1]) + 1), slice(int(first), int(last))))
    return windows


def draw_colour(plan: Plan, images: list[Array], panorama: Array) -> None:
    """Write colours into [H, W, 3] uint8; pixels no camera sees are left alone."""
    for block in plan.blocks:
        target = panorama[block.window]
        source, (first, second) = images[block.camera], block.colour_maps
        target_or_new = target if block.share is None else None
        drawn = cv2.remap(
            source, first, second, cv2.INTER_LINEAR, dst=target_or_new, borderMode=block.border
        )
        if block.share is not None:
            _mix(target, drawn, block.share)


@kernel()
def _mix(target: Array, other: Array, share: Shares) -> None:
    """Mix `other` [h, w, 3] uint8 into `target`, in place."""
    height, width = share.shape
    for i in range(height):
        for j in range(width):
            over = np.int32(share[i, j])
            for c in range(3):
                sum_of_256 = (
                    np.int32(target[i, j, c]) * (256 - over) + np.int32(other[i, j, c]) * over
                )
                target[i, j, c] = np.uint8((sum_of_256 + 128) >> 8)


def draw_depth(plan: Plan, depths: list[Floats], panorama: Floats) -> None:
    """Write z-depths of the nearest pixel of each pixel's own camera into [H, W] float32."""
    for block in plan.blocks:
        if block.depth_maps is not None:
            cv2.remap(
                depths[block.camera],
                *block.depth_maps,
                cv2.INTER_NEAREST,
                dst=panorama[block.window],
                borderMode=block.border,
            )
