"""Light from afar as a given picture, seen from the unit frame.

The picture is never resampled: directions are turned into its own frame instead, so no window loses
an edge. Between pixels it is bilinear, as Mitsuba has it, and what steers directions is the mean of
that over each pixel, so no light is where no direction goes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nero.reflectance.environment import EnvironmentTable

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_TENT = (0.125, 0.75, 0.125)
"""Means of the bilinear weights over a pixel: its own, and those of the two beside it."""


class Sky:
    """A latitude-longitude picture that surrounds the object.

    Args:
        picture: [H, 2H, 3] linear radiance, z-up as `exporting.environment` has it.
        from_unit: [3, 3] rotation of the unit frame's directions into the picture's frame; none:
            the picture is of the unit frame.
        device: Where directions come from.

    Raises:
        ReflectanceError: The picture is black, negative, not finite or of another shape.
    """

    def __init__(
        self,
        picture: Floats,
        from_unit: Doubles | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        own = torch.as_tensor(np.array(picture, np.float32), device=device)
        turn = np.eye(3) if from_unit is None else from_unit
        self._rows = len(own)
        self._turn = torch.as_tensor(np.array(turn, np.float64), device=device)
        EnvironmentTable(own)
        self._bordered = _bordered(own.movedim(-1, 0)[None])
        self.table = TurnedTable(_pixel_means(self._bordered), self._turn)

    def radiance(self, directions: Tensor) -> Tensor:
        """Return linear radiance [M, 3] from unit directions [M, 3] of the unit frame."""
        x, y, z = (directions @ self._turn.T.to(directions)).unbind(-1)
        columns = (0.5 - torch.atan2(y, x) / (2.0 * math.pi)) % 1.0 * (2 * self._rows)
        rows = z.clamp(-1.0, 1.0).acos() * (self._rows / math.pi)
        across = (columns + 1.0) / (self._rows + 1) - 1.0
        down = 2.0 * (rows + 1.0) / (self._rows + 2) - 1.0
        places = torch.stack([across, down], dim=-1)[None, None]
        picture = self._bordered.to(directions.dtype)
        found = functional.grid_sample(picture, places, mode="bilinear", align_corners=False)
        return found[0, :, 0].T.contiguous()


class TurnedTable(EnvironmentTable):
    """Chooses directions by a picture of another frame.

    Args:
        picture: [H, 2H, 3] linear radiance, z-up in its own frame.
        from_unit: [3, 3] rotation of the unit frame's directions into that frame.
    """

    def __init__(self, picture: Tensor, from_unit: Tensor) -> None:
        super().__init__(picture)
        self._turn = from_unit

    def directions(self, places: Tensor) -> Tensor:
        """Return directions [..., 3] of the unit frame; see `EnvironmentTable`."""
        return super().directions(places) @ self._turn.to(places)

    def density(self, directions: Tensor) -> Tensor:
        """Return how densely `directions` chooses them [..., 1]; see `EnvironmentTable`."""
        return super().density(directions @ self._turn.T.to(directions))


def _bordered(picture: Tensor) -> Tensor:
    """Return [1, 3, H + 2, W + 2]: columns go round, and rows go on beyond the poles."""
    half = picture.shape[-1] // 2
    over = torch.roll(picture, half, dims=-1)
    rows = torch.cat([over[:, :, :1], picture, over[:, :, -1:]], dim=2)
    return functional.pad(rows, (1, 1, 0, 0), mode="circular")


def _pixel_means(bordered: Tensor) -> Tensor:
    """Return the means [H, 2H, 3] of a bordered picture, bilinear between its pixels."""
    weights = bordered.new_tensor(_TENT)
    kernel = (weights[:, None] * weights)[None, None].expand(3, 1, 3, 3)
    return functional.conv2d(bordered, kernel, groups=3)[0].movedim(0, -1)
