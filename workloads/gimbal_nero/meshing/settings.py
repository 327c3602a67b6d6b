"""How finely a surface is cut out of a distance field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gimbal.experiment.paths import at_home
from gimbal.experiment.settings import Settings

Axes = Literal["as_photographs", "y_up"]
MeshPath = Annotated[Path, AfterValidator(at_home)]


class MeshSettings(Settings):
    """From a trained shape to a mesh."""

    file: MeshPath | None = None
    """Somebody else's mesh, in the frame of the photographs' poses; none: a shape is learnt, and
    its mesh cut out as the rest of this section says."""
    axes: Axes = "as_photographs"
    """Of `file`: those of the photographs' poses, or y up (as glTF has it) while theirs is z up."""
    resolution: Annotated[int, Field(ge=16, le=1024)] = 512
    """Samples along each side of the cube around the unit sphere; published: 512."""
    largest_component: bool = False
    """Whether everything but the largest piece of the surface is left out; published: no."""
    ask_everywhere: bool = False
    """Whether every sample is asked, as published, and not only blocks that can hold the surface:
    for shapes whose distance changes by more than 4 per unit length."""
    points_at_once: Annotated[int, Field(ge=1)] = 65_536
    """Points of one forward pass; it changes no number."""
