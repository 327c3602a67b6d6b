"""How photographs become a capture.

Everything has a value that works without a manual step; what is found out by itself is called
`auto` and reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings

Bound = Literal["auto", "points", "masks", "frusta", "none"]
Background = Literal["auto", "keep", "white", "black"]
MaskUse = Literal["auto", "folder", "none"]
Vector = tuple[float, float, float]


class SplitSettings(Settings):
    """Which views are learnt from; names of views, or how many."""

    train: tuple[str, ...] = ()
    """Names; none: all that are in no other split."""
    validate_views: tuple[str, ...] = ()
    """Names; none: `validate_count` of a shuffle with NeRO's seed 6033."""
    test: tuple[str, ...] = ()
    """Names; none: the `test_count` after those of the shuffle."""
    validate_count: Annotated[int, Field(ge=1)] = 1
    test_count: Annotated[int, Field(ge=0)] = 0


class PrepareSettings(Settings):
    """From a folder of photographs to posed images in the unit frame."""

    colmap_dir: Path | None = None
    """Folder of a COLMAP model, relative to the capture's folder; none: looked for."""
    masks_dir: Path | None = None
    """Folder of masks, relative to the capture's folder; none: `masks` where it is there."""
    masks: MaskUse = "auto"
    """`auto`: the masks folder, else the images' alpha; `folder`: no alpha; `none`: no masks."""
    background: Background = "auto"
    """What transparent pixels become. `keep`: the colour they have (NeRO); `auto`: white for
    transforms.json, else `keep`."""
    up: Annotated[str, Field(pattern=r"^(auto|[+-]?[xyz])$")] | Vector = "auto"
    """Up in the source frame: `z`, `-y`, three numbers; `auto`: what the layout says, else from
    the cameras' own horizons."""
    bound: Bound = "auto"
    """What the unit sphere encloses. `points`: the object's cropped or the sparse points, `masks`:
    their visual hull, `frusta`: what all cameras look at, `none`: the source is normalised."""
    radius: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Radius the bound gets in the unit frame."""
    max_side: Annotated[int, Field(ge=16)] | None = None
    """Longest side of an image in pixels; larger ones are scaled down; none: as they are."""
    crop_to_sphere: bool = False
    """Cut every image to the rectangle of the unit sphere's outline."""
    min_views: Annotated[int, Field(ge=3)] = 8
    """Fewest views that are accepted after the bad ones are dropped."""
    max_reprojection_px: Annotated[float, Field(gt=0)] = 2.0
    """Views whose sparse points lie further off on average are dropped."""
    min_points: Annotated[int, Field(ge=0)] = 20
    """Views of a COLMAP model that see fewer sparse points are dropped."""
    sfm_shared_camera: bool = True
    """Whether structure from motion takes all photographs for ones of the same lens."""
    splits: SplitSettings = SplitSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> PrepareSettings:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """Yield settings that contradict each other, or that nothing would come of."""
        if self.masks == "none" and self.masks_dir is not None:
            yield (
                f"masks_dir: {self.masks_dir} has no effect with masks: none: drop it, or write "
                "masks: folder"
            )
        if self.masks == "none" and self.bound == "masks":
            yield "bound: masks needs masks: write masks: auto, or bound: frusta"
        if self.bound == "none" and self.radius != 1.0:
            yield (
                f"radius: {self.radius} has no effect with bound: none, which takes the source's "
                "sphere as it is: drop it, or write bound: auto"
            )
