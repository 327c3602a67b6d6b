"""The scene's features: what the trunk says of every patch, after its final LayerNorm.

Taken by a forward hook, so whatever calls the trunk, and however, the tokens are what it gave.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.trunk import TrunkOutput
from gimbal_vision.multiview.views import InputUse, Views


@contextmanager
def watch_trunk(model: MultiViewModel) -> Iterator[list[TrunkOutput]]:
    """Give a list that grows by the trunk's output, scale token included, on every pass.

    The outputs keep their graph; take what is needed out of the list.
    """
    seen: list[TrunkOutput] = []

    def keep(_module: nn.Module, _inputs: object, output: TrunkOutput) -> None:
        seen.append(output)

    handle = model.trunk.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def trunk_tokens(model: MultiViewModel, views: Views, use: InputUse | None = None) -> Tensor:
    """Return [B, N, P, D] features of every patch; the heads are not run.

    Differentiable, also with respect to the poses that are used as inputs.
    """
    with watch_trunk(model) as seen:
        model.features(views, use)
    return seen[0].tokens
