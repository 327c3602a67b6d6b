"""Learning a shape from rays as one training task.

Every ray draws its own numbers (`gimbal.training.keyed`) and every term is a sum and a count, so
workers and pieces change nothing. The terms of a run are settled by the weights of its config; what
begins later counts nothing before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gimbal.training.keyed import keyed_uniform
from gimbal.training.task import Batch, LossTerms, ParameterGroups, Source
from gimbal_nero.capture import Capture
from gimbal_nero.errors import CaptureError
from gimbal_nero.learning import terms
from gimbal_nero.learning.photographer import Photographer
from gimbal_nero.learning.port import Fields
from gimbal_nero.learning.rays import RaySource, ViewSource
from gimbal_nero.learning.schedules import (
    moment_at,
    occlusion_on,
    prior_factor,
    term_weights_at,
)
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.learning.validating import RAY_FIELDS, validate_views
from gimbal_nero.volume.model import Jitter, Moment, Rays, Rendered


@dataclass(frozen=True, kw_only=True)
class ShapePlan:
    """What decides a training, besides the networks.

    Attributes:
        loss: What is minimised.
        schedule: What of the renderer changes with the step.
        rays: Which pixels are learnt from.
        seed: The experiment's.
        photographer: Who stands behind the camera.
    """

    loss: LossSettings
    schedule: ScheduleSettings
    rays: RaySettings
    seed: int
    photographer: Photographer = "none"


class ShapeTask:
    """A `gimbal.training.task.TrainTask`.

    Args:
        plan: What decides the training.
        fields: The networks and their renderer.
        capture: Photographs in the unit frame.

    Raises:
        CaptureError: A setting needs masks that are not there, or held-out views are too small.
    """

    sharded_validation = True
    find_unused_parameters = True
    """The surface's sharpness rests at first."""

    def __init__(self, plan: ShapePlan, fields: Fields, capture: Capture) -> None:
        self._plan = plan
        self._fields = fields
        self._train = RaySource(capture.of("train"), plan.rays.foreground_share, plan.photographer)
        self._held_out = ViewSource(
            capture.of("validate"), plan.rays.validation_scale, plan.photographer
        )
        needs_masks = plan.loss.mask_weight > 0 or plan.loss.masked_colour
        if needs_masks and not self._train.has_masks:
            raise CaptureError(
                "loss.mask_weight and loss.masked_colour need masks, and the capture has none",
                "give masks to prepare, or leave both out",
            )
        views = len(capture.of("train"))
        self.plan_note = f"a step's rays come from {views} views of {len(self._train)} pixels"

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make the networks."""
        return self._fields.build()

    def source(self, split: str) -> Source:
        """Return rays of `train`, or whole views of `val`."""
        return self._train if split == "train" else self._held_out

    def sample_ids(self, indices: np.ndarray[Any, Any]) -> list[str]:
        """Return view:row,column of training rays."""
        return self._train.names(indices)

    def term_weights(self, step: int) -> Mapping[str, float]:
        """Return the weight of every term at a step."""
        return term_weights_at(self._plan.loss, step)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the terms of some rays; see `terms`."""
        like = next(module.parameters())
        rays = Rays(**{name: batch[name].to(like) for name in RAY_FIELDS if name in batch})
        moment = moment_at(self._plan.schedule, step)
        jitter = self._jitter(batch["sample_ids"], step, like)
        rendered = self._fields.render(module, rays, jitter, moment)
        target = self._fields.target(batch["rgb"].to(like))
        settings = self._plan.loss
        found = {"colour": self._colour(module, batch, rendered, step, target)}
        if settings.eikonal_weight:
            found["eikonal"] = self._eikonal(module, batch, rendered, step)
        if settings.occlusion_weight:
            found["occlusion"] = self._occlusion(module, batch, rays, rendered, step)
        if settings.prior_weight:
            found |= self._prior(module, rays, rendered, step)
        if settings.mask_weight:
            found["mask"] = terms.mask_term(rendered.opacity, batch["mask"])
        return found

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return (sum, count) of `psnr`, `ssim` and `opacity` over views."""
        at_once = self._plan.rays.rays_at_once
        return validate_views(self._fields, module, source, at_once, Moment())

    def _colour(
        self, module: nn.Module, batch: Batch, rendered: Rendered, step: int, target: Tensor
    ) -> terms.Term:
        """Compare what is said with photographs."""
        loss, view, mask = self._plan.loss, batch["view"], batch["mask"]
        said = self._fields.expose(module, rendered.colour, view)
        if rendered.plain_colour is None:
            return terms.colour_term(said, target, mask, loss)
        plain = self._fields.expose(module, rendered.plain_colour, view)
        rough = rendered.material["roughness"].squeeze(-1)
        share = rough if step >= loss.dual_from_step else torch.full_like(rough, 0.5)
        return terms.dual_colour_term((said, plain), share, target, mask, loss)

    def _jitter(self, ids: Tensor, step: int, like: Tensor) -> Jitter:
        seed, outer = self._plan.seed, (self._fields.background_samples,)
        return Jitter(
            inner=keyed_uniform(seed, step, ids, stream="inner").to(like),
            outer=keyed_uniform(seed, step, ids, outer, stream="outer").to(like),
        )

    def _eikonal(
        self, module: nn.Module, batch: Batch, rendered: Rendered, step: int
    ) -> terms.Term:
        """Ask that slopes be 1 at a ray's samples, and at points of its own in the sphere."""
        loss = self._plan.loss
        if step < loss.eikonal_from_step:
            return terms.nothing(rendered.colour)
        gradients = rendered.gradients
        if loss.eikonal_uniform_points:
            shape = (loss.eikonal_uniform_points, 3)
            ids = batch["sample_ids"]
            drawn = keyed_uniform(self._plan.seed, step, ids, shape, stream="eikonal")
            points = terms.points_in_sphere(drawn.reshape(-1, 3).to(gradients))
            gradients = torch.cat([gradients, self._fields.gradients(module, points)])
        return terms.eikonal_term(gradients)

    def _occlusion(
        self, module: nn.Module, batch: Batch, rays: Rays, rendered: Rendered, step: int
    ) -> terms.Term:
        """Compare the occlusion that some samples are said to have with what is traced."""
        said = rendered.occlusion_raw
        if said is None or not occlusion_on(self._plan.loss, step):
            return terms.nothing(rendered.colour)
        shape = (rendered.inside.shape[1],)
        drawn = keyed_uniform(self._plan.seed, step, batch["sample_ids"], shape, stream="occlusion")
        chosen, points, directions = terms.occlusion_places(rays, rendered, drawn, self._plan.loss)
        with torch.no_grad():
            traced = self._fields.traced_occlusion(module, points, directions)
        return terms.occlusion_term(said[chosen, 0], traced)

    def _prior(
        self, module: nn.Module, rays: Rays, rendered: Rendered, step: int
    ) -> dict[str, terms.Term]:
        if not prior_factor(self._plan.loss, step):
            nothing = terms.nothing(rendered.colour)
            return {"prior_outside": nothing, "prior_inside": nothing}
        outside = terms.outside_points(rays, rendered)
        inside = rendered.sdf[rendered.inside]
        return {
            "prior_outside": terms.prior_outside_term(outside, self._fields.sdf(module, outside)),
            "prior_inside": terms.prior_inside_term(rendered.inner_points, inside),
        }
