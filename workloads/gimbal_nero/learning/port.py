"""What learning asks of the networks and the renderer, so that neither knows the other."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from gimbal.training.task import ParameterGroups
from gimbal_nero.volume.model import Jitter, Moment, Rays, Rendered


class Fields(Protocol):
    """A shape that can be rendered; `module` is always what `build` returned."""

    @property
    def background_samples(self) -> int:
        """Samples of a ray beyond the unit sphere."""
        ...

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Return fresh networks and their parameters; torch's generator is seeded."""
        ...

    def render(
        self, module: nn.Module, rays: Rays, jitter: Jitter | None, moment: Moment
    ) -> Rendered:
        """Render rays; no jitter: the middle of every bin."""
        ...

    def sdf(self, module: nn.Module, points: Tensor) -> Tensor:
        """Return [N] signed distances, positive outside, of [N, 3] points in the unit frame."""
        ...

    def gradients(self, module: nn.Module, points: Tensor) -> Tensor:
        """Return [N, 3] gradients of the distance at [N, 3] points in the unit frame."""
        ...

    def traced_occlusion(self, module: nn.Module, points: Tensor, directions: Tensor) -> Tensor:
        """Return [M], how far a ray from each [M, 3] point is blocked within the unit sphere."""
        ...

    def expose(self, module: nn.Module, colour: Tensor, views: Tensor) -> Tensor:
        """Return composited colours [R, 3] as the photographs of training views [R] show them."""
        ...

    def target(self, srgb: Tensor) -> Tensor:
        """Bring [..., 3] sRGB in [0, 1] to the space in which colours are composited."""
        ...

    def srgb(self, colour: Tensor) -> Tensor:
        """Bring [..., 3] composited colours back to sRGB."""
        ...
