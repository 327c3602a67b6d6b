"""How bright each photograph was taken, learnt beside the shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Exposure(nn.Module):
    """Stops of each training view; their mean is 0, or light and exposure could drift together.

    Args:
        views: How many.
    """

    def __init__(self, views: int) -> None:
        super().__init__()
        self.stops = nn.Parameter(torch.zeros(views))

    def forward(self, linear: Tensor, views: Tensor) -> Tensor:
        """Return light [R, 3] as the photographs of views [R] show it."""
        gains = torch.exp2(self.stops - self.stops.mean())
        exposed: Tensor = linear * gains[views][:, None]
        return exposed
