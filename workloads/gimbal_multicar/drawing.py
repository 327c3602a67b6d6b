"""Panoramas as pictures: ranges in colour, mask layers in colour, the cameras' borders."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from gimbal_vision.cameras import Panorama, Pinhole
from gimbal_vision.panoramas.model import PanoramaImage
from gimbal_vision.panoramas.rig import Rig, RigCamera

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Colour = tuple[int, int, int]
FileKind = Literal["PNG", "JPEG"]

NEAREST_M, FARTHEST_M = 1.0, 200.0
"""Ranges are coloured by their logarithm between these."""

LAYERS: Mapping[str, Colour] = {
    "no camera sees it": (38, 40, 48),
    "sky": (120, 170, 224),
    "surface of unknown range": (236, 168, 72),
    "surface of known range": (74, 158, 104),
}
"""The three mask layers as four kinds of pixels, from what nobody sees to what is measured."""

CAMERA_COLOURS: Sequence[Colour] = (
    (255, 99, 71),
    (80, 200, 255),
    (255, 214, 64),
    (140, 230, 120),
    (220, 140, 255),
    (255, 160, 90),
)


def mask_layers(image: PanoramaImage) -> Bytes:
    """Return [H, W] uint8: number of each pixel's kind in `LAYERS`."""
    kinds = image.coverage.astype(np.uint8)
    kinds[image.non_ambiguous] = 2
    kinds[image.valid] = 3
    return kinds


def mask_picture(image: PanoramaImage) -> Bytes:
    """Return [H, W, 3] the mask layers in the colours of `LAYERS`."""
    palette = np.array(list(LAYERS.values()), np.uint8)
    picture: Bytes = palette[mask_layers(image)]
    return picture


def range_picture(range_m: Floats) -> Bytes:
    """Return [H, W, 3] ranges by colour, near is warm; black where unknown."""
    import cv2

    known = range_m > 0
    share = np.log(np.clip(range_m, NEAREST_M, FARTHEST_M) / NEAREST_M)
    share = 1.0 - share / np.log(FARTHEST_M / NEAREST_M)
    coloured = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    picture: Bytes = np.ascontiguousarray(coloured[..., ::-1])
    picture[~known] = 0
    return picture


def camera_picture(image: PanoramaImage, rig: Rig) -> Bytes:
    """Return [H, W, 3] the panorama with each camera's border and name drawn over it.

    Borders are those of the camera's whole image for things far away, so that overlaps show.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(image.rgb)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(10, image.camera.height // 14))
    for number, mounted in enumerate(rig.cameras):
        colour = CAMERA_COLOURS[number % len(CAMERA_COLOURS)]
        for line in border_lines(mounted, image.camera):
            draw.line([tuple(point) for point in line], fill=colour, width=2)
        place = _name_place(mounted, image.camera, number)
        draw.text(place, mounted.name, fill=colour, font=font, anchor="mm", stroke_width=2,
                  stroke_fill=(0, 0, 0))  # fmt: skip
    return np.asarray(picture)


def border_lines(mounted: RigCamera, panorama: Panorama) -> list[Floats]:
    """Return the border of a camera's image as lines [n, 2] of panorama pixels, cut at +-180."""
    directions = _border_rays(mounted.camera) @ mounted.car_from_camera[:3, :3].T
    pixels, _ = panorama.project(directions)
    jumps = np.flatnonzero(np.abs(np.diff(pixels[:, 0])) > panorama.width / 2) + 1
    lines = np.split(pixels, jumps)
    limit = 4.0 * panorama.height
    return [np.clip(line, -limit, panorama.width + limit) for line in lines if len(line) > 1]


def _border_rays(camera: Pinhole, per_side: int = 64) -> Floats:
    across = np.linspace(0.0, camera.width, per_side)
    down = np.linspace(0.0, camera.height, per_side)
    u = np.concatenate([across, np.full(per_side, camera.width), across[::-1], np.zeros(per_side)])
    v = np.concatenate([np.zeros(per_side), down, np.full(per_side, camera.height), down[::-1]])
    return np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)


def _name_place(mounted: RigCamera, panorama: Panorama, number: int) -> tuple[float, float]:
    """Names of neighbours stand at two heights, so that those of many cameras stay apart.

    That of a camera that looks backwards stands whole at the end where its axis is.
    """
    pixel, _ = panorama.project(mounted.car_from_camera[:3, 2])
    room = min(0.3 * panorama.height * len(mounted.name) / 7, panorama.width / 2)
    place = float(np.clip(pixel[0], room, panorama.width - room))
    return place, panorama.height * (0.08 if number % 2 == 0 else 0.2)


def encoded(picture: Bytes, kind: FileKind) -> bytes:
    """Return a picture as a file."""
    from PIL import Image

    buffer = io.BytesIO()
    options: dict[str, Any] = {"optimize": True} if kind == "PNG" else {"quality": 88}
    Image.fromarray(picture).save(buffer, format=kind, **options)
    return buffer.getvalue()
