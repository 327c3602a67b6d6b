"""The signed distance network: distance, its gradient and a feature from one pass.

The gradient is written out as a second chain of matrix products instead of asked from autograd, so
the pass that makes the distance is not run again, it needs no graph to be evaluated, and samples
that need no feature do not pay for one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gimbal_nero.fields.encodings import positional, positional_pullback
from gimbal_nero.fields.layers import normed_linear
from gimbal_nero.fields.settings import SdfSettings

_BETA = 100.0
_HALF = 1.0 / math.sqrt(2.0)


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Distances of N points.

    Attributes:
        sdf: [N], positive outside.
        gradients: [N, 3]
        hidden: [N, width], from which `SdfNetwork.features` makes features.
    """

    sdf: Tensor
    gradients: Tensor
    hidden: Tensor


class SdfNetwork(nn.Module):
    """A softplus network that starts as a sphere (IGR's geometric initialisation).

    Args:
        settings: Its size.
    """

    def __init__(self, settings: SdfSettings) -> None:
        super().__init__()
        self._frequencies = settings.frequencies
        encoded = 3 * (2 * settings.frequencies + 1)
        width, count = settings.width, settings.layers
        self._skip = count // 2
        """The layer that sees the encoded point again."""
        sizes = [width] * count
        if width > encoded:
            sizes[self._skip - 1] = width - encoded
        inputs = [encoded, *sizes[:-1]]
        inputs[self._skip] = sizes[self._skip - 1] + encoded
        self.layers = nn.ModuleList(
            normed_linear(size, out) for size, out in zip(inputs, sizes, strict=True)
        )
        self.head = normed_linear(sizes[-1], 1 + width)
        self.feature_size = width
        self._start_as_sphere(settings.bias, encoded)

    def forward(self, points: Tensor) -> Distances:
        """Return distances, gradients and hidden values of [N, 3] points."""
        encoded = positional(points, self._frequencies)
        hidden, weights, slopes = encoded, [], []
        for index, layer in enumerate(self._layers):
            if index == self._skip:
                hidden = torch.cat([hidden, encoded], dim=-1) * _HALF
            weight = layer.weight
            before = functional.linear(hidden, weight, layer.bias)
            hidden = functional.softplus(before, beta=_BETA)
            weights.append(weight)
            slopes.append(torch.sigmoid(_BETA * before))
        row = self.head.weight[:1]
        sdf = functional.linear(hidden, row, self.head.bias[:1]).squeeze(-1)
        gradients = positional_pullback(
            points, self._pull_back(row, weights, slopes), self._frequencies
        )
        return Distances(sdf=sdf, gradients=gradients, hidden=hidden)

    def sdf(self, points: Tensor) -> Tensor:
        """Return the distances [N] of [N, 3] points alone."""
        encoded = positional(points, self._frequencies)
        hidden = encoded
        for index, layer in enumerate(self.layers):
            if index == self._skip:
                hidden = torch.cat([hidden, encoded], dim=-1) * _HALF
            hidden = functional.softplus(layer(hidden), beta=_BETA)
        return functional.linear(hidden, self.head.weight[:1], self.head.bias[:1]).squeeze(-1)

    def features(self, hidden: Tensor) -> Tensor:
        """Return [N, width] features from hidden values [N, width]."""
        return functional.linear(hidden, self.head.weight[1:], self.head.bias[1:])

    @property
    def _layers(self) -> list[nn.Linear]:
        return [cast("nn.Linear", layer) for layer in self.layers]

    def _pull_back(self, row: Tensor, weights: list[Tensor], slopes: list[Tensor]) -> Tensor:
        """Return the gradient [N, encoded] of the distance with respect to the encoded points."""
        gradient, at_skip = row * slopes[-1], None
        for index in range(len(weights) - 1, -1, -1):
            gradient = gradient @ weights[index]
            if index == self._skip:
                split = weights[index].shape[1] - weights[0].shape[1]
                gradient, at_skip = (_HALF * gradient).tensor_split([split], dim=-1)
            if index:
                gradient = gradient * slopes[index - 1]
        return gradient if at_skip is None else gradient + at_skip

    def _start_as_sphere(self, radius: float, encoded: int) -> None:
        """Set weights so that the distance is about |p| - radius."""
        with torch.no_grad():
            for index, layer in enumerate(self._layers):
                weight = torch.randn_like(layer.weight) * math.sqrt(2.0 / layer.weight.shape[0])
                if index == 0:
                    weight[:, 3:] = 0.0
                elif index == self._skip:
                    weight[:, weight.shape[1] - encoded + 3 :] = 0.0
                layer.weight = weight
                layer.bias.zero_()
            size = self.head.weight.shape[1]
            mean = math.sqrt(math.pi) / math.sqrt(size)
            self.head.weight = mean + 1e-4 * torch.randn_like(self.head.weight)
            self.head.bias.fill_(-radius)


class Sharpness(nn.Module):
    """One number that says how sharp the surface is: inv_s = exp(10 theta).

    Args:
        start: theta.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(start))

    def forward(self) -> Tensor:
        """Return inv_s, a scalar."""
        return torch.exp(10.0 * self.theta).clamp(1e-6, 1e6)
