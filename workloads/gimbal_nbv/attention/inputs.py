"""What an attention policy reads and what it says.

Everything is in the frame of the first view: z towards its camera, x along that camera's right (see
`protocol.first_frames`). A set shorter than N is padded; `present` says which are real.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class PolicyInputs:
    """A batch of states.

    Attributes:
        tokens: [B,N,P,D]; those of absent views are zero.
        present: bool [B,N]; column 0, the first view, is always there.
        view_directions: Unit vectors from the origin to each view's camera [B,N,3].
        candidates: Unit vectors to the candidate cameras [B,M,3].
        used: bool [B,M], candidates already taken.
        features: Numbers about each candidate [B,M,F], or None.
    """

    tokens: Tensor
    present: Tensor
    view_directions: Tensor
    candidates: Tensor
    used: Tensor
    features: Tensor | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class PolicyOutput:
    """The answer for a batch of states.

    Attributes:
        scores: [B,M]; used candidates get -inf. A continuous head scores by the cosine to its
            direction, so that the best score is the nearest open candidate.
        direction: Unit vector to the next camera [B,3], or None from a discrete head without
            refinement. Losses read it; no rollout goes there, only to the best-scored candidate.
        raw: What the last layer said, before any activation: [B,K], or [B,M] of a discrete head.
        continuous: Whether the head says a direction rather than a score for each candidate.
        point: The point of space said [B,3], of a cartesian head only.
        norm: Length of `raw` [B], of a unit-vector head only; objectives hold it near 1.
        angles: Azimuth and elevation in radians [B,2], of a spherical head only.
        unknown_share: Guess at the share of each candidate's rays that meet unseen space [B,M], of
            a discrete head with auxiliary outputs.
        coverage: Guess at the coverage of the views taken [B], of a head with auxiliary outputs.
    """

    scores: Tensor
    direction: Tensor | None
    raw: Tensor
    continuous: bool = False
    point: Tensor | None = None
    norm: Tensor | None = None
    angles: Tensor | None = None
    unknown_share: Tensor | None = None
    coverage: Tensor | None = None
