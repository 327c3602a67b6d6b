"""How closely a trained shape is looked at."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings

POSE_GAIN_DB = 1.0
"""Views that a turned pose explains so much better are named. Measured on a blob, on other pixels
than the pose was found on: at most .75 with true poses; 2.7, 2.0, 1.2 and .8 are the largest where
one pose in five is 5 degrees off, all of wrong ones."""
OUTLINE_GAP = 0.06
"""The worst outline may miss so much more of a view's pixels than the median one."""


class WatchSettings(Settings):
    """What stage `watch` renders and draws."""

    rays_per_view: Annotated[int, Field(ge=16, le=65_536)] = 192
    """Pixels of each training view that the numbers are taken from; all meet the unit sphere."""
    strips: Annotated[int, Field(ge=1, le=64)] = 2
    """Held-out views that are drawn; validated ones come first."""
    strip_side: Annotated[int, Field(ge=16, le=1024)] = 96
    """Longest side, in pixels, at which a drawn view is rendered."""
    slice_side: Annotated[int, Field(ge=16, le=1024)] = 128
    """Points along a side of a slice through the distance."""
    checkpoints: Annotated[int, Field(ge=1, le=64)] = 6
    """Kept checkpoints that the timeline shows at most, evenly spread; the last always."""
    timeline_side: Annotated[int, Field(ge=16, le=512)] = 48
    """Longest side, in pixels, of the timeline's pictures."""
    doubted_views: Annotated[int, Field(ge=0)] = 12
    """Training views, the worst explained first, whose poses are tried elsewhere."""
    must_pass: bool = True
    """Whether a check that is missed ends the run with status 4; false: numbers alone are kept."""
    rays_at_once: Annotated[int, Field(ge=1)] = 1024
    """Rays of one forward pass; it changes no number."""
