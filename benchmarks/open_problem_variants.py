"""The source's run and its remedies, each variant the one before it with one thing changed.

Only the step from the source's network to ours changes two: ours has a sixtieth of the weights and
does not move at 5e-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from gimbal_nbv.attention.shape import HeadName


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How one curve is trained.

    Attributes:
        label: What the legend says.
        network: `source`: its layout, 13.9 million weights, one mean over a view's tokens, dropout;
            `ours`: a grid of tokens, no dropout, 0.2 million weights.
        objective: Where the gradient comes from.
        head: How an answer is said.
        in_world: Directions mean the world instead of the first view's frame.
        batch: First views a step.
        normalise: Loss on each state's own range instead of the source's sums of squares.
        optimizer: Adam, SGD with momentum .9, or AdamW with clipped gradients.
        rate: Learning rate, the peak where it is scheduled.
        scheduled: Warm up over a tenth of the steps, then fall to 0 along a cosine.
    """

    label: str
    network: Literal["source", "ours"] = "source"
    objective: Literal["detached_cd", "map_ascent", "oracle_soft"] = "detached_cd"
    head: HeadName = "spherical"
    in_world: bool = True
    batch: int = 1
    normalise: bool = False
    optimizer: Literal["adam", "sgd", "adamw"] = "adam"
    rate: float = 1e-4
    scheduled: bool = False


_SOURCE = Variant(label="as the source ran it, Adam 5e-6", rate=5e-6)
_NETWORK = replace(_SOURCE, label="+ our network, Adam 1e-4", network="ours", rate=1e-4)
_FRAME = replace(_NETWORK, label="+ answer in the first view's frame", in_world=False)
_BATCH = replace(_FRAME, label="+ batch of 8 first views", batch=8)
_HEAD = replace(_BATCH, label="+ head without seam or poles", head="unit_vector")
_LOSS = replace(_HEAD, label="+ loss on each state's own range", normalise=True)
_STEPS = replace(
    _LOSS, label="+ AdamW 1e-3, warm-up, cosine, clip", optimizer="adamw", rate=1e-3, scheduled=True
)
_TRUE = replace(_STEPS, label="+ true gradient: map_ascent", objective="map_ascent")
_DEFAULT = replace(
    _TRUE, label="default: candidates, oracle_soft", objective="oracle_soft", head="discrete"
)

VARIANTS: Mapping[str, Variant] = {
    "source": _SOURCE,
    "network": _NETWORK,
    "frame": _FRAME,
    "batch": _BATCH,
    "head": _HEAD,
    "loss": _LOSS,
    "steps": _STEPS,
    "map_ascent": _TRUE,
    "default": _DEFAULT,
}
EXTRA: Mapping[str, Variant] = {
    "source_faster": replace(_SOURCE, label="as the source ran it, Adam 1e-4", rate=1e-4),
    "source_sgd": replace(
        _SOURCE, label="as the source ran it, SGD 1e-5, momentum .9", optimizer="sgd", rate=1e-5
    ),
    "source_cartesian": replace(
        _SOURCE, label="as the source ran it, cartesian head", head="cartesian"
    ),
}
"""Not in the figure; run them with `--variants`."""
