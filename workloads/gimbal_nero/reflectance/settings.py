"""How many directions light is asked from, and how the answers are added up."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings


class EstimatorSettings(Settings):
    """From light of single directions to reflected radiance."""

    estimator: Literal["mis", "official"] = "mis"
    """`mis` weighs directions by the balance heuristic and is unbiased; `official` repeats the
    published sum, which makes rough metals up to twice as bright, to compare with it."""
    diffuse_samples: Annotated[int, Field(ge=1, le=65_536)] = 512
    """Directions spread by the cosine about the normal; published: 512."""
    specular_samples: Annotated[int, Field(ge=1, le=65_536)] = 256
    """Directions spread by the highlight; published: 256."""
    environment_samples: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Directions spread by the brightness of a picture of the light; `mis` alone has them."""
    highlight: Literal["visible", "halves"] = "visible"
    """What `mis` spreads specular directions by: the normals that the camera sees, which wastes
    fewest at grazing angles, or all normals."""
    geometry: Literal["schlick", "smith"] = "schlick"
    """Shadowing of `official`; published: schlick. `mis` has height-correlated Smith."""

    @model_validator(mode="after")
    def _published_has_no_environment(self) -> Self:
        if self.estimator == "official" and self.environment_samples:
            raise ValueError(
                "mc.estimator: official takes no mc.environment_samples: write 0, or "
                "mc.estimator: mis"
            )
        if self.estimator == "official" and self.highlight != "visible":
            raise ValueError("mc.highlight is of mc.estimator: mis; drop it")
        if self.estimator == "mis" and self.geometry != "schlick":
            raise ValueError("mc.geometry is of mc.estimator: official; drop it")
        return self
