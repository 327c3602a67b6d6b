"""What is written of a learnt material."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings


class ExportSettings(Settings):
    """Files for other programs."""

    texture_side: Annotated[int, Field(ge=16, le=8192)] = 1024
    """Texels of a side of the square pictures."""
    most_faces: Annotated[int, Field(ge=100)] | None = 20_000
    """The exported mesh is simplified to so many faces, its normals stay; none: left as it is.
    Laying it out flat takes longer than in proportion to its faces."""
    environment_height: Annotated[int, Field(ge=8, le=4096)] = 128
    """Rows of the picture of the light; twice as many columns."""
