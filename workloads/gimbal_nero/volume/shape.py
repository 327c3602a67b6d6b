"""The networks and their renderer as `gimbal_nero.learning.port.Fields` asks for them."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from gimbal.training.task import ParameterGroups
from gimbal_nero.fields.model import ShapeModel
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.volume import occlusion_target
from gimbal_nero.volume.colour import to_linear, to_srgb
from gimbal_nero.volume.model import Jitter, Moment, Rays, Rendered
from gimbal_nero.volume.render import render_rays


class ShapeFields:
    """A shape of networks; `module` is always a `ShapeModel` that `build` made.

    Args:
        settings: The model's.
        views: Photographs that are learnt from; only learned exposures ask for it.
    """

    def __init__(self, settings: ModelSettings, views: int = 0) -> None:
        self.settings = settings
        self._views = views

    @property
    def background_samples(self) -> int:
        """Samples of a ray beyond the unit sphere."""
        return self.settings.sampling.background

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Return fresh networks and their parameters as one group."""
        model = ShapeModel(self.settings, self._views)
        return model, [{"params": list(model.parameters()), "name": "shape"}]

    def render(
        self, module: nn.Module, rays: Rays, jitter: Jitter | None, moment: Moment
    ) -> Rendered:
        """Render rays."""
        return render_rays(cast("ShapeModel", module), rays, jitter, moment)

    def sdf(self, module: nn.Module, points: Tensor) -> Tensor:
        """Return [N] signed distances of [N, 3] points."""
        return cast("ShapeModel", module).distance.sdf(points)

    def gradients(self, module: nn.Module, points: Tensor) -> Tensor:
        """Return [N, 3] gradients of the distance at [N, 3] points."""
        found: Tensor = cast("ShapeModel", module).distance(points).gradients
        return found

    def traced_occlusion(self, module: nn.Module, points: Tensor, directions: Tensor) -> Tensor:
        """Return [M], how far rays are blocked."""
        return occlusion_target.traced_occlusion(cast("ShapeModel", module), points, directions)

    def expose(self, module: nn.Module, colour: Tensor, views: Tensor) -> Tensor:
        """Return composited colours [R, 3] as training views [R] show them."""
        exposure = cast("ShapeModel", module).exposure
        if exposure is None:
            return colour
        linear = self.settings.compositing == "linear"
        exposed: Tensor = exposure(colour if linear else to_linear(colour), views)
        return exposed if linear else to_srgb(exposed)

    def target(self, srgb: Tensor) -> Tensor:
        """Bring sRGB to the space in which colours are composited."""
        return to_linear(srgb) if self.settings.compositing == "linear" else srgb

    def srgb(self, colour: Tensor) -> Tensor:
        """Bring composited colours back to sRGB."""
        return to_srgb(colour) if self.settings.compositing == "linear" else colour
