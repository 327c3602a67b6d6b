"""How large an attention policy is and which of its parts it has."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Literal, get_args

from gimbal_nbv.errors import PolicyError

Pooling = Literal["none", "hits", "grid", "attn", "mean"]
HeadName = Literal["discrete", "cartesian", "spherical", "spherical_periodic", "unit_vector"]

GEOMETRY_NUMBERS = 6
"""Leading numbers of a token that has points: its mean point and its mean normal."""


@dataclass(frozen=True, kw_only=True)
class AttentionShape:
    """Sizes and switches of an `AttentionNBVPolicy`.

    Attributes:
        token_dim: Numbers D of a token; the extractor says.
        tokens_per_view: Tokens P of a view, a square grid in row order.
        width: Width of the transformer.
        layers: Encoder layers.
        heads: Attention heads.
        decoder_layers: Cross-attention layers of the candidate queries.
        pooling: What is kept of a view: every token; those whose patches hit something, which need
            points; a spatial mean over a grid; what learned queries attend to; or one mean, which
            forgets where in the picture anything was.
        pooled_side: Side of the pooled grid; `attn` has that number squared of queries.
        hits: Tokens that `hits` keeps, those of the longest normals first.
        head: What the policy answers with.
        features: Numbers F per candidate added to its query; 0 for none.
        has_points: Whether a token begins with its patch's mean point and mean normal.
        relative: Candidates see points and normals in their own frame. Needs `has_points`.
        coordinates: Let the network see coordinates of the first view's frame too. Without them,
            rolling the first camera cannot change the answer. Needs `relative` to be left out.
        vectors: Where further 3-vectors of the first view's frame begin in a token, beside its
            point and normal; the network is not shown them without `coordinates`.
        refinement: A discrete head also moves its best candidate by up to half the distance to the
            next one.
        auxiliary: Also guess coverage and, with a discrete head, the unknown share of candidates.
    """

    token_dim: int
    tokens_per_view: int
    width: int = 96
    layers: int = 2
    heads: int = 4
    decoder_layers: int = 1
    pooling: Pooling = "grid"
    pooled_side: int = 4
    hits: int = 24
    head: HeadName = "discrete"
    features: int = 0
    has_points: bool = False
    relative: bool = False
    coordinates: bool = True
    vectors: tuple[int, ...] = ()
    refinement: bool = False
    auxiliary: bool = False

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling):
            raise PolicyError(f"no pooling '{self.pooling}'", f"use {_or(get_args(Pooling))}")
        if self.head not in get_args(HeadName):
            raise PolicyError(f"no head '{self.head}'", f"use {_or(get_args(HeadName))}")
        if self.pooling == "grid" and isqrt(self.tokens_per_view) ** 2 != self.tokens_per_view:
            raise PolicyError(
                f"{self.tokens_per_view} tokens per view are no square grid",
                "use another pooling, or an extractor with a square grid",
            )
        self._check_sizes()
        self._check_switches()

    def _check_sizes(self) -> None:
        if self.width % self.heads:
            raise PolicyError(
                f"width {self.width} is not divisible by {self.heads} heads",
                f"use a multiple of {self.heads}",
            )
        least = min(self.token_dim, self.tokens_per_view, self.layers, self.pooled_side, self.hits)
        if min(least, self.decoder_layers) < 1 or self.features < 0:
            raise PolicyError("a size of the attention policy is below 1", "use 1 or more")
        if self.vectors and max(self.vectors) + 3 > self.token_dim:
            raise PolicyError(
                f"a vector at {max(self.vectors)} ends beyond a token of {self.token_dim} numbers",
                "name where each vector begins, counted from 0",
            )
        if self.has_points and self.token_dim < GEOMETRY_NUMBERS:
            raise PolicyError(
                f"tokens of {self.token_dim} numbers cannot hold a point and a normal",
                "turn has_points off",
            )

    def _check_switches(self) -> None:
        if self.pooling == "hits" and not self.has_points:
            raise PolicyError(
                "tokens without points do not tell which patches hit something",
                "use pooling grid, or an extractor that has points",
            )
        if self.relative and not self.has_points:
            raise PolicyError(
                "relative geometry needs tokens with points",
                "use an extractor that has points, or turn relative off",
            )
        if not self.coordinates and not self.relative:
            raise PolicyError(
                "without coordinates or relative geometry a policy sees no directions",
                "turn one of the two on",
            )
        if not self.coordinates and (self.head != "discrete" or self.refinement):
            raise PolicyError(
                "a direction cannot be said without a frame",
                "turn coordinates on, or use the discrete head without refinement",
            )
        if self.head != "discrete" and (self.refinement or self.features):
            raise PolicyError(
                f"the {self.head} head looks at no candidates",
                "turn refinement off and set features to 0, or use the discrete head",
            )

    @property
    def framed(self) -> tuple[int, ...]:
        """Places of a token's numbers that depend on the frame they are written in."""
        starts = (0, 3, *self.vectors) if self.has_points else self.vectors
        return tuple(start + axis for start in starts for axis in range(3))

    @property
    def kept(self) -> int:
        """Tokens of a view after pooling."""
        if self.pooling == "mean":
            return 1
        if self.pooling == "hits":
            return min(self.hits, self.tokens_per_view)
        return self.tokens_per_view if self.pooling == "none" else self.pooled_side**2


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names)
