"""Layers that several networks share."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

Activation = Literal["none", "sigmoid", "exp"]


def normed_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer whose weight is a direction and a length for each output."""
    layer: nn.Linear = weight_norm(nn.Linear(inputs, outputs))
    return layer


class Predictor(nn.Module):
    """Hidden ReLU layers and a linear one, all weight-normed, and an activation.

    Args:
        inputs: Size of an input.
        outputs: Size of an output.
        layers: Hidden layers.
        width: Of each.
        activation: `exp` is exp(min(x, max_log)).
        max_log: Of `exp`.
        bias: Start of the last layer's bias; None: torch's.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        layers: int,
        width: int,
        activation: Activation = "none",
        max_log: float = 0.0,
        bias: float | None = None,
    ) -> None:
        super().__init__()
        sizes = (inputs, *(width for _ in range(layers)))
        hidden = [
            part
            for size, following in itertools.pairwise(sizes)
            for part in (normed_linear(size, following), nn.ReLU(inplace=True))
        ]
        last = normed_linear(sizes[-1], outputs)
        if bias is not None:
            nn.init.constant_(last.bias, bias)
        self.layers = nn.Sequential(*hidden, last)
        self._activation = activation
        self._max_log = max_log

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [N, inputs] to [N, outputs]."""
        values: Tensor = self.layers(inputs)
        if self._activation == "sigmoid":
            return values.sigmoid()
        if self._activation == "exp":
            return torch.exp(values.clamp(max=self._max_log))
        return values
