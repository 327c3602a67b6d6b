"""The settings of the next-best-view workload."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from gimbal.experiment.paths import at_home
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.training.settings import TrainSettings
from gimbal_nbv.completion_settings import CompletionSettings, SensitivitySettings
from gimbal_nbv.learned_settings import Learned
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings, idle_keys
from gimbal_nbv.multiview.settings import MultiviewSettings

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Objects = Annotated[int, Field(ge=1, le=1_000_000)]
"""A slip of the keyboard must not become a list of a billion items in memory."""


class DataSettings(Settings):
    """Which objects are looked at."""

    meshes: Annotated[Path, AfterValidator(at_home)] | None = None
    """Folder of obj, ply, off, stl or glb files, searched recursively; none: made objects."""
    train_shapes: Objects = 40
    """Made objects to train on; unused with a folder."""
    test_shapes: Objects = 16
    """Made objects of families never trained on; unused with a folder."""
    test_share: Fraction = 0.3
    """Share of a folder's families that is held out (at least one object, and one to train on)."""
    max_bad_share: Fraction = 0.5
    """More unusable meshes than this share stops the run."""
    single: str | None = None
    """One object to train *and* judge on: a mesh file, or a made object such as `mug-3`. For
    debugging, never for a claim."""


class ViewSettings(Settings):
    """Protocol `sphere-v1`: candidates on a sphere around the normalised object."""

    candidates: Annotated[int, Field(ge=8, le=512)] = 64
    """Candidate views, a Fibonacci sphere (32 cost .003 AUC, 64 are enough)."""
    image_size: Annotated[int, Field(ge=16, le=1024)] = 96
    """Height and width of a rendering in pixels."""
    radius: Annotated[float, Field(gt=0.6, le=100.0)] = 1.5
    """Distance of the cameras from the centre, in bounding-box diagonals."""
    fov_deg: Annotated[float, Field(gt=5.0, lt=120.0)] = 42.0
    """Vertical and horizontal field of view in degrees."""
    outputs: tuple[Literal["rgb", "depth", "normal", "mask"], ...] = (
        "rgb",
        "depth",
        "normal",
        "mask",
    )
    """Images kept of each candidate; depth is always among them."""
    renderer: Literal["auto", "raster", "embree", "warp", "pytorch3d"] = "auto"
    device: Literal["cpu", "cuda"] = "cpu"
    """`cuda` renders on one GPU per task, which Ray must have free."""

    @model_validator(mode="after")
    def _needs_depth(self) -> ViewSettings:
        if "depth" not in self.outputs:
            raise ValueError("views.outputs must contain 'depth': coverage is measured from it")
        return self


class OracleSettings(Settings):
    """What is known about every candidate view before any decision."""

    surface_samples: Annotated[int, Field(ge=100, le=1_000_000)] = 2500
    """Points on the surface, those kept that some direction can see."""
    depth_noise: Annotated[float, Field(ge=0.0)] = 0.0
    """Standard deviation of Gaussian noise on depth, in bounding-box diagonals."""
    max_single_view_coverage: Fraction = 0.95
    """An object that one view covers beyond this share asks no question and is skipped."""


class StateSettings(Settings):
    """Which partial reconstructions the policy is trained on."""

    per_object: Annotated[int, Field(ge=1, le=10_000)] = 12
    """States of each training object, their views random, near-farthest or near-greedy."""
    longest: Annotated[int, Field(ge=1, le=15)] = 5
    """States have 1 to so many views; one fewer than the budget of a rollout."""
    validation_share: Fraction = 0.15
    """Share of the training objects kept for choosing the checkpoint."""
    target: Literal["coverage", "chamfer", "learned_rri"] = "coverage"
    """What a candidate is worth: coverage gained (what the headline counts), Chamfer lowered, or,
    at the stages where the view-sensitivity gate allows it, what the learned reconstruction says
    (`learned_rri`, which needs `completion`)."""


class RolloutSettings(Settings):
    """What every policy is asked to do with every held-out object."""

    first_views: Positive = 8
    """Seeded first views of each object."""
    budget: Annotated[int, Field(ge=2, le=16)] = 6
    """Views of a rollout, the first included."""


class EvaluateSettings(RolloutSettings):
    """How policies are compared."""

    bootstrap: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    """Resamples of the paired bootstrap over objects."""
    rollouts_shown: Annotated[int, Field(ge=0)] = 6
    """Objects whose rollouts the report shows on a sphere."""
    min_gap_closed: float | None = None
    """Gate: the run fails when the policy closes less of the gap than this."""

    @property
    def rollouts(self) -> RolloutSettings:
        """The part that decides rollouts; the rest only sums them up or shows them."""
        return RolloutSettings(first_views=self.first_views, budget=self.budget)


class NbvConfig(ExperimentSettings):
    """A next-best-view experiment."""

    data: DataSettings = DataSettings()
    views: ViewSettings = ViewSettings()
    oracle: OracleSettings = OracleSettings()
    states: StateSettings = StateSettings()
    first_view: Annotated[int, Field(ge=0)] | None = None
    """Every state and every rollout starts from this candidate; none: from any."""
    model: ModelSettings = ModelSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    completion: CompletionSettings | None = None
    """A learned reconstruction: a small completion net; none: depth fusion alone."""
    multiview: MultiviewSettings | None = None
    """The multi-view model; trained, tested and gated where this is set, which asking for its
    tokens (`model.extractor`) or its points (`objective.reconstruction`) does by itself."""
    sensitivity: SensitivitySettings = SensitivitySettings()
    """The gate over every learned reconstruction; it decides by stage whether the completion net's
    RRI may be a target."""
    train: TrainSettings
    evaluate: EvaluateSettings = EvaluateSettings()

    @property
    def learned(self) -> Learned:
        """The settings of the networks that are trained beside the policy."""
        return Learned(completion=self.completion, multiview=self.multiview)

    @model_validator(mode="before")
    @classmethod
    def _trains_what_it_uses(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("multiview") is not None:
            return given
        keys = (("model", "extractor"), ("objective", "reconstruction"))
        asked = any(_key(given.get(part), key) == "multiview" for part, key in keys)
        return {**given, "multiview": {}} if asked else given

    @model_validator(mode="after")
    def _fits_together(self) -> NbvConfig:
        for key in ("budget", "first_views"):
            wanted = getattr(self.evaluate, key)
            if wanted > self.views.candidates:
                raise ValueError(
                    f"evaluate.{key} ({wanted}) must not exceed views.candidates "
                    f"({self.views.candidates}): a view is taken once; lower evaluate.{key} or "
                    "raise views.candidates"
                )
        if self.states.longest >= self.views.candidates:
            raise ValueError(
                f"states.longest ({self.states.longest}) must be smaller than views.candidates "
                f"({self.views.candidates}): a state needs an open candidate"
            )
        self._check_first_view()
        self._check_objective()
        return self

    def _check_first_view(self) -> None:
        if self.first_view is None:
            return
        if self.first_view >= self.views.candidates:
            raise ValueError(
                f"first_view ({self.first_view}) must be one of the {self.views.candidates} "
                "candidates, counted from 0"
            )
        if self.evaluate.first_views != 1:
            raise ValueError("with first_view set there is one start: set evaluate.first_views: 1")

    def _check_objective(self) -> None:
        if self.completion is None:
            asked = {
                "states.target: learned_rri": self.states.target == "learned_rri",
                "objective.reconstruction: completion": self.objective.reconstruction
                == "completion",
            }
            for key in (key for key, holds in asked.items() if holds):
                raise ValueError(f"{key} needs a trained reconstruction: add `completion: {{}}`")
        pointless = self.model.extractor == "multiview" and not (
            self.multiview and self.multiview.points
        )
        if pointless and self.model.pooling == "hits":
            raise ValueError("model.pooling: hits needs points: set multiview.points: true")
        name, head = self.objective.name, self.model.head
        continuous = self.model.policy == "attention" and head != "discrete"
        if name in ("argmax_regression", "detached_cd") and not continuous:
            raise ValueError(
                f"objective.name: {name} needs a policy that names a direction: set model.policy: "
                "attention and model.head to unit_vector, spherical_periodic, spherical or "
                "cartesian"
            )
        if name == "rri_regression" and continuous:
            raise ValueError(
                f"objective.name: rri_regression needs a number for every candidate, and model."
                f"head: {head} gives one direction: set objective.name: map_ascent or model.head: "
                "discrete"
            )
        if self.objective.gumbel and (name != "map_ascent" or continuous):
            raise ValueError(
                "objective.gumbel has an effect only with objective.name: map_ascent and "
                "model.head: discrete"
            )
        if self.objective.sums and self.objective.normalise == "range":
            raise ValueError(
                "objective.normalise: range is measured in means over points, not in sums: set "
                "objective.sums: false, or objective.normalise: before"
            )
        idle = idle_keys(self.model, self.objective)
        if idle:
            raise ValueError(
                f"{idle[0]} has no effect with objective.name: {name}, model.policy: "
                f"{self.model.policy} and model.head: {head}; leave it out"
            )


def _key(part: Any, key: str) -> Any:
    """Return a key of settings, written or made."""
    return part.get(key) if isinstance(part, Mapping) else getattr(part, key, None)
