"""Which geometric inputs a sample is given: probabilities, published tasks, the draw.

The draw's uniform numbers are handed in, so the caller can key them by seed, step and sample, and a
step does not depend on how many workers share it. The first numbers are the sample's, the rest one
for each view; so a sample that is padded with further views draws the same for its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.views import InputUse

_KEY_STEPS = 2**24
"""Keys of sparse ranges; as many as float32 numbers in [0, 1) tell apart."""

_OF_A_SAMPLE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenProbabilities:
    """How often geometry is given; names and meanings are the published ones (multicar.md A4).

    Attributes:
        overall_prob: That a sample is given anything.
        dropout_prob: That one view of such a sample is given nothing.
        ray_dirs_prob: That a sample's rays are given.
        depth_prob: That its ranges are.
        cam_prob: That its poses are.
        sparse_depth_prob: That nine of ten known ranges of a sample are withheld.
        depth_scale_norm_all_prob: That the metric scale of its ranges is not told.
        pose_scale_norm_all_prob: That the metric scale of its poses is not told.
    """

    overall_prob: float = 1.0
    dropout_prob: float = 0.0
    ray_dirs_prob: float = 0.0
    depth_prob: float = 0.0
    cam_prob: float = 0.0
    sparse_depth_prob: float = 0.0
    depth_scale_norm_all_prob: float = 0.0
    pose_scale_norm_all_prob: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value <= 1.0:
                raise MultiViewError(
                    f"{field.name} is {value}, which is no probability", "give a number in [0, 1]"
                )


PRESETS: dict[str, GivenProbabilities] = {
    "images_only": GivenProbabilities(overall_prob=0.0, dropout_prob=1.0),
    "aug_training": GivenProbabilities(
        overall_prob=0.9,
        dropout_prob=0.05,
        ray_dirs_prob=0.5,
        depth_prob=0.5,
        cam_prob=0.5,
        sparse_depth_prob=0.5,
        depth_scale_norm_all_prob=0.05,
        pose_scale_norm_all_prob=0.05,
    ),
    "calibrated_sfm": GivenProbabilities(ray_dirs_prob=1.0),
    "posed_sfm": GivenProbabilities(cam_prob=1.0),
    "mvs": GivenProbabilities(ray_dirs_prob=1.0, cam_prob=1.0),
    "depth_completion": GivenProbabilities(
        ray_dirs_prob=1.0, depth_prob=1.0, cam_prob=1.0, sparse_depth_prob=1.0
    ),
    "registration": GivenProbabilities(ray_dirs_prob=1.0, depth_prob=1.0),
}
"""The published tasks."""


def uniforms_needed(views: int) -> int:
    """Return how many uniform numbers the draw for one sample of `views` views takes."""
    return _OF_A_SAMPLE + views


def draw_inputs(probabilities: GivenProbabilities, uniforms: Tensor, views: int) -> InputUse:
    """Return what each sample is given.

    Args:
        probabilities: How often.
        uniforms: [B, K] in [0, 1), K = uniforms_needed(views).
        views: N.

    Raises:
        MultiViewError: `uniforms` has another width.
    """
    p = probabilities
    if uniforms.ndim != 2 or uniforms.shape[1] != uniforms_needed(views):
        raise MultiViewError(
            f"uniforms of shape {tuple(uniforms.shape)} for {views} views",
            f"give [B, {uniforms_needed(views)}] numbers in [0, 1)",
        )
    overall, rays, depth, pose, sparse, depth_norm, pose_norm, key = uniforms[:, :_OF_A_SAMPLE].T
    given = (overall < p.overall_prob)[:, None] & (uniforms[:, _OF_A_SAMPLE:] >= p.dropout_prob)
    return InputUse(
        rays=given & (rays < p.ray_dirs_prob)[:, None],
        depth=given & (depth < p.depth_prob)[:, None],
        pose=given & (pose < p.cam_prob)[:, None],
        depth_scale=depth_norm >= p.depth_scale_norm_all_prob,
        pose_scale=pose_norm >= p.pose_scale_norm_all_prob,
        sparse_depth=sparse < p.sparse_depth_prob,
        sparse_key=(key * _KEY_STEPS).to(torch.int64),
    )
