"""Poses of cameras that look at the origin, differentiable in where they stand.

The value is that of `gimbal_vision.cameras.look_at`. Its derivative is a matter of choice: with the
world's up direction held in the image, a step beside a pole rolls the camera without bound (the
rate is the cotangent of the angle to the pole), and a gradient through declared poses would follow
the roll instead of the view. By default a step therefore moves the camera along a great circle
without roll, which has no pole.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from gimbal_vision.poses import look_at, make_pose

Roll = Literal["transported", "world_up"]

_PARALLEL = 1e-9
"""As in `gimbal_vision.poses`: below this sine to `up` another axis takes its place."""


def look_at_pose(direction: Tensor, radius: float, roll: Roll = "transported") -> Tensor:
    """Return cam2world [B,4,4] of cameras at `radius * direction` that look at the origin.

    Args:
        direction: World directions [B,3] of any length > 0; gradients flow to these.
        radius: Distance from the origin in world units.
        roll: What a step of the direction does to the roll: `transported`, nothing; `world_up`,
            what keeps world z upwards in the image. The values are the same.
    """
    unit = torch.nn.functional.normalize(direction, dim=-1)
    if roll == "world_up":
        return _world_up(unit, radius)
    eye = radius * unit.detach().double().cpu()
    pose = torch.as_tensor(look_at(eye.numpy())).to(unit)
    rotation = rotation_between(unit.detach(), unit) @ pose[:, :3, :3]
    fixed: Tensor = make_pose(rotation, radius * unit)
    return fixed


def rotation_between(first: Tensor, second: Tensor) -> Tensor:
    """Return the smallest rotations [B,3,3] that turn unit vectors [B,3] into others.

    Rodrigues' formula without angles: I + [v] + [v]^2 / (1 + c), v = first x second,
    c = first . second; smooth but for opposite vectors.
    """
    v = torch.linalg.cross(first, second)
    c = (first * second).sum(-1)[:, None, None]
    zero = torch.zeros_like(v[:, 0])
    x, y, z = v.unbind(-1)
    rows = [(zero, -z, y), (z, zero, -x), (-y, x, zero)]
    skew = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    return torch.eye(3).to(v) + skew + skew @ skew / (1 + c)


def _world_up(unit: Tensor, radius: float) -> Tensor:
    forward = -unit
    up = unit.new_tensor([0.0, 0.0, 1.0]).expand_as(unit)
    across = torch.linalg.cross(forward, up)
    spare = torch.eye(3).to(unit)[forward.detach().abs().argmin(-1)]
    level = across.detach().norm(dim=-1, keepdim=True) > _PARALLEL
    right = torch.where(level, across, torch.linalg.cross(forward, spare))
    right = torch.nn.functional.normalize(right, dim=-1)
    down = torch.linalg.cross(forward, right)
    pose: Tensor = make_pose(torch.stack([right, down, forward], dim=-1), radius * unit)
    return pose
