"""From poses of views to poses of cars, which is what every metric compares.

With panoramas a view is a car. With a car's own pictures each says where its car is, through the
rig, and the car's pose is the mean of what its pictures say: translations averaged, rotations by
the chordal mean (Hartley, Trumpf, Dai, Li, "Rotation averaging", IJCV 2013, 5.3).

Drawn errors of 2 m an axis and 5 degrees: where pictures err on their own, the mean is 1.62 m off
and the front picture alone 3.19 m; where all of a car's err alike, 3.17 and 3.19. A single picture
that is ten times worse than the others spoils the mean (2.43 against .96 m).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from gimbal_vision.poses import invert_pose, make_pose, quaternion_to_matrix

Reading = Literal["mean", "front"]


def main_from_views(quats: Tensor, trans: Tensor, batch: Mapping[str, Any]) -> Tensor:
    """Return [B, V, 4, 4] predicted poses of views in the main car's frame.

    Args:
        quats: [B, V, 4] (x, y, z, w), view to view 0.
        trans: [B, V, 3] metres, in view 0's frame.
        batch: A piece of samples; its `car_from_view`, where it has one, says where view 0 sits on
            the main car.
    """
    pose: Tensor = make_pose(quaternion_to_matrix(quats), trans)
    rig: Tensor | None = batch.get("car_from_view")
    return pose if rig is None else rig[:, :1].to(pose) @ pose


def main_from_cars(
    views: Tensor, batch: Mapping[str, Any], reading: Reading = "mean"
) -> tuple[Tensor, Tensor]:
    """Return [B, N, 4, 4] poses of cars in the main car's frame, and [B, N] which there are.

    Args:
        views: [B, V, 4, 4] poses of views in the main car's frame.
        batch: A piece of samples with `car` and `present`.
        reading: Of a car's pictures, all, or the first (front, where there is one).
    """
    rig: Tensor | None = batch.get("car_from_view")
    if rig is None:
        return views, batch["present"]
    told = views @ invert_pose(rig.to(views))
    said = _whose(batch, views, reading)
    count = said.sum(dim=-1)
    share = said / count.clamp(min=1.0)[..., None]
    mean = torch.einsum("bnv,bvij->bnij", share, told)
    there = count > 0
    identity = torch.eye(3, dtype=views.dtype, device=views.device)
    rotation = nearest_rotation(torch.where(there[..., None, None], mean[..., :3, :3], identity))
    pose: Tensor = make_pose(rotation, mean[..., :3, 3])
    return pose, there


def nearest_rotation(matrix: Tensor) -> Tensor:
    """Return the rotations [..., 3, 3] nearest to matrices, by singular values.

    NaN for a matrix that is not finite, of which there are no singular values.
    """
    finite = torch.isfinite(matrix).all(dim=-1, keepdim=True).all(dim=-2, keepdim=True)
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    u, _, vh = torch.linalg.svd(torch.where(finite, matrix, identity))
    sign = torch.linalg.det(u @ vh)
    flip = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], dim=-1)
    nearest: Tensor = torch.where(finite, (u * flip[..., None, :]) @ vh, torch.nan)
    return nearest


def car_error_terms(
    predicted: Tensor, batch: Mapping[str, Any], reading: Reading = "mean"
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return (sum, count) of partners' errors, `pose_trans_m` and `pose_rot_deg`.

    Args:
        predicted: [B, V, 4, 4] poses of views in the main car's frame.
        batch: A piece of samples with `camera_pose`.
        reading: See `main_from_cars`.
    """
    said, there = main_from_cars(predicted, batch, reading)
    true, _ = main_from_cars(batch["camera_pose"].to(said), batch, reading)
    partner = there.clone()
    partner[:, 0] = False
    offset = torch.linalg.vector_norm(said[..., :3, 3] - true[..., :3, 3], dim=-1)
    turn = _angle(said[..., :3, :3].mT @ true[..., :3, :3])
    count = partner.sum().to(said)
    return {
        "pose_trans_m": (torch.where(partner, offset, 0.0).sum(), count),
        "pose_rot_deg": (torch.where(partner, turn, 0.0).sum().rad2deg(), count),
    }


def _whose(batch: Mapping[str, Any], views: Tensor, reading: Reading) -> Tensor:
    """Return [B, N, V] 1 where a view speaks for a car."""
    car, present = batch["car"], batch["present"]
    count = int(torch.where(present, car, 0).max()) + 1
    mine: Tensor = (car[:, None] == torch.arange(count, device=car.device)[:, None]) & present[
        :, None
    ]
    if reading == "front":
        mine = mine & (mine.cumsum(dim=-1) == 1)
    return mine.to(views.dtype)


def _angle(rotation: Tensor) -> Tensor:
    """Return the angles of [..., 3, 3] rotations in radians, exact for small ones too."""
    skew = rotation - rotation.mT
    sine = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    trace = rotation.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2(torch.linalg.vector_norm(sine, dim=-1), trace - 1.0)
