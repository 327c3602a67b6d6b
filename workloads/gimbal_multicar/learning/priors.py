"""The prior `agent_pose`: where each car says it is, as badly as its GPS does.

A car's true pose is moved on the ground and turned about the vertical, by normal numbers keyed by
(seed, step, sample); the main car's as well, so partners far away are told wrongly by its heading.
In training some cars' priors are withheld. A pose is told relative to the main car, so where its
own prior is withheld nothing is told of that sample: the model is then as it is without priors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gimbal.training.keyed import keyed_normal, keyed_uniform
from gimbal_multicar.learning.settings import PriorSettings
from gimbal_multicar.learning.turning import yaw
from gimbal_vision.multiview.views import InputUse, Views
from gimbal_vision.poses import matrix_to_quaternion, quaternion_to_matrix

HELD_OUT_STEP = -1
"""The step whose noise validation and judging see."""
_MOST_CARS = 64
"""Of a sample, `samples.max_cars` at most: drawn for all, so that padding cannot matter."""


def with_agent_priors(
    views: Views,
    use: InputUse | None,
    batch: Mapping[str, Any],
    settings: PriorSettings,
    *,
    seed: int = 0,
    step: int = HELD_OUT_STEP,
) -> tuple[Views, InputUse | None]:
    """Return views whose poses are the priors, and a use that tells them; no others are told.

    Args:
        views: With true poses.
        use: What else is told.
        batch: A piece of samples; the row of a sample's main car is the key of its numbers.
        settings: The noise; without `use_agent_pose_prior` nothing changes.
        seed: The experiment's.
        step: Optimizer step; on `HELD_OUT_STEP` no prior is withheld.
    """
    quats, trans = views.camera_pose_quats, views.camera_pose_trans
    if not settings.use_agent_pose_prior or quats is None or trans is None:
        return views, use
    rotation, moved = noisy(quaternion_to_matrix(quats), trans, batch, settings, (seed, step))
    told = _told(batch, settings, (seed, step))
    known = replace(
        views, camera_pose_quats=matrix_to_quaternion(rotation), camera_pose_trans=moved
    )
    nothing = torch.zeros_like(told)
    whole = torch.ones_like(told[:, 0])
    given = use or InputUse(
        rays=nothing,
        depth=nothing,
        pose=nothing,
        depth_scale=~whole,
        pose_scale=whole,
        sparse_depth=~whole,
    )
    return known, replace(given, pose=told, pose_scale=whole)


def noisy(
    rotation: Tensor,
    trans: Tensor,
    batch: Mapping[str, Any],
    settings: PriorSettings,
    key: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Return rotations [B, N, 3, 3] and translations [B, N, 3] as the cars' own GPS has them.

    Args:
        rotation: True ones.
        trans: True ones, metres.
        batch: A piece of samples.
        settings: Standard deviations, of each ground coordinate and of the heading.
        key: Seed and step.
    """
    drawn = keyed_normal(*key, batch["rows"][:, 0], (_MOST_CARS, 3), stream="agent prior")
    numbers = drawn[:, : trans.shape[1]].to(trans)
    angle = numbers[..., 2] * math.radians(settings.agent_pose_noise_deg)
    ahead, right = (numbers[..., axis] * settings.agent_pose_noise_m for axis in (0, 1))
    offset = torch.stack([right, torch.zeros_like(right), ahead], dim=-1)
    return rotation @ yaw(angle), trans + (rotation @ offset[..., None])[..., 0]


def _told(batch: Mapping[str, Any], settings: PriorSettings, key: tuple[int, int]) -> Tensor:
    """Return [B, N] bool, whose prior is there."""
    present: Tensor = batch["present"]
    if key[1] == HELD_OUT_STEP:
        return present
    lots = keyed_uniform(*key, batch["rows"][:, 0], (present.shape[1],), stream="prior withheld")
    there = present & (lots >= settings.agent_pose_missing)
    return there & there[:, :1]
