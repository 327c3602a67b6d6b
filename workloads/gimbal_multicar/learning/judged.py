"""From a model's answers to what is judged: tensors of a padded batch in, arrays of a sample out.

Samples are taken out of the batch before poses of views become poses of cars, so that nothing a
model says of padding can reach a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gimbal_multicar.judging.contract import FrameId
from gimbal_multicar.judging.samples import JudgedSample, SamplePrediction, SampleTruth
from gimbal_multicar.learning.blind import BlindPoses
from gimbal_multicar.learning.car_poses import main_from_cars, main_from_views
from gimbal_multicar.learning.predicting import Answers, one_of
from gimbal_vision.multiview.views import InputUse, Predictions

Array = np.ndarray[Any, np.dtype[Any]]
Boxes = Mapping[str, Array]

TOLD = ("rays", "depth", "pose", "all")
"""What a model may be told besides images."""
_OF_VIEWS = ("car", "present", "camera_pose", "car_from_view")


def judged_samples(
    found: Answers, frames: Sequence[FrameId], boxes: Sequence[Sequence[Boxes]] | None = None
) -> list[JudgedSample]:
    """Return the samples of a batch as they are judged.

    Args:
        found: What both networks say, and what is true.
        frames: [B] which samples they are.
        boxes: [B] each car's boxes in its own frame, main car first; none: not judged.
    """
    counts = found.batch["present"].sum(1).tolist()
    return [
        _judged(found, number, views, frames[number], boxes[number] if boxes else ())
        for number, views in enumerate(counts)
    ]


def input_use(name: str, present: Tensor) -> InputUse:
    """Return the use that tells all views one thing.

    Args:
        name: Of `TOLD`.
        present: [B, N] bool.
    """
    whole = torch.ones_like(present[:, 0])
    told = {key: present & (name in (key, "all")) for key in ("rays", "depth", "pose")}
    return InputUse(**told, depth_scale=whole, pose_scale=whole, sparse_depth=~whole)


def _judged(
    found: Answers, number: int, views: int, frame: FrameId, boxes: Sequence[Boxes]
) -> JudgedSample:
    truth = one_of(found.truth, number, views)
    said = one_of(found.said, number, views)
    batch = {
        name: found.batch[name][number : number + 1, :views]
        for name in _OF_VIEWS
        if name in found.batch
    }
    true_views = batch["camera_pose"].double()
    return JudgedSample(
        frame=frame,
        truth=SampleTruth(
            main_from_car=_cars(true_views, batch),
            main_from_view=_array(true_views[0]),
            points_view=_array(truth.pts3d_cam[0]),
            range_m=_array(truth.depth_along_ray[0, ..., 0]),
            valid=_array(truth.valid_mask[0]),
            non_ambiguous=_array(truth.non_ambiguous_mask[0]),
            rays=_array(_own(truth.ray_directions_cam, 3)),
            solid_angle=_array(_own(_known(truth.solid_angle), 2)),
            boxes_car=tuple(boxes),
        ),
        prediction=_prediction(said, batch),
        blind=_blind(one_of(found.blind, number, views), batch),
    )


def _prediction(said: Predictions, batch: Mapping[str, Any]) -> SamplePrediction:
    views = main_from_views(said.cam_quats.double(), said.cam_trans.double(), batch)
    return SamplePrediction(
        main_from_car=_cars(views, batch),
        main_from_view=_array(views[0]),
        points_view=_array(said.pts3d_cam[0]),
        range_m=_array(said.depth_along_ray[0, ..., 0]),
        rays=_array(said.ray_directions[0]),
        mask_logits=_array(said.non_ambiguous_mask_logits[0]),
        scale=float(said.metric_scaling_factor[0, 0]),
    )


def _blind(said: BlindPoses, batch: Mapping[str, Any]) -> Array:
    views = main_from_views(said.cam_quats.double(), said.cam_trans.double(), batch)
    return _cars(views, batch)


def _cars(views: Tensor, batch: Mapping[str, Any]) -> Array:
    poses, there = main_from_cars(views, batch)
    return _array(poses[0][there[0]])


def _own(value: Tensor, shared: int) -> Tensor:
    return value if value.ndim == shared else value[0]


def _known(solid_angle: Tensor | None) -> Tensor:
    """Return the solid angles; without any, every pixel counts alike."""
    return torch.ones(1, 1) if solid_angle is None else solid_angle


def _array(value: Tensor) -> Array:
    plain = value.detach().cpu()
    return (plain.float() if plain.dtype in (torch.bfloat16, torch.float16) else plain).numpy()
