"""The settings of the multi-view model and of what it is measured on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings
from gimbal.training.settings import PositiveInt, TrainSettings

Width = Annotated[int, Field(ge=8, le=4096)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]

POINT_NUMBERS = 6
"""Numbers before the network's own in a token: its patch's mean point and mean normal."""


class MultiviewTraining(TrainSettings):
    """Training of the multi-view model; every number has a default, so one can be changed alone."""

    steps: PositiveInt = 500
    global_batch: PositiveInt = 4
    lr: Annotated[float, Field(gt=0)] = 3e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3


class MultiviewSettings(Settings):
    """The multi-view model, its training, and how it is used and measured."""

    image_size: Annotated[int, Field(ge=8, le=1024)] = 48
    """Side of the images the network sees: the pixels of a view nearest to such a grid."""
    patch: Annotated[int, Field(ge=2, le=64)] = 6
    """Side of a patch; a view has (image_size / patch)² tokens."""
    encoder_dim: Width = 64
    encoder_layers: Annotated[int, Field(ge=1, le=48)] = 2
    encoder_heads: Annotated[int, Field(ge=1, le=64)] = 2
    dim: Width = 64
    """Numbers of the trunk's tokens, which are what a policy reads."""
    layers: Annotated[int, Field(ge=3, le=48)] = 4
    heads: Annotated[int, Field(ge=1, le=64)] = 4
    dense_dim: Annotated[int, Field(ge=4, le=1024)] = 16
    """Channels of the head of rays, ranges and masks."""
    points: bool = True
    """Put each patch's mean point and normal, as the network predicts them, before its token."""
    all_given: Probability = 0.7
    """Share of training samples that are given all rays, ranges and poses, as in use; the others
    are given some of them, or images only."""
    given: Probability = 0.5
    """In those others, how likely rays, ranges and poses are given, each by itself."""
    per_object: Annotated[int, Field(ge=1, le=10_000)] = 32
    """View sets of each training object."""
    longest: Annotated[int, Field(ge=1, le=15)] = 5
    """Largest number of views of such a set."""
    validation_share: Probability = 0.15
    """Share of the training objects kept for validation: the same as of `states`."""
    objects: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Objects on which the oracle test and the view-sensitivity gate ask the network."""
    train: MultiviewTraining = MultiviewTraining()

    @model_validator(mode="after")
    def _fits_together(self) -> MultiviewSettings:
        if self.image_size % self.patch:
            raise ValueError(
                f"multiview.image_size ({self.image_size}) must be a multiple of multiview.patch "
                f"({self.patch})"
            )
        for width, heads in (("dim", "heads"), ("encoder_dim", "encoder_heads")):
            if getattr(self, width) % getattr(self, heads):
                raise ValueError(
                    f"multiview.{width} ({getattr(self, width)}) must be divisible by "
                    f"multiview.{heads} ({getattr(self, heads)})"
                )
        return self

    @property
    def token_dim(self) -> int:
        """Numbers D of a token."""
        return self.dim + (POINT_NUMBERS if self.points else 0)

    @property
    def tokens_per_view(self) -> int:
        """Tokens P of a view, a square grid in row order."""
        return (self.image_size // self.patch) ** 2
