"""From oracle maps to training rows: states with features and true gains, as plain arrays.

Which states are drawn does not depend on the target, so that two targets are compared on the same
states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.features import FeatureCache, angle_features
from gimbal_nbv.oracle import OracleMap, Values
from gimbal_nbv.rays import CHANNELS
from gimbal_nbv.states import States, sample_states

if TYPE_CHECKING:
    from gimbal_nbv.tokens.extractor import FeatureExtractor

Row = dict[str, NDArray[Any]]
Worth = Callable[[States], Values]
"""Says what every candidate is worth in each state [B,M]."""
Target = Literal["coverage", "chamfer"]
"""What the gains of a row count: coverage gained, or the share of the Chamfer distance lowered."""


@dataclass(frozen=True, kw_only=True)
class RowContent:
    """What a training row tells about its state besides the gains.

    Attributes:
        features: The scorer's numbers of each candidate, with and without images.
        extractor: Who makes the tokens; none: no tokens.
        information: What the auxiliary task asks for: unknown rays of each candidate, coverage.
    """

    features: bool = True
    extractor: FeatureExtractor | None = None
    information: bool = False


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Which states are drawn of one object.

    Attributes:
        count: How many.
        seed: Differs between objects.
        longest: Largest number of views taken.
        first: The first view of every state; any where None.
    """

    count: int
    seed: int
    longest: int = 5
    first: int | None = None

    def states(self, oracle: OracleMap) -> States:
        """Draw them."""
        rng = np.random.default_rng(self.seed)
        return sample_states(oracle, self.count, rng, longest=self.longest, first=self.first)


def rows_of(
    states: States,
    cache: FeatureCache,
    target: Target | Worth = "coverage",
    content: RowContent | None = None,
) -> list[Row]:
    """Describe states of one object as training rows.

    Args:
        states: The states.
        cache: Of their object; with its images where tokens are wanted.
        target: What the gains count, or who says.
        content: What is described.

    Returns:
        One row a state: `gains` float32 [M], `used` bool [M], `views` int32 [longest] (-1 where
        shorter), and as wanted `features` float32 [M,F], `blind` float32 [M,A], `tokens` float16
        [longest,P,D], `unknown_share` float32 [M] and `coverage` float32 [].
    """
    content = content or RowContent()
    gains = target(states) if callable(target) else target_gains(states, target)
    columns: dict[str, NDArray[Any]] = {
        "gains": gains.astype(np.float32),
        "used": states.used,
        "views": states.sets,
    }
    if content.features:
        columns |= {"features": cache.sighted(states), "blind": angle_features(states)}
    if content.extractor is not None:
        columns["tokens"] = cache.tokens(states, content.extractor).astype(np.float16)
    if content.information:
        open_ = cache.pooled(states)[..., CHANNELS.index("open")]
        covered = states.oracle.coverage(states.sets).astype(np.float32)
        columns |= {"unknown_share": open_, "coverage": covered}
    return [{name: values[row] for name, values in columns.items()} for row in range(len(states))]


def target_gains(states: States, target: Target) -> Values:
    """Return what every candidate is worth in each state [B,M].

    Both targets are 0 for a view already taken. Coverage gains are never negative; a view that adds
    far-off points may raise the Chamfer distance, and then its gain is negative.
    """
    match target:
        case "coverage":
            return states.oracle.gains(states.sets)
        case "chamfer":
            return states.oracle.chamfer_ratios(states.sets)
    assert_never(target)
