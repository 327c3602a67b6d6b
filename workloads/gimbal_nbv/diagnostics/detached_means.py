"""The detached loss as a run itself measures it, so that no diagnostic judges another one.

A run that trains by something else has no such loss; there the default one through fused depth is
looked at, which says what the detached route would do on its objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gimbal_nbv.diagnostics.bench import Bench
from gimbal_nbv.learned import reconstruction_of
from gimbal_nbv.objectives.detached import DetachedSettings
from gimbal_nbv.objectives.detached_inputs import TRUTH_POINTS, detached_settings
from gimbal_nbv.reconstruction.fusion import DepthFusion

if TYPE_CHECKING:
    from gimbal_nbv.reconstruction.base import Reconstruction


@dataclass(frozen=True, kw_only=True, slots=True)
class Fallback:
    """What to measure where the run does not say.

    Attributes:
        side: Pixels of an image's side, at most.
        truth_points: Surface samples to compare with; all where None.
    """

    side: int
    truth_points: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class DetachedMeans:
    """How a detached loss is measured.

    Attributes:
        settings: The loss.
        reconstruction: What it is measured on.
        truth_points: Surface samples it is compared with; all where None.
        side: Pixels of an image's side.
        at_most: Whether images are never larger than `side`; a training takes the stride below.
    """

    settings: DetachedSettings
    reconstruction: Reconstruction
    truth_points: int | None
    side: int
    at_most: bool = False

    @classmethod
    def of(cls, bench: Bench, fallback: Fallback) -> DetachedMeans | None:
        """Return a run's own; None where its reconstruction is learned and not there.

        Args:
            bench: The run.
            fallback: For a run with another objective.
        """
        objective, radius = bench.config.objective, bench.protocol.radius
        if objective.name != "detached_cd":
            return cls.default(radius, fallback)
        reconstruction = _reconstruction(bench)
        if reconstruction is None:
            return None
        return cls(
            settings=detached_settings(objective, radius),
            reconstruction=reconstruction,
            truth_points=TRUTH_POINTS,
            side=objective.image_size,
        )

    @classmethod
    def default(cls, radius: float, fallback: Fallback) -> DetachedMeans:
        """Return the default loss through fused depth."""
        return cls(
            settings=DetachedSettings(radius=radius, normalise="none"),
            reconstruction=DepthFusion(),
            truth_points=fallback.truth_points,
            side=fallback.side,
            at_most=True,
        )

    def stride(self, image_size: int) -> int:
        """Return every how many-th pixel of stored images is used."""
        return max(-(-image_size // self.side) if self.at_most else image_size // self.side, 1)


def _reconstruction(bench: Bench) -> Reconstruction | None:
    name = bench.config.objective.reconstruction
    if name != "fusion" and name not in bench.inputs:
        return None
    return reconstruction_of(name, bench.config.learned, bench.inputs, bench.protocol.grid)
