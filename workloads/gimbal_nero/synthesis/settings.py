"""The settings of made photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings

Shape = Literal["torus", "blob", "spheres", "sphere", "mesh"]
Share = Annotated[float, Field(ge=0, le=1)]

MAX_DEPTH = 14.5
"""World units; the layout of depth images holds no more."""


class MaterialSettings(Settings):
    """One material of the whole object: the principled BRDF."""

    metallic: Share = 1.0
    """1: a pure metal, on which Mitsuba's principled BRDF and NeRO's agree to 2 %."""
    roughness: Annotated[float, Field(ge=0.02, le=1)] = 0.15
    """Perceptual; GGX's alpha is its square. Below .02 renderers no longer agree."""
    albedo: tuple[Share, Share, Share] = (0.9, 0.75, 0.5)
    """Linear RGB."""


class LightSettings(Settings):
    """What surrounds the object."""

    hdri: Path | None = None
    """Latitude-longitude `.hdr` or `.exr`; none: windows, walls and a floor made from the seed."""
    mean_radiance: Annotated[float, Field(gt=0, le=100)] | None = 0.3
    """The light is scaled to this mean over the sphere; none: left as it is. .3 keeps most of a
    picture below the white at which 8 bits end."""
    width: Annotated[int, Field(ge=16, le=4096)] = 512
    """Columns of the light; a larger file is reduced to them, a smaller one is kept."""


class FaultSettings(Settings):
    """Faults made on purpose, each of which a check must name; all off by default."""

    pose_noise_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Perturbed views' told poses are turned by so much about the world's origin, each about an
    axis of its own."""
    pose_noise_share: Share = 0.2
    """Share of the views whose poses are perturbed."""
    exposure_drift_stops: Annotated[float, Field(ge=-6, le=6)] = 0.0
    """From the first view to the last, exposure rises evenly by so many stops."""
    world_scale: Annotated[float, Field(ge=0.05, le=20)] = 1.0
    """Lengths of the told world in one true length: other than 1, nothing is normalised."""
    world_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where the object's centre lies in the told world."""


class SyntheticSettings(Settings):
    """Made photographs of one object in the layout of Glossy-Synthetic."""

    shape: Shape = "blob"
    mesh: Path | None = None
    """Mesh file of shape `mesh`; it is centred and scaled to `extent`."""
    extent: Annotated[float, Field(ge=0.1, le=1)] = 0.75
    """Distance of the object's furthest point from the origin; 1 is the unit sphere."""
    views: Annotated[int, Field(ge=1, le=10_000)] = 40
    size: Annotated[int, Field(ge=8, le=4096)] = 96
    """Pixels of a side of the square pictures."""
    samples: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Light paths of each pixel; 64 leaves noise of about one grey level of 255."""
    distance: Annotated[float, Field(ge=1.2, le=10)] = 3.0
    """Of the cameras from the origin."""
    fov_deg: Annotated[float, Field(ge=5, le=120)] = 36.0
    elevation_deg: tuple[float, float] = (-70.0, 70.0)
    """Lowest and highest camera."""
    background: Literal["light", "black"] = "light"
    """What is behind the object: the light itself, as in a photograph, or nothing."""
    bounces: Annotated[int, Field(ge=2, le=64)] = 5
    """Longest light path; 5 is beyond what a picture of two spheres shows."""
    material: MaterialSettings = MaterialSettings()
    light: LightSettings = LightSettings()
    relit_lights: Annotated[int, Field(ge=0, le=16)] = 2
    """Other lights under which the object is rendered as a truth for relighting."""
    relit_views: Annotated[int, Field(ge=1, le=1000)] = 2
    """The first so many views are relit."""
    faults: FaultSettings = FaultSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> SyntheticSettings:
        for wrong, remedy in self._problems():
            raise ValueError(f"{wrong}: {remedy}")
        return self

    def _problems(self) -> list[tuple[str, str]]:
        low, high = self.elevation_deg
        furthest = (self.distance + self.extent) * self.faults.world_scale
        found = [
            (
                (self.shape == "mesh") != (self.mesh is not None),
                f"shape is {self.shape} and mesh is {self.mesh}",
                "name a file in mesh with shape: mesh, and only then",
            ),
            (
                not -90 <= low < high <= 90,
                f"elevation_deg is {low} to {high}",
                "write the lowest and the highest, between -90 and 90",
            ),
            (
                self.relit_lights > 0 and self.relit_views > self.views,
                f"relit_views ({self.relit_views}) is above views ({self.views})",
                "write fewer",
            ),
            (
                self.extent >= self.distance,
                f"distance ({self.distance}) is within the object ({self.extent})",
                "write more than extent",
            ),
            (
                furthest >= MAX_DEPTH,
                f"the told world is {furthest:.1f} deep, and depth images end at {MAX_DEPTH}",
                "lower faults.world_scale or distance",
            ),
        ]
        return [(wrong, remedy) for is_wrong, wrong, remedy in found if is_wrong]
