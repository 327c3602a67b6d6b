"""What the networks of material and light are; defaults are the published ones."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings
from gimbal_nero.fields.settings import HeadSettings

PRESETS: dict[str, dict[str, Any]] = {
    "published": {},
    "tiny": {
        "half_layers": 2,
        "width": 64,
        "heads": {"layers": 2, "width": 64},
        "light": "picture",
    },
}


class MaterialSettings(Settings):
    """The networks that say what a surface is made of, and what light falls on it."""

    size: Literal["published", "tiny"] = "published"
    half_layers: Annotated[int, Field(ge=1, le=16)] = 4
    """Layers before the point is seen again, and as many after it."""
    width: Annotated[int, Field(ge=8, le=4096)] = 256
    heads: HeadSettings = HeadSettings()
    """Of each material and each light."""
    sphere_direction: bool = False
    """Whether light from afar also depends on where its ray leaves the unit sphere; published:
    for real photographs."""
    light: Literal["network", "picture"] = "network"
    """Light from afar as a network of the direction (published), or as a picture whose texels are
    learnt: sharper, faster, and without what `sphere_direction` adds."""
    picture_rows: Annotated[int, Field(ge=4, le=4096)] = 64
    """Of that picture, a power of two; twice as many columns."""
    light_rows: Annotated[int, Field(ge=0, le=4096)] = 0
    """Rows of a picture for whose texels a network of light from afar is asked once a step, and
    that directions look up; 0: the network is asked for every direction (published)."""
    light_max_log: Annotated[float, Field(ge=-5, le=10)] = 5.0
    """Most light a direction may send, as its logarithm."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("size") not in PRESETS:
            return given
        preset = PRESETS[given["size"]]
        filled = preset | given
        if isinstance(given.get("heads"), dict):
            filled["heads"] = preset.get("heads", {}) | given["heads"]
        return filled

    @model_validator(mode="after")
    def _fits_together(self) -> MaterialSettings:
        if self.light == "picture" and self.sphere_direction:
            raise ValueError(
                "sphere_direction needs light: network, since a picture is the same seen from "
                "everywhere: drop one of the two"
            )
        if self.light_rows and (self.light == "picture" or self.sphere_direction):
            raise ValueError(
                "light_rows is for light: network without sphere_direction, whose light is the "
                "same seen from everywhere: write light_rows: 0"
            )
        unset = type(self).model_fields["picture_rows"].default
        if self.light == "network" and self.picture_rows != unset:
            raise ValueError("picture_rows has no effect without light: picture; drop it")
        if self.picture_rows & (self.picture_rows - 1):
            raise ValueError(
                f"picture_rows is {self.picture_rows}, no power of two: write 32, 64, 128, ..."
            )
        return self
