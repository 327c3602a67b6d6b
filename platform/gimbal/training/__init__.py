"""Training under Ray Train: the same run on any number of GPUs.

What a run computes is a function of its settings and its seed; how many workers share the work is
not. `order` says which samples make step k, `exact` turns any split of them into the same
gradient, `keyed` draws randomness by sample instead of by worker, `checkpoints` carries the rest.
This package itself imports no torch, since a plan of stages is made without it.
"""

from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage

__all__ = ["TrainSettings", "TrainStage"]
