"""Pictures in a page that asks nothing of the network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from gimbal.experiment.files import storage_errors
from gimbal.pages.markup import Html, el

_WHOLE = "display:block;max-width:100%;image-rendering:pixelated"
_SCROLL = "overflow-x:auto;margin:8px 0 18px"
_ROWS = "display:grid;grid-template-columns:repeat(auto-fill,minmax(192px,1fr));gap:0 18px"
_KINDS = {".png": "image/png", ".gif": "image/gif"}


def picture(path: Path, words: str, least_px: int = 0) -> Html:
    """Return a PNG or GIF with all of it in its address, and a caption.

    Args:
        path: The file.
        words: What it shows; also for those who cannot see it.
        least_px: Width that a smaller one is enlarged to, its pixels kept sharp.

    Raises:
        StorageError: It cannot be read.
    """
    with storage_errors(path, "read"):
        content = base64.b64encode(path.read_bytes()).decode()
    address = f"data:{_KINDS[path.suffix]};base64,{content}"
    enlarged = f";min-width:min(100%,{least_px}px)" if least_px else ""
    image = el("img", src=address, alt=words, style=_WHOLE + enlarged)
    return el("figure", el("div", image, style=_SCROLL), el("figcaption", el("p", words)))


def side_by_side(pictures: Sequence[Html]) -> Html:
    """Return pictures in rows, as many in each as there is room for."""
    return el("div", list(pictures), style=_ROWS)
