"""Weights of the loss terms, and the three published settings of them by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from gimbal_vision.errors import LossError


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """What each term counts in the total; terms are means over pixels, views or pairs of views.

    Attributes:
        world_points: Points in view 0's frame, weighed by the model's own confidence.
        cam_points: Points in each camera's axes.
        depth: Ranges along rays.
        rays: Ray directions.
        pose_quats: Rotations.
        pose_trans: Translations, divided by the normaliser.
        scale: The metric scale.
        normals: Surface normals; synthetic samples only.
        gradients: Differences of log ranges at four scales; synthetic samples only.
        mask: Binary cross entropy of the mask.
    """

    world_points: float = 1.0
    cam_points: float = 1.0
    depth: float = 1.0
    rays: float = 1.0
    pose_quats: float = 1.0
    pose_trans: float = 1.0
    scale: float = 1.0
    normals: float = 3.0
    gradients: float = 3.0
    mask: float = 0.3

    def __post_init__(self) -> None:
        """Refuse negative weights.

        Raises:
            LossError: A weight is negative or not finite.
        """
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise LossError(f"the weight of {name} is {value}", "give a finite weight >= 0")

    def replaced(self, weights: Mapping[str, float]) -> LossWeights:
        """Return these weights with some replaced.

        Raises:
            LossError: A name that no term has; the message lists those there are.
        """
        unknown = sorted(set(weights) - set(TERMS))
        if unknown:
            raise LossError(
                f"no loss term is called {', '.join(unknown)}", f"the terms are {', '.join(TERMS)}"
            )
        return replace(self, **weights)

    def by_name(self) -> dict[str, float]:
        """Return {term: weight}."""
        return asdict(self)


TERMS: tuple[str, ...] = tuple(field.name for field in fields(LossWeights))

POSE_ERRORS = ("pose_trans_m", "pose_rot_deg")
READINGS = (
    *POSE_ERRORS,
    "points_m",
    "range_m",
    "range_rel",
    "ray_deg",
    "scale_log",
    "pred_mask_mean",
    "gt_mask_mean",
    "valid_mask_ratio",
    "pred_valid_mask_ratio",
)
"""Terms of weight 0: they are logged, in units, and train nothing."""
MATCH_READINGS = ("match_right",)
"""Likewise, of a model that matches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossPreset:
    """One published setting.

    Attributes:
        weights: Of the terms.
        pairwise: Whether every view's pose as seen from every other one is compared as well.
        absolute: Whether poses in view 0's frame are.
    """

    weights: LossWeights
    pairwise: bool = False
    absolute: bool = True


PRESETS: dict[str, LossPreset] = {
    "overall": LossPreset(weights=LossWeights()),
    "pose_first": LossPreset(
        weights=LossWeights(pose_quats=3.0, pose_trans=3.0),
        pairwise=True,
    ),
    "v1_1": LossPreset(
        weights=LossWeights(
            cam_points=0.1,
            depth=0.1,
            rays=0.1,
            pose_quats=0.1,
            pose_trans=0.1,
            scale=0.1,
            normals=0.3,
            gradients=0.3,
            mask=0.03,
        ),
        pairwise=True,
    ),
}


def preset(name: str) -> LossPreset:
    """Return a preset by its name.

    Raises:
        LossError: There is none of that name; the message lists those there are.
    """
    if name not in PRESETS:
        raise LossError(
            f"no loss preset is called {name!r}", f"write one of {', '.join(sorted(PRESETS))}"
        )
    return PRESETS[name]
