"""How a fitted material is looked at."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings


class ReviewSettings(Settings):
    """Stage `review`: held-out views and how the material came about, without any truth."""

    shown_views: Annotated[int, Field(ge=1, le=64)] = 2
    """Held-out views whose maps are drawn."""
    shown_steps: Annotated[int, Field(ge=1, le=64)] = 6
    """Kept checkpoints at which the first of them is drawn; more of them are kept by
    `material.train.keep_checkpoints`."""
    longest_side: Annotated[int, Field(ge=16, le=4096)] = 256
    """Views are reduced to it before they are drawn."""
    light_rows: Annotated[int, Field(ge=8, le=1024)] = 64
    """Of the picture of the light."""
    must_pass: bool = True
    """Whether the checks of what is seen end a run that misses one."""
