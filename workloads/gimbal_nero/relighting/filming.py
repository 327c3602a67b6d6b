"""Pictures along a path as files: `<light>-<number>.png`, `<light>.gif` and `pictures.json`.

`pictures.json` is there from the start, so that a folder which was left halfway is still known to
be ours; `finished` says whether all is there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gimbal.experiment.files import (
    atomic_write_bytes,
    atomic_write_json,
    ensure_folder,
    storage_errors,
)
from gimbal_nero.relighting.files import gif_bytes, shown, write_png
from gimbal_nero.relighting.illumination import Illumination
from gimbal_nero.relighting.renderer import Renderer, Shot

Progress = Callable[[int, int, str], None]

PICTURES_FILE = "pictures.json"
_OURS = re.compile(r".+-\d{4}\.png|.+\.gif|pictures\.json")


def is_ours(name: str) -> bool:
    """Tell whether a file of that name may be one that `film` wrote."""
    return _OURS.fullmatch(name) is not None


def film(
    renderer: Renderer,
    lights: Mapping[str, Illumination],
    shots: Sequence[Shot],
    directions: int,
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress,
) -> dict[str, Any]:
    """Make every shot under every light and return what `pictures.json` says.

    Args:
        renderer: Of the object.
        lights: By the names that files get.
        shots: At least one; a GIF is made of several of one size.
        directions: Of each way of choosing, for a pixel.
        folder: Where.
        seed: Of rays and directions.
        progress: Told of pictures.

    Raises:
        StorageError: Something cannot be written.
    """
    began = time.monotonic()
    ensure_folder(folder)
    atomic_write_json(folder / PICTURES_FILE, {"finished": False})
    made: list[dict[str, Any]] = []
    total = len(lights) * len(shots)
    for name, light in lights.items():
        frames, files = [], []
        for number, shot in enumerate(shots):
            progress(len(made) * len(shots) + number, total, name)
            seen = renderer.render(shot, light, directions, seed=seed)
            frames.append(shown(seen))
            files.append(f"{name}-{number:04d}.png")
            write_png(folder / files[-1], frames[-1])
        gif = None
        if len({frame.shape for frame in frames}) == 1 and len(frames) > 1:
            gif = f"{name}.gif"
            atomic_write_bytes(folder / gif, gif_bytes(frames))
        made.append({"light": name, "gif": gif, "pictures": files})
    _clear(folder, made)
    progress(total, total, "")
    seconds = round(time.monotonic() - began, 2)
    record = {"finished": True, "lights": made, "directions": directions, "seconds": seconds}
    atomic_write_json(folder / PICTURES_FILE, record)
    return record


def _clear(folder: Path, made: Sequence[Mapping[str, Any]]) -> None:
    """Take away what an earlier call of ours left there and this one did not make."""
    now = {name for one in made for name in (*one["pictures"], one["gif"])} | {PICTURES_FILE}
    with storage_errors(folder, "clear"):
        for path in folder.iterdir():
            if is_ours(path.name) and path.name not in now:
                path.unlink()
