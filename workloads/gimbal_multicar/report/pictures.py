"""The contact sheet: of each split a few panoramas with their ranges and masks."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gimbal.pages.markup import Html, el
from gimbal_multicar.drawing import (
    LAYERS,
    Bytes,
    FileKind,
    encoded,
    mask_picture,
    range_picture,
)
from gimbal_multicar.row_reading import image_of
from gimbal_multicar.spreading import spread

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader

PER_SPLIT = 3
_WHOLE_WIDTH = "display:block;width:100%;margin-bottom:4px;border-radius:4px"


def contact_sheet(rows: BlockReader, splits: Mapping[str, Sequence[int]]) -> Html:
    """Return markup with `PER_SPLIT` panoramas of each split, evenly spaced.

    Args:
        rows: Of stage `panoramas`.
        splits: Row numbers by split.
    """
    parts = []
    for split, members in splits.items():
        chosen = spread(members, PER_SPLIT)
        parts.append(el("h3", split))
        parts += [panorama_figure(rows[index]) for index in chosen]
    return el("div", layer_key(), parts, class_="sheet")


def panorama_figure(row: Mapping[str, Any]) -> Html:
    """Return one panorama with its range and mask below it."""
    image = image_of(row)
    name = f"{row['scenario']} / {row['agent_id']} / {row['frame']}"
    pictures: Sequence[tuple[str, Bytes, FileKind]] = (
        ("colours", image.rgb, "JPEG"),
        ("range", range_picture(image.range_m), "JPEG"),
        ("mask", mask_picture(image), "PNG"),
    )
    drawn = [
        el("img", src=data_uri(picture, kind), alt=f"{what} of {name}", style=_WHOLE_WIDTH)
        for what, picture, kind in pictures
    ]
    words = (
        f"{name}: range known of {image.valid.mean():.0%} of the pixels "
        f"({row['depth_source']}), colours moved {row['moved_share']:.1%}"
    )
    caption = el("figcaption", el("p", words))
    pair = el("div", drawn[1:], style="display:grid;grid-template-columns:1fr 1fr;gap:4px")
    return el("figure", drawn[0], pair, caption, style="margin:10px 0 22px")


def layer_key() -> Html:
    """Return what the colours of the mask mean."""
    return colour_key(LAYERS)


def colour_key(colours: Mapping[str, tuple[int, int, int]]) -> Html:
    """Return what some colours mean, by name."""
    chips = [
        el("span", el("span", class_="swatch", style=f"--swatch:rgb{colour}"), f" {name}")
        for name, colour in colours.items()
    ]
    return el("p", chips, class_="key")


def data_uri(picture: Bytes, kind: FileKind) -> str:
    """Return a picture as an address that holds all of it."""
    data = base64.b64encode(encoded(picture, kind)).decode()
    return f"data:image/{kind.lower()};base64,{data}"
