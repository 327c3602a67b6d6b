"""The contact sheet: each view above the cloud it led to, above the curve of coverage.

The curve's points stand below the column of their view, so that the sheet is read downwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gimbal_nbv.playing.colours import INK, PAPER, QUIET, RULE, Colour, line_colour
from gimbal_nbv.playing.play import Played

Pixels = NDArray[np.uint8]

_GAP, _EDGE = 10, 28
_HEAD, _LABEL, _CHART = 86, 30, 190
_FINER = 3
_LABELS = {"policy": "learned policy", "blind": "blind control", "oracle": "oracle (knows it all)"}


def contact_sheet(
    played: Played, photographs: Sequence[Pixels], clouds: Sequence[Pixels]
) -> Image.Image:
    """Lay out pictures of equal size, one column a view."""
    cell, columns = len(photographs[0]), len(photographs)
    width = 2 * _EDGE + columns * cell + (columns - 1) * _GAP
    height = _HEAD + 2 * (cell + _LABEL) + _CHART + _EDGE
    sheet = Image.new("RGB", (width, height), PAPER)
    lefts = [_EDGE + column * (cell + _GAP) for column in range(columns)]
    _head(sheet, played)
    covered = played.rollout.coverage[0]
    for column, left in enumerate(lefts):
        view = played.views[column]
        title = f"view {column + 1}, candidate {view}"
        _picture(sheet, photographs[column], (left, _HEAD), title)
        gained = covered[column] - (covered[column - 1] if column else 0)
        label = f"{covered[column]:.1%}" + (f"  (+{100 * gained:.1f})" if column else " covered")
        _picture(sheet, clouds[column], (left, _HEAD + cell + _LABEL), label, strong=True)
    top = _HEAD + 2 * (cell + _LABEL) + 16
    _chart(sheet, played, [left + cell // 2 for left in lefts], (top, top + _CHART - 20))
    return sheet


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of all pictures."""
    return ImageFont.load_default(size)


def _head(sheet: Image.Image, played: Played) -> None:
    draw = ImageDraw.Draw(sheet)
    name = _LABELS.get(played.rollout.policy, played.rollout.policy)
    draw.text((_EDGE, 18), f"{played.play.mesh.name}, {name}", INK, font(26))
    final = {played.rollout.policy: played.rollout, **played.others}
    words = ", ".join(f"{key} {one.coverage[0, -1]:.1%}" for key, one in final.items())
    text = f"Surface covered after {len(played.views)} views: {words}. Orange: new with this view."
    draw.text((_EDGE, 52), text, QUIET, font(16))


def _picture(
    sheet: Image.Image, image: Pixels, at: tuple[int, int], label: str, *, strong: bool = False
) -> None:
    left, top = at
    side = len(image)
    sheet.paste(Image.fromarray(image), at)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline=RULE)
    draw.text((left + 2, top + side + 5), label, INK if strong else QUIET, font(16))


def _chart(
    sheet: Image.Image, played: Played, columns: Sequence[int], rows: tuple[int, int]
) -> None:
    """Draw coverage curves between two rows; each curve's name stands at its first point."""
    top, bottom = rows
    curves = {**played.others, played.rollout.policy: played.rollout}
    lowest = min(float(one.coverage[0, 0]) for one in curves.values())
    floor = max(math.floor(lowest * 10) / 10, 0.0)

    def height(share: float) -> float:
        return bottom - (share - floor) / (1 - floor) * (bottom - top)

    _grid(sheet, [(share, height(share)) for share in _ticks(floor)], columns)
    for number, (name, one) in enumerate(curves.items()):
        points = [(x, height(float(y))) for x, y in zip(columns, one.coverage[0], strict=True)]
        _curve(sheet, points, line_colour(name), 3 if one is played.rollout else 2)
        place = (columns[-1] - 190, bottom - 22 - 20 * number)
        _key(sheet, _LABELS.get(name, name), line_colour(name), place)


def _ticks(floor: float) -> list[float]:
    step = 0.2 if floor < 0.6 else 0.1
    return [share for share in np.arange(0, 1 + step / 2, step).tolist() if share >= floor]


def _grid(sheet: Image.Image, ticks: Sequence[tuple[float, float]], columns: Sequence[int]) -> None:
    draw = ImageDraw.Draw(sheet)
    for share, y in ticks:
        draw.line((columns[0] - 30, y, columns[-1] + 40, y), RULE)
        draw.text((columns[0] - 38, y), f"{share:.0%}", QUIET, font(13), anchor="rm")


def _curve(
    sheet: Image.Image, points: Sequence[tuple[float, float]], colour: Colour, width: int
) -> None:
    """Draw a smooth line with dots: a mask at a multiple of the size, reduced."""
    mask = Image.new("L", (sheet.width * _FINER, sheet.height * _FINER), 0)
    draw = ImageDraw.Draw(mask)
    fine = [(_FINER * x, _FINER * y) for x, y in points]
    draw.line(fine, 255, width * _FINER, joint="curve")
    radius = (width + 1.5) * _FINER
    for x, y in fine:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    sheet.paste(colour, mask=mask.reduce(_FINER))


def _key(sheet: Image.Image, name: str, colour: Colour, place: tuple[int, int]) -> None:
    x, y = place
    draw = ImageDraw.Draw(sheet)
    draw.line((x, y, x + 22, y), colour, 3)
    draw.text((x + 30, y), name, INK, font(14), anchor="lm")
