"""Which levels of noise an evaluation goes through."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings

Axis = Literal["depth", "rotation_deg", "translation"]
AXES: tuple[Axis, ...] = ("depth", "rotation_deg", "translation")

Length = Annotated[float, Field(ge=0.0, le=0.1)]
Degrees = Annotated[float, Field(ge=0.0, le=15.0)]


class NoiseSettings(Settings):
    """Levels along each axis, one axis at a time; the clean level is always measured."""

    depth: tuple[Length, ...] = (0.002, 0.005, 0.01, 0.02)
    """Standard deviation of depth in bounding-box diagonals, at most .1."""
    rotation_deg: tuple[Degrees, ...] = (0.5, 1.0, 2.0, 4.0)
    """Root mean square error of the declared orientation in degrees, at most 15."""
    translation: tuple[Length, ...] = (0.005, 0.01, 0.02, 0.04)
    """Root mean square error of the declared place in diagonals, at most .1."""
    objects: Annotated[int, Field(ge=1)] = 64
    """Look at no more held-out objects than this."""
    first_views: Annotated[int, Field(ge=1)] = 8
    """Seeded first views of each object."""
    budget: Annotated[int, Field(ge=2, le=16)] = 6
    """Views of a rollout, the first included."""

    @model_validator(mode="after")
    def _some_noise(self) -> NoiseSettings:
        if not any(level > 0 for axis in AXES for level in getattr(self, axis)):
            raise ValueError("no level of noise is above 0")
        return self

    def levels(self, axis: Axis) -> list[float]:
        """Return the levels of an axis in order, without the clean one."""
        return sorted({float(level) for level in getattr(self, axis) if level > 0})
