"""What every attention policy shares: its start, its last step, its scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gimbal_nbv.attention.heads import aim
from gimbal_nbv.attention.inputs import PolicyInputs, PolicyOutput
from gimbal_nbv.attention.shape import HeadName


class NbvPolicy(nn.Module):
    """Base of the attention policies.

    Attributes:
        token_dim: Numbers D of a token it reads.
    """

    token_dim: int

    def _initialize_weights(self) -> None:
        """Give linear layers Xavier weights and zero biases; leave learned tokens alone."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @staticmethod
    def _activate_nbv(head: HeadName, raw: Tensor, inputs: PolicyInputs) -> PolicyOutput:
        """Return the answer that the last layer's numbers mean.

        Args:
            head: How they are read; a discrete head has one number per candidate.
            raw: [B,K] or [B,M].
            inputs: The states.
        """
        if head == "discrete":
            scores = raw.masked_fill(inputs.used, -torch.inf)
            return PolicyOutput(scores=scores, direction=None, raw=raw)
        meant = aim(head, raw)
        cosine = (inputs.candidates @ meant.direction.unsqueeze(-1))[..., 0]
        return PolicyOutput(
            scores=cosine.masked_fill(inputs.used, -torch.inf),
            direction=meant.direction,
            raw=raw,
            continuous=True,
            point=meant.point,
            norm=meant.norm,
            angles=meant.angles,
        )


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return a layer, GELU and a layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


class Standardise(nn.Module):
    """Numbers less their mean, over their standard deviation.

    Args:
        size: Numbers.
        mean: Their mean over the training set [size]; 0 if None.
        std: Their standard deviation [size]; 1 if None.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size) if mean is None else mean.clone().float())
        some = torch.ones(size) if std is None else std.clone().float().clamp_min(1e-6)
        self.register_buffer("std", some)

    def forward(self, values: Tensor) -> Tensor:
        """Return standardised values [...,size]."""
        return (values - self.mean) / self.std
