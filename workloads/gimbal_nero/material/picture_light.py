"""Light from afar as a picture whose texels are learnt: sharper than a network, and faster.

A network of spherical harmonics up to degree 16 shows nothing finer than about ten degrees, so what
is fitted beside it is mirror-like whatever the surface is. The picture is the sum of levels of
doubling size (in the logarithm of radiance), of which the coarse ones learn in few steps what the
fine ones then sharpen.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_COARSEST = 4
"""Rows of the first level."""
_INSIDE = 1.0 - 1e-6
"""Of a height, where its arc cosine still has a slope."""


class PictureLight(nn.Module):
    """A latitude-longitude picture, z up, its centre column at +x as exported lights have it.

    Args:
        rows: Of the finest level, `4 * 2**k`; twice as many columns.
        start: Radiance everywhere before anything is learnt.
        max_log: Most light a direction may send, as its logarithm.
    """

    def __init__(self, rows: int, *, start: float = 0.5, max_log: float = 5.0) -> None:
        super().__init__()
        self.rows = rows
        self._max_log, self._start = max_log, math.log(start)
        count = int(math.log2(rows // _COARSEST)) + 1
        heights = [_COARSEST * 2**level for level in range(count)]
        self.levels = nn.ParameterList(
            [nn.Parameter(torch.zeros(1, 3, height, 2 * height)) for height in heights]
        )

    def picture(self) -> Tensor:
        """Return linear radiance [rows, 2 rows, 3], row 0 at +z."""
        picture: Tensor = self._picture()[0].movedim(0, -1)
        return picture

    def forward(self, directions: Tensor) -> Tensor:
        """Return radiance [M, 3] from unit directions [M, 3], between texels bilinearly."""
        return looked_up(self._picture(), directions)

    def _picture(self) -> Tensor:
        """Return radiance [1, 3, rows, 2 rows]."""
        total = self.levels[-1]
        for level in list(self.levels)[:-1]:
            total = total + _enlarged(level, self.rows // level.shape[2])
        return torch.exp((total + self._start).clamp(max=self._max_log))


def looked_up(picture: Tensor, directions: Tensor) -> Tensor:
    """Return radiance [M, 3] along unit directions [M, 3], between texels bilinearly.

    Args:
        picture: [1, 3, H, 2H], row 0 at +z, its centre column at +x.
        directions: [M, 3]
    """
    height = picture.shape[2]
    x, y, z = directions.unbind(-1)
    columns = (0.5 - torch.atan2(y, x) / (2.0 * math.pi)) * (2 * height)
    rows = z.clamp(-_INSIDE, _INSIDE).acos() / math.pi * height
    across = (columns % (2 * height) + 1.0) / (height + 1) - 1.0
    down = 2.0 * (rows + 1.0) / (height + 2) - 1.0
    places = torch.stack([across, down], dim=-1)[None, None]
    bordered = _bordered(picture)
    found = functional.grid_sample(bordered, places, mode="bilinear", align_corners=False)
    light: Tensor = found[0, :, 0].movedim(0, -1)
    return light


def _enlarged(level: Tensor, times: int) -> Tensor:
    """Return a level with so many times its rows, bilinear and closed around the vertical."""
    larger = functional.interpolate(
        _bordered(level), scale_factor=float(times), mode="bilinear", align_corners=False
    )
    return larger[:, :, times:-times, times:-times]


def _bordered(picture: Tensor) -> Tensor:
    """Return [1, 3, H + 2, W + 2]: columns go round, rows end."""
    around = functional.pad(picture, (1, 1, 0, 0), mode="circular")
    return functional.pad(around, (0, 0, 1, 1), mode="replicate")
