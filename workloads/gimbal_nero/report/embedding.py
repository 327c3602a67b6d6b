"""Pictures in a page that asks nothing of the network."""

from __future__ import annotations

import base64
from pathlib import Path

from gimbal.experiment.files import storage_errors
from gimbal.pages.markup import Html, el

_WHOLE = "display:block;max-width:100%;image-rendering:pixelated"
_SCROLL = "overflow-x:auto;margin:8px 0 18px"
_KINDS = {".png": "image/png", ".gif": "image/gif"}


def picture(path: Path, words: str) -> Html:
    """Return a PNG or GIF with all of it in its address, and a caption.

    Args:
        path: The file.
        words: What it shows; also for those who cannot see it.

    Raises:
        StorageError: It cannot be read.
    """
    with storage_errors(path, "read"):
        content = base64.b64encode(path.read_bytes()).decode()
    address = f"data:{_KINDS[path.suffix]};base64,{content}"
    image = el("img", src=address, alt=words, style=_WHOLE)
    return el("figure", el("div", image, style=_SCROLL), el("figcaption", el("p", words)))
