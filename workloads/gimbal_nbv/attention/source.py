"""The `source` preset: the layout that this policy was developed from, layer by layer.

It is kept as a reference, faults included: one mean over all patches of a view forgets where the
unseen boundary is, an embedding of the order of views is no property of a set, positions drawn with
standard deviation 1 drown the features, and dropout shakes the pose during training. With one view
the encoder attends to a single token, so the whole stack is a plain network on one averaged vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gimbal_nbv.attention.base import NbvPolicy
from gimbal_nbv.attention.heads import HEAD_NUMBERS
from gimbal_nbv.attention.inputs import PolicyInputs, PolicyOutput
from gimbal_nbv.attention.shape import HeadName
from gimbal_nbv.errors import PolicyError

MOST_VIEWS = 100
"""Views that have a learned position."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Sizes and options of the source's policy; the defaults are the source's.

    Attributes:
        candidates: Number of logits of the discrete mode.
        token_pooling_mode: `mean` over a view's patches is the only one the source has.
        hidden_dim: Width of the transformer.
        num_heads: Attention heads.
        num_layers: Encoder layers.
        dropout: In the encoder and the head; `twins.build_twins` turns it off.
        position_std: Standard deviation of the learned positions at the start: 1 in the source;
            .02 does not drown the features.
    """

    candidates: int = 64
    token_pooling_mode: Literal["mean"] = "mean"
    hidden_dim: int = 512
    num_heads: int = 8
    num_layers: int = 4
    dropout: float = 0.1
    position_std: float = 1.0


class SourcePolicy(NbvPolicy):
    """The source's attention policy; reads tokens only, not where the views were taken from.

    Args:
        token_dim: Numbers D of a token; the extractor says. 768 of the source's.
        output_mode: What the head answers; `discrete` gives one logit for each of a fixed list of
            candidates, so their number and order cannot change after training.
        options: Sizes and options.
    """

    def __init__(
        self,
        token_dim: int = 768,
        output_mode: HeadName = "cartesian",
        options: SourceOptions | None = None,
    ) -> None:
        super().__init__()
        shape = options or SourceOptions()
        self.token_dim = token_dim
        self.output_mode = output_mode
        discrete = output_mode == "discrete"
        self.target_dim = shape.candidates if discrete else HEAD_NUMBERS[output_mode]
        hidden = shape.hidden_dim
        self.input_proj = nn.Linear(token_dim, hidden)
        layer = nn.TransformerEncoderLayer(
            hidden, shape.num_heads, 4 * hidden, shape.dropout, batch_first=True
        )
        self.transformer = nn.TransformerEncoder(
            layer, shape.num_layers, enable_nested_tensor=False
        )
        self.global_attention = nn.MultiheadAttention(hidden, shape.num_heads, batch_first=True)
        self.output_head = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(hidden // 2, self.target_dim),
        )
        self._initialize_weights()
        self.pos_embedding = nn.Parameter(shape.position_std * torch.randn(1, MOST_VIEWS, hidden))
        self.global_token = nn.Parameter(torch.randn(1, 1, hidden))

    def forward(self, inputs: PolicyInputs) -> PolicyOutput:
        """Return a direction, or the scores of the fixed candidates.

        Args:
            inputs: Tokens may be [B,N,P,D] or already pooled [B,N,D].

        Raises:
            PolicyError: The sizes are not those this policy was made for.
        """
        self._check(inputs)
        views = self.input_proj(self._pool_tokens_if_needed(inputs.tokens, inputs.present))
        views = views + self.pos_embedding[:, : views.shape[1]]
        absent = ~inputs.present
        encoded = self.transformer(views, src_key_padding_mask=absent)
        question = self.global_token.expand(len(encoded), -1, -1)
        seen, _ = self.global_attention(
            question, encoded, encoded, key_padding_mask=absent, need_weights=False
        )
        return self._activate_nbv(self.output_mode, self.output_head(seen[:, 0]), inputs)

    @staticmethod
    def _pool_tokens_if_needed(tokens: Tensor, present: Tensor) -> Tensor:
        """Return [B,N,D]: the mean over each view's patches, or the tokens if pooled before."""
        return tokens.mean(2) if tokens.ndim == present.ndim + 2 else tokens

    def _check(self, inputs: PolicyInputs) -> None:
        wanted, views = self.token_dim, inputs.present.shape[1]
        if inputs.tokens.shape[-1] != wanted:
            raise PolicyError(
                f"the policy reads tokens of {wanted} numbers, got {inputs.tokens.shape[-1]}",
                "make it with the extractor's number as token_dim",
            )
        if views > MOST_VIEWS:
            raise PolicyError(
                f"{views} views are more than the {MOST_VIEWS} that have a position",
                f"give at most {MOST_VIEWS} views",
            )
        offered = inputs.candidates.shape[1]
        if self.output_mode == "discrete" and offered != self.target_dim:
            raise PolicyError(
                f"the policy has {self.target_dim} fixed candidates and was given {offered}",
                "give it the candidates it was trained with, or use the candidate-query policy",
            )
