"""Light is asked only where it can be reflected: a network or a tracer answers each direction."""

from __future__ import annotations

from torch import Tensor

from gimbal_nero.reflectance.model import Light


def light_from(light: Light, points: Tensor, directions: Tensor, asked: Tensor) -> Tensor:
    """Return radiance [N, K, 3], 0 where it is not asked for.

    Args:
        light: Asked once.
        points: [N, 3]
        directions: [N, K, 3] of the world.
        asked: [N, K]
    """
    rows = asked.nonzero()[:, 0]
    answers = light(points[rows], directions[asked], rows)
    return answers.new_zeros(directions.shape).masked_scatter(asked[..., None], answers)
