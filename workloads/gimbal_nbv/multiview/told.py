"""What the network is told of a training sample: often all, as in use, and often less.

Given only complete geometry it would never learn to read a picture, and its tokens would be those
of a copying machine.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_vision.multiview.inputs import GivenProbabilities, draw_inputs, uniforms_needed
from gimbal_vision.multiview.views import InputUse


def everything(present: Tensor) -> InputUse:
    """Return the use of all that is known of views whose presence is bool [B,N]."""
    told = present.new_ones(len(present))
    return InputUse(
        rays=present,
        depth=present,
        pose=present,
        depth_scale=told,
        pose_scale=told,
        sparse_depth=~told,
    )


def uniforms_of(views: int) -> int:
    """Return how many uniform numbers a sample of so many views needs."""
    return 1 + uniforms_needed(views)


def drawn_use(settings: MultiviewSettings, uniforms: Tensor, present: Tensor) -> InputUse:
    """Return what each sample is told: all; or rays, ranges and poses each by itself or not.

    Args:
        settings: How often.
        uniforms: In [0, 1), [B, `uniforms_of(N)`]; a sample's own, so no batch changes them.
        present: bool [B,N].
    """
    share = settings.given
    some = GivenProbabilities(ray_dirs_prob=share, depth_prob=share, cam_prob=share)
    drawn = draw_inputs(some, uniforms[:, 1:], present.shape[1])
    whole = uniforms[:, :1] < settings.all_given
    return replace(
        drawn,
        rays=present & (whole | drawn.rays),
        depth=present & (whole | drawn.depth),
        pose=present & (whole | drawn.pose),
    )
