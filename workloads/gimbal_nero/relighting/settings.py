"""How pictures of a learnt surface are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gimbal.experiment.settings import Settings

LightFrame = Literal["photographs", "unit"]


class RelightSettings(Settings):
    """Which pictures stage `relight` makes."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where pictures are made; `cuda` takes a card of its own."""
    lights: tuple[Path, ...] = ()
    """Latitude-longitude `.hdr` or `.exr` files, z-up; with made photographs, their other lights
    come first."""
    lights_frame: LightFrame = "photographs"
    """Whose z is up in the lights: that of the photographs' poses, or of the unit frame, in which
    the object stands upright whatever the poses' frame is."""
    views: Annotated[int, Field(ge=1)] = 4
    """Most held-out views under each of `lights`; the truth's lights have their own views."""
    directions: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Of each of the three ways (cosine, highlight, light) at what a pixel shows, rounded up to a
    multiple of 16, the rays of a pixel."""
    bounce_directions: Annotated[int, Field(ge=0, le=65_536)] = 8
    """Of each way at what those directions hit, a quarter at each further bounce; 0: hits send
    nothing."""
    bounces: Annotated[int, Field(ge=0, le=8)] = 2
    """Times that light is reflected between parts of the object."""
    orbit_frames: Annotated[int, Field(ge=0, le=720)] = 36
    """Frames of the turntable under the learnt light; 0: none."""
    orbit_elevation_deg: Annotated[float, Field(gt=-90, lt=90)] = 20.0
    orbit_side: Annotated[int, Field(ge=8, le=4096)] = 128
    """Pixels of a side of its frames."""
