"""The attention policy: encoded views, and candidates or one question that read them.

The discrete head is the default because several views are often nearly best, which one direction
cannot say. See `source` for the layout it was developed from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gimbal_nbv.attention.base import NbvPolicy, Standardise, mlp
from gimbal_nbv.attention.decoder import CrossAttention, DecoderLayer
from gimbal_nbv.attention.encoder import Scene, SceneEncoder
from gimbal_nbv.attention.geometry import ANGLE_NUMBERS, angle_invariants
from gimbal_nbv.attention.harmonics import HARMONICS, harmonics
from gimbal_nbv.attention.heads import HEAD_NUMBERS, refine
from gimbal_nbv.attention.inputs import PolicyInputs, PolicyOutput
from gimbal_nbv.attention.shape import AttentionShape
from gimbal_nbv.errors import PolicyError
from gimbal_nbv.scorer import z_scores


@dataclass(frozen=True, eq=False, kw_only=True)
class Moments:
    """What inputs are standardised by: mean and standard deviation over the training set.

    Attributes:
        tokens: Of the numbers of a token, [D] each.
        features: Of the numbers of a candidate, [F] each; None if there are none.
    """

    tokens: tuple[Tensor, Tensor]
    features: tuple[Tensor, Tensor] | None = None


class AttentionNBVPolicy(NbvPolicy):
    """Answers where to look next from the tokens of the views taken.

    With refinement the direction of a discrete head is read by the loss only: rollouts and
    validation go by the scores, to a candidate as it stands.

    Permuting views 2 to N, or adding absent ones, changes nothing; permuting candidates permutes
    their scores.

    Args:
        shape: Sizes and switches.
        moments: What to standardise by; None leaves inputs as they are.
    """

    def __init__(self, shape: AttentionShape, moments: Moments | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.token_dim = shape.token_dim
        tokens = moments.tokens if moments else (None, None)
        self.encoder = SceneEncoder(shape, *tokens)
        if shape.head == "discrete":
            features = moments.features if moments and moments.features else (None, None)
            self.candidates = CandidateHead(shape, *features)
        else:
            self.question = Question(shape, HEAD_NUMBERS[shape.head])
        if shape.auxiliary:
            self.progress = Question(shape, 1)

    def forward(self, inputs: PolicyInputs) -> PolicyOutput:
        """Return scores and, of a continuous head or with refinement, a direction.

        Raises:
            PolicyError: The tokens or features are not of the sizes this policy was made for.
        """
        _check(self.shape, inputs)
        scene = self.encoder(inputs)
        if self.shape.head == "discrete":
            output = self._discrete(scene, inputs)
        else:
            output = self._activate_nbv(self.shape.head, self.question(scene), inputs)
        if self.shape.auxiliary:
            output = replace(output, coverage=torch.sigmoid(self.progress(scene)[:, 0]))
        return output

    def _discrete(self, scene: Scene, inputs: PolicyInputs) -> PolicyOutput:
        said = self.candidates(scene, inputs)
        output = self._activate_nbv("discrete", said[..., 0], inputs)
        if self.shape.refinement:
            best = output.scores.argmax(1)
            offset = said[torch.arange(len(best), device=best.device), best, 1:4]
            output = replace(output, direction=refine(inputs.candidates, best, offset))
        if self.shape.auxiliary:
            output = replace(output, unknown_share=torch.sigmoid(said[..., -1]))
        return output


class CandidateHead(nn.Module):
    """Candidate queries and what is read off them.

    Args:
        shape: Sizes and switches.
        mean: Mean of each candidate feature [F]; 0 if None.
        std: Its standard deviation [F]; 1 if None.
    """

    def __init__(
        self, shape: AttentionShape, mean: Tensor | None = None, std: Tensor | None = None
    ) -> None:
        super().__init__()
        self.shape = shape
        self.standardise = Standardise(shape.features, mean, std)
        numbers = (HARMONICS if shape.coordinates else 0) + ANGLE_NUMBERS + 2 * shape.features
        self.embed = mlp(numbers, shape.width, shape.width)
        self.layers = nn.ModuleList(
            DecoderLayer(shape.width, shape.heads, shape.relative)
            for _ in range(shape.decoder_layers)
        )
        self.norm = nn.LayerNorm(shape.width)
        outputs = 1 + (3 if shape.refinement else 0) + (1 if shape.auxiliary else 0)
        self.read = mlp(shape.width, shape.width, outputs)

    def forward(self, scene: Scene, inputs: PolicyInputs) -> Tensor:
        """Return [B,M,K]: score, then the offset [3] and the unknown share where there are any."""
        queries = self.embed(self._describe(inputs))
        pairs = scene.pairs() if self.shape.relative else None
        for layer in self.layers:
            queries = layer(queries, scene.encoded, scene.absent, pairs)
        out: Tensor = self.read(self.norm(queries))
        return out

    def _describe(self, inputs: PolicyInputs) -> Tensor:
        """Return the numbers of each candidate."""
        parts = [angle_invariants(inputs.candidates, inputs.view_directions, inputs.present)]
        if self.shape.coordinates:
            parts.append(harmonics(inputs.candidates))
        if inputs.features is not None and self.shape.features:
            x = self.standardise(inputs.features)
            parts += [x, z_scores(x, (~inputs.used).unsqueeze(-1).to(x.dtype))]
        return torch.cat(parts, dim=-1)


class Question(nn.Module):
    """One learned query over the encoded tokens.

    Args:
        shape: Sizes.
        numbers: Numbers of its answer.
    """

    def __init__(self, shape: AttentionShape, numbers: int) -> None:
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, shape.width))
        self.attention = CrossAttention(shape.width, shape.heads, relative=False)
        self.norm = nn.LayerNorm(shape.width)
        self.read = mlp(shape.width, shape.width, numbers)

    def forward(self, scene: Scene) -> Tensor:
        """Return the answer [B,numbers]."""
        query = self.query.expand(len(scene.encoded), -1, -1)
        seen = self.attention(query, scene.encoded, scene.absent, None)
        out: Tensor = self.read(self.norm(seen[:, 0]))
        return out


def _check(shape: AttentionShape, inputs: PolicyInputs) -> None:
    tokens = inputs.tokens.shape
    if tokens[-1] != shape.token_dim or tokens[-2] != shape.tokens_per_view:
        raise PolicyError(
            f"the policy reads {shape.tokens_per_view} tokens of {shape.token_dim} numbers a view "
            f"and got {tokens[-2]} of {tokens[-1]}",
            "use the extractor and the image size it was trained with",
        )
    given = 0 if inputs.features is None else inputs.features.shape[-1]
    if shape.features and given != shape.features:
        raise PolicyError(
            f"the policy reads {shape.features} numbers per candidate and got {given}",
            "compute the candidate features it was trained with",
        )
