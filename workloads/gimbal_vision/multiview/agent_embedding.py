"""Tells tokens which car they are of, by the car's place in the sample's order.

The trunk marks view 0 alone, so cars besides the main one are told apart by what they see, and
where a car's pictures are views of their own nothing says which belong together. This adds one
learned vector a car. It starts as zero, hence as no change at all, and draws no random number. The
price: with it the order of the other cars matters, and a model knows no more cars than it was
built for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gimbal_vision.errors import MultiViewError


class AgentEmbedding(nn.Module):
    """One vector for each place in the order of cars.

    Args:
        agents: Places; a sample may have fewer.
        dim: Numbers of a token.
    """

    def __init__(self, agents: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(agents, dim))

    def forward(self, tokens: Tensor, agent: Tensor | None = None) -> Tensor:
        """Return the tokens with their car's vector added.

        Args:
            tokens: [B, N, P, D].
            agent: [B, N] int64, the place of each view's car. None: view n is car n.

        Raises:
            MultiViewError: There are more cars than places.
        """
        if agent is None:
            agent = torch.arange(tokens.shape[1], device=tokens.device)[None]
        cars, places = int(agent.max()) + 1, len(self.table)
        if cars > places:
            raise MultiViewError(
                f"a sample has {cars} cars, and the model's agent embedding knows {places}",
                "show it fewer cars, or train it with a larger samples.max_cars",
            )
        return tokens + self.table[agent][:, :, None].to(tokens)
