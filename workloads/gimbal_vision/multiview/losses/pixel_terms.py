"""Losses of points, ranges, rays and the scale, and the same errors in metres and degrees.

On real data the worst 5 % of a view's known pixels are dropped from camera points and ranges, for
its measured depth has outliers. Which ones depends on the prediction, so a view stays as heavy as
all its known pixels were: the count remains a matter of the truth.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gimbal_vision.multiview.losses.robust import robust
from gimbal_vision.multiview.losses.scene import Scene, per_sample
from gimbal_vision.multiview.losses.target import Target
from gimbal_vision.multiview.precision import full

WORST_SHARE = 0.05
"""Of the known pixels of a view of real data."""
CONFIDENCE_GAIN = 0.2
_NO_LOSS = -1.0


def world_points(predicted: Scene, target: Target, confidence: Tensor) -> Tensor:
    """Return the summed loss c l - .2 log c of points in view 0's frame.

    Args:
        predicted: All geometry.
        target: All geometry, and what counts.
        confidence: [B, N, H, W] c >= 1.
    """
    loss = robust(_squared(predicted.mapped_world() - target.scene.mapped_world()))
    c = full(confidence)
    return ((c * loss - CONFIDENCE_GAIN * torch.log(c)) * target.known_weight).sum()


def cam_points(predicted: Scene, target: Target) -> Tensor:
    """Return the summed loss of points in camera axes."""
    loss = robust(_squared(predicted.mapped_cam() - target.scene.mapped_cam()))
    return _sum_without_worst(loss, target)


def depth(predicted: Scene, target: Target) -> Tensor:
    """Return the summed loss of ranges."""
    loss = robust((predicted.mapped_ranges() - target.scene.mapped_ranges()).square())
    return _sum_without_worst(loss, target)


def rays(predicted: Scene, target: Target) -> Tensor:
    """Return the summed loss of ray directions of all pixels, known range or not."""
    return (robust(_ray_error(predicted, target)) * target.weight).sum()


def scale(predicted: Scene, target: Target, metric_scale: Tensor) -> Tensor:
    """Return the summed loss of the metric scale; geometry gets no gradient from it.

    Args:
        predicted: All geometry, metric.
        target: Says which samples' lengths are metres.
        metric_scale: [B] what the geometry was multiplied by.
    """
    m = full(metric_scale)
    unscaled = (predicted.norm / m).detach()
    difference = torch.log1p(m * unscaled) - torch.log1p(target.scene.norm)
    return (robust(difference.square()) * target.scaled).sum()


def pixel_errors(predicted: Scene, target: Target) -> dict[str, Tensor]:
    """Return summed errors a person can read: `points_m`, `range_m`, `range_rel`, `ray_deg`."""
    true = target.scene
    weight = target.metric_weight
    off = (predicted.ranges - true.ranges).abs() * weight
    safe = torch.where(target.valid, true.ranges, 1.0)
    angle = 2.0 * torch.asin((_ray_error(predicted, target).sqrt() / 2.0).clamp_max(1.0))
    return {
        "points_m": (_squared(predicted.world - true.world).sqrt() * weight).sum(),
        "range_m": off.sum(),
        "range_rel": (off / safe).sum(),
        "ray_deg": (angle * target.weight).sum() * (180.0 / math.pi),
        "scale_log": (torch.log(predicted.norm / true.norm).abs() * target.scaled).sum(),
    }


def pixel_counts(target: Target) -> dict[str, Tensor]:
    """Return the weight of the pixels each loss sums, and of the samples whose scale counts."""
    known = target.known_weight.sum()
    return {
        "world_points": known,
        "cam_points": known,
        "depth": known,
        "rays": target.weight.sum(),
        "scale": target.scaled.sum(),
    }


def pixel_error_counts(target: Target) -> dict[str, Tensor]:
    """Return the weight of the pixels each of `pixel_errors` sums."""
    metric = target.metric_weight.sum()
    return {
        "points_m": metric,
        "range_m": metric,
        "range_rel": metric,
        "ray_deg": target.weight.sum(),
        "scale_log": target.scaled.sum(),
    }


def _squared(planes: Tensor) -> Tensor:
    return planes.square().sum(0)


def _ray_error(predicted: Scene, target: Target) -> Tensor:
    """Return the squared distance of unit rays [B, N, H, W]."""
    true = target.scene.rays
    if true.ndim == 3:
        true = true[:, None, None]
    return _squared(predicted.rays - true)


def _sum_without_worst(loss: Tensor, target: Target) -> Tensor:
    """Return the weighted sum over known pixels; of real samples, the worst ones replaced.

    Args:
        loss: [B, N, H, W], not negative.
        target: Says what is known, and which samples are real.
    """
    if bool(target.synthetic.all()):
        return (loss * target.known_weight).sum()
    synthetic = per_sample(target.synthetic)
    whole = (loss * target.known_weight * synthetic).sum()
    real = ~target.synthetic
    return whole + _trimmed(loss[real], target.known_weight[real], target.valid[real]).sum()


def _trimmed(loss: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """Return each view's mean without its worst pixels, times the weight of all of its pixels.

    Args:
        loss: [S, N, H, W].
        weight: [S, N, H, W], 0 where not valid.
        valid: [S, N, H, W] bool.
    """
    flat, weights = loss.flatten(2), weight.flatten(2)
    order = torch.where(valid.flatten(2), flat.detach(), _NO_LOSS).argsort(-1, descending=True)
    dropped = torch.floor(WORST_SHARE * valid.flatten(2).sum(-1, keepdim=True))
    rank = torch.arange(flat.shape[-1], device=flat.device)
    kept = weights.gather(-1, order) * (rank >= dropped)
    total = kept.sum(-1)
    mean = (flat.gather(-1, order) * kept).sum(-1) / torch.where(total > 0, total, 1.0)
    return mean * weights.sum(-1)
