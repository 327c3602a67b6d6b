"""How well held-out views are explained by material and light, each view alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gimbal.training.task import Batch, Source
from gimbal_nero.capture import View
from gimbal_nero.errors import ShapeError
from gimbal_nero.learning.photographer import Photographer
from gimbal_nero.learning.rays import Indices, reduced
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.points import SurfacePoints
from gimbal_nero.tracing.refining import DistanceField
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_nero.volume.colour import to_srgb

Pairs = dict[str, tuple[float, float]]
_LEAST_ERROR = 1.0 / 12.0 / 255.0**2


class HeldOutPoints:
    """A `gimbal.training.task.Source`; an index is a view, reduced, that shows the surface.

    Args:
        views: Any number; those that show nothing of the surface are left out.
        scale: Side of a reduced view against the photograph's.
        traced: The mesh.
        settings: Which pixels.
        field: The distance that the mesh was cut out of.
        photographer: Who stands behind the camera.
    """

    def __init__(
        self,
        views: Sequence[View],
        scale: float,
        traced: TracedMesh,
        settings: PointSettings,
        *,
        field: DistanceField | None = None,
        photographer: Photographer = "none",
    ) -> None:
        self._views: list[SurfacePoints] = []
        for view in views:
            small = reduced(view, scale)
            try:
                points = SurfacePoints(
                    [small], traced, settings, field=field, photographer=photographer
                )
            except ShapeError:
                continue
            self._views.append(points)

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self._views)

    def fetch(self, indices: Indices) -> Batch:
        """Return all points of one view; see `SurfacePoints.fetch`.

        Args:
            indices: int64 [1].
        """
        view = self._views[int(indices[0])]
        return {**view.fetch(np.arange(len(view)))}


def validate_views(
    radiance_of: Callable[[dict[str, Tensor]], Tensor], source: Source, points_at_once: int
) -> Pairs:
    """Return (sum, count) over views of `psnr` in decibels, over the pixels of the object.

    Args:
        radiance_of: From points as `fetch` gives them to linear radiance [N, 3].
        source: A `HeldOutPoints`, or a share of one.
        points_at_once: Points of one estimate.
    """
    total = 0.0
    for index in range(len(source)):
        given = {k: torch.as_tensor(v) for k, v in source.fetch(np.array([index])).items()}
        errors: list[Any] = []
        for first in range(0, len(given["points"]), points_at_once):
            part = {name: values[first : first + points_at_once] for name, values in given.items()}
            said = to_srgb(radiance_of(part).clamp(min=0.0)).clamp(max=1.0)
            errors.append((said.cpu() - part["rgb"]).square())
        error = float(torch.cat(errors).double().mean())
        total += 10.0 * math.log10(1.0 / max(error, _LEAST_ERROR)) if math.isfinite(error) else 0.0
    return {"psnr": (total, float(len(source)))}
