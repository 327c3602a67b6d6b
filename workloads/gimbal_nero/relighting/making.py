"""The pictures of stage `relight`, and `relight.json`, which says what they are.

`lights`: a list of {`name`, `source`, `truth`, `views`}. `source` is the light's file, or
`truth/relit/<n>` under the folder of made photographs, which `truth` then repeats; elsewhere it is
null. `views` is a list of {`view`, `png`, `linear`, `seconds`}: the view's name in the capture, and
files relative to `relight.json`; `files` says what is in them.
`orbit`: {`gif`, `frames`}, null without frames; the frames are some of the GIF's, as PNGs.
`settings`, `material_step` and `seconds` tell how.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gimbal.experiment.files import atomic_write_bytes, atomic_write_json, ensure_folder
from gimbal_nero.capture import Capture, View
from gimbal_nero.relighting.files import file_name, gif_bytes, shown, write_linear, write_png
from gimbal_nero.relighting.illumination import Illumination
from gimbal_nero.relighting.learnt import LearntObject
from gimbal_nero.relighting.lights import GivenLight
from gimbal_nero.relighting.paths import orbit
from gimbal_nero.relighting.renderer import Picture, Shot
from gimbal_nero.relighting.settings import RelightSettings

Progress = Callable[[int, int, str], None]

_T = TypeVar("_T")

RELIGHT_FILE = "relight.json"
_FRAMES_KEPT = 6


def relight(
    learnt: LearntObject,
    lights: Sequence[GivenLight],
    settings: RelightSettings,
    seed: int,
    out_dir: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Make all pictures and return what `relight.json` says.

    Args:
        learnt: The object.
        lights: Names are unique.
        settings: How.
        seed: Of rays and directions.
        out_dir: Where.
        progress: Told of pictures.

    Raises:
        StorageError: Something cannot be written.
    """
    began = time.monotonic()
    work = _Work(learnt, settings, seed, out_dir)
    wanted = [(light, views_under(light, learnt.capture, settings.views)) for light in lights]
    total = sum(len(views) for _, views in wanted) + settings.orbit_frames
    told = _Count(total, progress)
    record: dict[str, Any] = {
        "lights": [
            {
                "name": light.name,
                "source": light.source,
                "truth": light.truth,
                "views": [told.of(work.view(light, view), light.name) for view in views],
            }
            for light, views in wanted
        ],
        "orbit": work.orbit(told) if settings.orbit_frames else None,
        "settings": settings.model_dump(mode="json", exclude={"lights"}),
        "material_step": learnt.step,
    }
    record["seconds"] = round(time.monotonic() - began, 2)
    atomic_write_json(out_dir / RELIGHT_FILE, record)
    return record


def views_under(light: GivenLight, capture: Capture, most: int) -> tuple[View, ...]:
    """Return the truth's views of a light that the capture still has; else held-out ones."""
    if light.truth is not None:
        return tuple(view for view in capture.views if view.name in light.views)
    return (capture.of("test") or capture.of("validate"))[:most]


class _Count:
    """Counts finished pictures."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress, self._done = total, progress, 0
        progress(0, total, "pictures")

    def of(self, finished: _T, what: str) -> _T:
        """Return what is finished, having told of it."""
        self._done += 1
        self._progress(self._done, self._total, f"light {what}")
        return finished


class _Work:
    """Makes and writes single pictures."""

    def __init__(
        self, learnt: LearntObject, settings: RelightSettings, seed: int, out_dir: Path
    ) -> None:
        self._learnt, self._settings = learnt, settings
        self._seed, self._out_dir = seed, out_dir

    def view(self, light: GivenLight, view: View) -> dict[str, Any]:
        """Make a view under a light and return its entry."""
        began = time.monotonic()
        shot = Shot(lens=view.camera, cam2world=view.cam2world)
        picture = self._picture(shot, self._learnt.under(light.sky, self._settings))
        ensure_folder(self._out_dir / f"light-{light.name}")
        stem = f"light-{light.name}/{file_name(view.name)}"
        write_png(self._out_dir / f"{stem}.png", shown(picture))
        write_linear(self._out_dir / f"{stem}.npz", picture)
        seconds = round(time.monotonic() - began, 2)
        return {
            "view": view.name, "png": f"{stem}.png", "linear": f"{stem}.npz", "seconds": seconds,
        }  # fmt: skip

    def orbit(self, told: _Count) -> dict[str, Any]:
        """Make the turntable and return its entry."""
        settings = self._settings
        shots = orbit(
            self._learnt.vertices,
            settings.orbit_frames,
            settings.orbit_elevation_deg,
            settings.orbit_side,
        )
        light = self._learnt.light
        frames = [told.of(shown(self._picture(shot, light)), "as learnt") for shot in shots]
        ensure_folder(self._out_dir / "orbit")
        kept = range(0, len(frames), -(-len(frames) // _FRAMES_KEPT))
        names = [f"orbit/{number:03d}.png" for number in kept]
        for number, name in zip(kept, names, strict=True):
            write_png(self._out_dir / name, frames[number])
        atomic_write_bytes(self._out_dir / "orbit.gif", gif_bytes(frames))
        return {"gif": "orbit.gif", "frames": names}

    def _picture(self, shot: Shot, light: Illumination) -> Picture:
        renderer, settings = self._learnt.renderer, self._settings
        return renderer.render(shot, light, settings.directions, seed=self._seed)
