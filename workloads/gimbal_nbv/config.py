"""The settings of the next-best-view workload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.training.settings import TrainSettings

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Objects = Annotated[int, Field(ge=1, le=1_000_000)]
"""A slip of the keyboard must not become a list of a billion items in memory."""


def _at_home(path: Path) -> Path:
    """Expand a leading `~`; one of an unknown user stays, and is then reported as missing."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


class DataSettings(Settings):
    """Which objects are looked at."""

    meshes: Annotated[Path, AfterValidator(_at_home)] | None = None
    """Folder of obj, ply, off, stl or glb files, searched recursively; none: made objects."""
    train_shapes: Objects = 40
    """Made objects to train on; unused with a folder."""
    test_shapes: Objects = 16
    """Made objects of families never trained on; unused with a folder."""
    test_share: Fraction = 0.3
    """Share of a folder's families that is held out (at least one object, and one to train on)."""
    max_bad_share: Fraction = 0.5
    """More unusable meshes than this share stops the run."""


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
    """States of each training object: 1 to 5 views, random, near-farthest or near-greedy."""
    validation_share: Fraction = 0.15
    """Share of the training objects kept for choosing the checkpoint."""
    target: Literal["coverage", "chamfer"] = "coverage"
    """What a candidate is worth: coverage gained (what the headline counts) or Chamfer lowered."""


class ModelSettings(Settings):
    """The per-candidate scorer."""

    hidden: Annotated[int, Field(ge=1, le=8192)] = 64
    """Width of the scorer's layers."""
    temperature: Annotated[float, Field(gt=0.0)] = 0.1
    """Softness of the oracle targets: softmax(gain / temperature)."""


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
    model: ModelSettings = ModelSettings()
    train: TrainSettings
    evaluate: EvaluateSettings = EvaluateSettings()

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
        return self
