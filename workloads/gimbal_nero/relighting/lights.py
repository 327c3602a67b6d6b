"""The lights that an object is put under: files, and those of made photographs' truth.

A light is only turned, never changed: its radiance is that of its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gimbal_nero.exporting.environment import MITSUBA_TO_WORLD, read_environment
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.relighting.settings import LightFrame
from gimbal_nero.relighting.sky import Sky

Doubles = np.ndarray[Any, np.dtype[np.float64]]

RELIT = "truth/relit"
_LIGHT_FILE = "light.hdr"


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenLight:
    """A light and where it comes from.

    Attributes:
        name: Unique among the lights of one picture folder.
        source: Its file, or `truth/relit/<n>`, for a person to read.
        sky: The light, as the unit frame sees it.
        truth: `truth/relit/<n>` under the folder of made photographs; None: nobody knows.
        views: Names of the views that are known under it; empty without a truth.
    """

    name: str
    source: str
    sky: Sky
    truth: str | None = None
    views: tuple[str, ...] = ()


def file_lights(
    paths: Sequence[Path],
    normalisation: Normalisation,
    frame: LightFrame = "photographs",
    device: torch.device | str = "cpu",
) -> tuple[GivenLight, ...]:
    """Read lights of one's own.

    Args:
        paths: Latitude-longitude `.hdr` or `.exr`, z-up.
        normalisation: From the photographs' frame to the unit frame.
        frame: Whose z is up in them.
        device: Where pictures are made.

    Raises:
        ExportError: A file is no such picture.
        ReflectanceError: It is black.
        StorageError: It cannot be read.
    """
    turn = normalisation.rotation.T if frame == "photographs" else np.eye(3)
    return tuple(
        GivenLight(name=name, source=str(path), sky=Sky(read_environment(path), turn, device))
        for name, path in zip(_unique([path.stem for path in paths]), paths, strict=True)
    )


def true_lights(
    root: Path, normalisation: Normalisation, device: torch.device | str = "cpu"
) -> tuple[GivenLight, ...]:
    """Return the other lights of made photographs, each with the views rendered under it.

    They are in Mitsuba's convention (`synthesis.lights`), whose y-up world is the frame of the
    photographs' poses; as a picture that is a z-up one whose x, y, z are that world's z, x, y.

    Args:
        root: Folder of photographs; without a truth there are no such lights.
        normalisation: From the photographs' frame to the unit frame.
        device: Where pictures are made.
    """
    turn = MITSUBA_TO_WORLD[:3, :3] @ normalisation.rotation.T
    found = []
    for folder in sorted((root / RELIT).glob("[0-9]*"), key=lambda path: _natural(path.name)):
        views = sorted((path.stem for path in folder.glob("*.png")), key=_natural)
        if (folder / _LIGHT_FILE).is_file() and views:
            where = f"{RELIT}/{folder.name}"
            sky = Sky(read_environment(folder / _LIGHT_FILE), turn, device)
            found.append(
                GivenLight(name=folder.name, source=where, sky=sky, truth=where, views=tuple(views))
            )
    return tuple(found)


def named_apart(lights: Sequence[GivenLight]) -> tuple[GivenLight, ...]:
    """Return the lights with a number after each name that was there before."""
    names = _unique([light.name for light in lights])
    return tuple(replace(light, name=name) for light, name in zip(lights, names, strict=True))


def _unique(names: Sequence[str]) -> list[str]:
    given: list[str] = []
    for name in names:
        number, tried = 2, name
        while tried in given:
            tried, number = f"{name}-{number}", number + 1
        given.append(tried)
    return given


def _natural(name: str) -> tuple[int, str]:
    return (int(name) if name.isdigit() else 1 << 62, name)
