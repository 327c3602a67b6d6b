"""The settings of the learned reconstruction and of the gate over it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings
from gimbal.training.settings import PositiveInt, TrainSettings


class CompletionTraining(TrainSettings):
    """Training of the completion net; every number has a default, so one can be changed alone."""

    steps: PositiveInt = 300
    global_batch: PositiveInt = 16
    lr: Annotated[float, Field(gt=0)] = 4e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 30
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3


class CompletionSettings(Settings):
    """The completion net and its training."""

    width: Annotated[int, Field(ge=4, le=256)] = 16
    """Channels of the finest level; 16 is 94 000 parameters and 6 CPU-ms a grid."""
    per_object: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Partial view sets of each training object, each turned by a symmetry of the cube."""
    longest: Annotated[int, Field(ge=1, le=15)] = 5
    """Largest number of views of such a set."""
    offset_weight: Annotated[float, Field(ge=0.0)] = 0.1
    """Weight of the place inside a voxel beside the question whether it holds surface."""
    validation_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.15
    """Share of the training objects kept for validation: the same as of `states`."""
    threshold: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.4
    """Least probability at which a voxel is a point of the reconstruction."""
    keep_measured: bool = True
    """Reconstruct with the measured points where there are some, the net's voxels elsewhere. Off,
    the net's voxels are all there is, and beyond five views every other view makes it worse."""
    train: CompletionTraining = CompletionTraining()


class SensitivitySettings(Settings):
    """When the learned reconstruction may be a target."""

    max_worsening: Annotated[float, Field(ge=0.0, le=1.0)] = 0.15
    """Largest share of candidates that may raise the Chamfer distance at a stage. One in seven is
    noise that a soft target averages out; at a half the sign says nothing."""
    min_spearman: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.3
    """Least rank correlation with the coverage gain at a stage. Below it the two targets ask for
    different views, and only coverage is known to be right."""
    blend: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Weight of the coverage gain at stages that pass; it is 1 at the others."""
    objects: Annotated[int, Field(ge=1, le=100_000)] = 24
    """Validation objects measured; more hardly move the shares of 64 candidates each."""
    longest: Annotated[int, Field(ge=1, le=15)] = 5
    """Stages: states of 1 to so many views."""
