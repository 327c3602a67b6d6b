"""Learning material and light from points of a surface as one training task.

Every point draws its own directions (`gimbal.training.keyed`) and every term is a sum and a count,
so workers and pieces change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from gimbal.training.keyed import keyed_normal, keyed_uniform
from gimbal.training.task import Batch, LossTerms, ParameterGroups, Source
from gimbal_nero.capture import Capture
from gimbal_nero.learning.photographer import Photographer
from gimbal_nero.material import terms
from gimbal_nero.material.fit_settings import FitSettings
from gimbal_nero.material.held_out import HeldOutPoints, validate_views
from gimbal_nero.material.model import MaterialModel
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.points import SurfacePoints
from gimbal_nero.material.shading import PointShader, given_of
from gimbal_nero.reflectance.model import Draws, fixed_draws
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_nero.tracing.refining import DistanceField
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.meshes import Mesh


@dataclass(frozen=True, kw_only=True)
class MaterialPlan:
    """What decides a fitting.

    Attributes:
        fit: Networks, losses, steps.
        points: Which pixels are learnt from.
        mc: How many directions light is asked from.
        seed: The experiment's.
        photographer: Who stands behind the camera.
    """

    fit: FitSettings
    points: PointSettings
    mc: EstimatorSettings
    seed: int
    photographer: Photographer = "none"


class MaterialTask:
    """A `gimbal.training.task.TrainTask`.

    Args:
        plan: What decides the fitting.
        capture: Photographs in the unit frame.
        mesh: In the unit frame.
        field: The distance that the mesh was cut out of; None: the mesh is all there is.

    Raises:
        ShapeError: No training pixel shows the mesh.
    """

    sharded_validation = True
    find_unused_parameters = True
    """No light comes from the object where no ray meets it."""

    def __init__(
        self, plan: MaterialPlan, capture: Capture, mesh: Mesh, field: DistanceField | None = None
    ) -> None:
        self._plan = plan
        self._shader = PointShader(mesh, plan.mc)
        traced = TracedMesh(mesh)
        self._train = SurfacePoints(
            capture.of("train"),
            traced,
            plan.points,
            field=field,
            photographer=plan.photographer,
        )
        self._held_out = HeldOutPoints(
            capture.of("validate"),
            plan.fit.validation_scale,
            traced,
            plan.points,
            field=field,
            photographer=plan.photographer,
        )
        counts = self._train.counts
        self.plan_note = (
            f"{counts.kept} points of {len(capture.of('train'))} views are learnt from; "
            f"{counts.met} of {counts.pixels} pixels meet the mesh"
        )

    @property
    def settings(self) -> FitSettings:
        """How it is fitted."""
        return self._plan.fit

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make the networks."""
        standing = self._plan.photographer != "none"
        model = MaterialModel(self._plan.fit.networks, photographer=standing)
        return model, [{"params": list(model.parameters()), "name": "material"}]

    def source(self, split: str) -> Source:
        """Return points of `train`, or those of whole views of `val`."""
        return self._train if split == "train" else self._held_out

    def sample_ids(self, indices: np.ndarray[Any, Any]) -> list[str]:
        """Return view:row,column of training points."""
        return self._train.names(indices)

    def term_weights(self, step: int) -> Mapping[str, float]:
        """Return the weight of every term at a step."""
        loss, batch = self._plan.fit.loss, self._plan.fit.train.global_batch
        weights = {"colour": 1.0}
        if loss.smoothness_weight:
            weights["smoothness"] = loss.smoothness_weight
        if loss.range_weight:
            on = step < loss.range_until_step
            weights["range"] = loss.range_weight * batch if on else 0.0
        if loss.neutral_light_weight:
            weights["neutral_light"] = loss.neutral_light_weight
        return weights

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the terms of some points; see `terms`."""
        model, settings = cast("MaterialModel", module), self._plan.fit.loss
        given = given_of(model, batch)
        ids = batch["sample_ids"]
        here = model.surface(given["points"])
        draws = self._draws(ids, step, given["points"])
        shaded = self._shader.shade(model, given, here, draws)
        found = {"colour": terms.colour_term(shaded.radiance, given["rgb"], settings)}
        if settings.smoothness_weight:
            points = terms.beside(
                given["points"],
                given["normals"],
                self._beside(ids, step, given["points"]),
                settings.smoothness_radius,
            )
            found["smoothness"] = terms.smoothness_term(here, model.surface(points))
        if settings.range_weight:
            found["range"] = terms.range_term(here)
        if settings.neutral_light_weight:
            found["neutral_light"] = terms.neutral_light_term(shaded.diffuse_light)
        return found

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return (sum, count) of `psnr` over views."""
        model = cast("MaterialModel", module)
        like = next(model.parameters())

        def radiance_of(points: dict[str, Tensor]) -> Tensor:
            given = given_of(model, points)
            draws = fixed_draws(len(given["points"]), like)
            with torch.no_grad():
                return self._shader.shade(
                    model, given, model.surface(given["points"]), draws
                ).radiance

        return validate_views(radiance_of, source, self._plan.fit.points_at_once)

    def _draws(self, ids: Tensor, step: int, like: Tensor) -> Draws:
        numbers = keyed_uniform(self._plan.seed, step, ids, (3, 2), stream="light").to(like)
        return Draws(diffuse=numbers[:, 0], specular=numbers[:, 1], environment=numbers[:, 2])

    def _beside(self, ids: Tensor, step: int, like: Tensor) -> Tensor:
        seed = self._plan.seed
        turned = keyed_uniform(seed, step, ids, (1,), stream="beside")
        moved = keyed_normal(seed, step, ids, (1,), stream="beside_by")
        return torch.cat([turned, moved], dim=-1).to(like)
