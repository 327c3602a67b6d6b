"""All losses of the multi-view model, and beside them the same errors in metres and degrees.

Every term is a (sum, count) pair, so that whatever way a batch is split over workers or pieces, the
parts add up. A term is a mean over the pixels, views or pairs of views that are there: it depends
neither on the number of views nor on padding. Upstream adds views up and multiplies by 2/N from
three views on; `published_factor` goes between the two.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gimbal_vision.errors import LossError
from gimbal_vision.multiview.losses import (
    gradient_term,
    mask_term,
    match_term,
    normal_term,
    pixel_terms,
)
from gimbal_vision.multiview.losses.match_term import MatchTargets, MatchTerm
from gimbal_vision.multiview.losses.pose_terms import (
    Poses,
    pose_counts,
    pose_error_counts,
    pose_errors,
    pose_sums,
    predicted_poses,
)
from gimbal_vision.multiview.losses.presets import (
    MATCH_READINGS,
    READINGS,
    LossPreset,
    LossWeights,
)
from gimbal_vision.multiview.losses.scene import Scene, predicted_scene
from gimbal_vision.multiview.losses.target import Target
from gimbal_vision.multiview.matching import Matches
from gimbal_vision.multiview.precision import full_precision
from gimbal_vision.multiview.views import Predictions, Truth

Sums = dict[str, Tensor]
Terms = dict[str, tuple[Tensor, Tensor | None]]


class MultiViewLoss:
    """The weighted terms; call it with predictions and truth.

    Args:
        weights: What each term counts. A term of weight 0 is computed without gradients.
        mask_pos_weight: Weight of positive pixels in the mask's cross entropy.
        pairwise: Compare every view's pose as seen from every other one.
        absolute: Compare poses in view 0's frame.
        wraps: Views are panoramas: the last column's neighbour is the first.
        solid_angle: Weigh pixels by `truth.solid_angle` where there is one.
        match: How patches are taught to match; None: the model matches none.

    Attributes:
        term_weights: {term: weight} of every term, 0 for `READINGS`.
    """

    def __init__(
        self,
        weights: LossWeights,
        *,
        mask_pos_weight: float = 1.0,
        pairwise: bool = False,
        absolute: bool = True,
        wraps: bool = False,
        solid_angle: bool = True,
        match: MatchTerm | None = None,
    ) -> None:
        self._weights = weights
        self._positive = mask_pos_weight
        self._pairwise = pairwise
        self._absolute = absolute
        self._wraps = wraps
        self._solid_angle = solid_angle
        self._match = match
        self.term_weights: dict[str, float] = {
            **weights.by_name(),
            **dict.fromkeys(READINGS, 0.0),
        }
        if match is not None:
            self.term_weights |= {"match": match.weight, **dict.fromkeys(MATCH_READINGS, 0.0)}

    @classmethod
    def of_preset(
        cls,
        preset: LossPreset,
        *,
        mask_pos_weight: float = 1.0,
        wraps: bool = False,
        solid_angle: bool = True,
        match: MatchTerm | None = None,
    ) -> MultiViewLoss:
        """Return the loss of one of `presets.PRESETS`; for other weights, replace its `weights`."""
        return cls(
            preset.weights,
            mask_pos_weight=mask_pos_weight,
            pairwise=preset.pairwise,
            absolute=preset.absolute,
            wraps=wraps,
            solid_angle=solid_angle,
            match=match,
        )

    def __call__(self, predictions: Predictions, truth: Truth) -> Terms:
        """Return {term: (sum, count)} of a batch; readings are detached.

        Sums are scalars in float32, or float64 where predictions and truth are; half precision
        and autocast end here.
        """
        with full_precision(truth.depth_along_ray):
            target = self._target(truth)
            sums = self._sums(predictions, target)
            counts = self._counts(target)
            if (sought := self._sought(truth)) is not None:
                sums |= match_term.match_sums(_matches_of(predictions), sought)
                counts |= match_term.match_counts(sought)
        return {name: (sums[name], counts[name]) for name in self.term_weights}

    @torch.no_grad()
    def counts(self, truth: Truth) -> Sums:
        """Return {term: count} as a call would, from the truth alone."""
        with full_precision(truth.depth_along_ray):
            counts = self._counts(self._target(truth))
            if (sought := self._sought(truth)) is not None:
                counts |= match_term.match_counts(sought)
        return {name: counts[name] for name in self.term_weights}

    def pose_terms(self, quats: Tensor, trans: Tensor, truth: Truth) -> Terms:
        """Return the terms of poses alone, for a model that predicts no pixels.

        Such a model has no normaliser of its own: translations in metres are divided by the
        truth's, on both sides, so an error is a share of the sample's true size.

        Args:
            quats: [B, N, 4] camera to view 0 (x, y, z, w).
            trans: [B, N, 3] metres, in view 0's frame.
            truth: What the views really are.
        """
        with full_precision(truth.depth_along_ray):
            target = self._target(truth)
            found = predicted_poses(quats, trans, target)
            sums = self._pose_sums(found, target, target.scene.norm)
            sums |= _detached(lambda: pose_errors(found, target))
            counts = self._pose_counts(target)
        return {name: (sums[name], counts[name]) for name in sums}

    def _target(self, truth: Truth) -> Target:
        return Target(truth, solid_angle=self._solid_angle)

    def _sought(self, truth: Truth) -> MatchTargets | None:
        """Return which patches match, if the model is asked."""
        if self._match is None:
            return None
        height, width = truth.valid_mask.shape[-2:]
        grid = (height // self._match.patch, width // self._match.patch)
        return match_term.match_targets(truth, grid)

    def _sums(self, predictions: Predictions, target: Target) -> Sums:
        scene = predicted_scene(predictions, target.known)
        poses = predicted_poses(predictions.cam_quats, predictions.cam_trans, target)
        logits = predictions.non_ambiguous_mask_logits
        parts: dict[str, Callable[[], Tensor]] = {
            "world_points": lambda: pixel_terms.world_points(scene, target, predictions.conf),
            "cam_points": lambda: pixel_terms.cam_points(scene, target),
            "depth": lambda: pixel_terms.depth(scene, target),
            "rays": lambda: pixel_terms.rays(scene, target),
            "scale": lambda: pixel_terms.scale(
                scene, target, predictions.metric_scaling_factor[:, 0]
            ),
            "normals": lambda: normal_term.normals(scene.cam, target, wraps=self._wraps),
            "gradients": lambda: gradient_term.gradients(scene.ranges, target, wraps=self._wraps),
            "mask": lambda: mask_term.mask(logits, target, self._positive),
        }
        sums = {name: self._weighed(name, part) for name, part in parts.items()}
        sums |= self._pose_sums(poses, target, scene.norm)
        return sums | _detached(lambda: _readings(scene, poses, logits, target))

    def _weighed(self, name: str, part: Callable[[], Tensor]) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.term_weights[name] > 0):
            return part()

    def _pose_sums(self, found: Poses, target: Target, norm: Tensor) -> Sums:
        """Return the losses of poses whose translations are divided by `norm` [B]."""
        return pose_sums(
            Poses(quats=found.quats, trans=found.trans / norm[:, None, None]),
            Poses(quats=target.quats, trans=target.trans / target.scene.norm[:, None, None]),
            target,
            absolute=self._absolute,
            pairwise=self._pairwise,
        )

    def _pose_counts(self, target: Target) -> Sums:
        counts = pose_counts(target, absolute=self._absolute, pairwise=self._pairwise)
        return counts | pose_error_counts(target)

    def _counts(self, target: Target) -> Sums:
        return {
            **self._pose_counts(target),
            **pixel_terms.pixel_counts(target),
            **pixel_terms.pixel_error_counts(target),
            **mask_term.mask_count(target),
            **mask_term.mask_mean_counts(target),
            "normals": normal_term.normal_count(target, wraps=self._wraps),
            "gradients": gradient_term.gradient_count(target, wraps=self._wraps),
        }


def published_factor(views: int, term: str) -> float:
    """Return what a term's mean is multiplied by to read as upstream's training log would.

    Upstream adds the views up and multiplies its total by 2/N from three views on; the scale is
    not a term of views. Its `_avg` logs are means over views and need no factor but the weight.

    Args:
        views: N of every sample.
        term: A name of `presets.TERMS`.
    """
    shrink = 2.0 / views if views > 2 else 1.0
    return shrink if term == "scale" else shrink * views


def _matches_of(predictions: Predictions) -> Matches:
    """Return what the model matched.

    Raises:
        LossError: It matches nothing.
    """
    if predictions.matches is None:
        raise LossError(
            "the term match needs predictions.matches, which this model does not give",
            "give the model the pose head 'matching' (ModelShape.pose_head), or make the loss with "
            "match=None",
        )
    return predictions.matches


def _readings(scene: Scene, poses: Poses, logits: Tensor, target: Target) -> Sums:
    return {
        **pose_errors(poses, target),
        **pixel_terms.pixel_errors(scene, target),
        **mask_term.mask_means(logits, target),
    }


@torch.no_grad()
def _detached(part: Callable[[], Sums]) -> Sums:
    return part()
