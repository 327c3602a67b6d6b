"""From tokens to what is said of each pixel: rays, ranges, confidences, masks.

Activations are the published ones (multicar.md A5): rays are linear, then unit; ranges exp; the
confidence 1 + exp; the mask stays a logit. Two things are ours. What goes into exp bends smoothly
towards a limit: one pixel whose range overflowed would decide its sample's normaliser, and with it
every loss. And a sample's logarithms of ranges are centred, so the model's unit of length is the
geometric mean of what it says it sees: losses do not look at the unit, and left to itself it
drifts, most of all because translations that are still small seem longer when ranges shrink. For
the same reason ranges do not teach the mask what to leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from gimbal_vision.multiview.dense_layers import DptLayers, LightLayers
from gimbal_vision.multiview.shape import ModelShape

_SMALLEST_RAY = 1e-6
_SMALLEST_WEIGHT = 1e-6
_LIMIT = 6.0
"""Logarithms of ranges and confidences stay within this: ranges span five orders of magnitude."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseOutput:
    """What is said of each pixel; lengths without scale.

    Attributes:
        rays: [B, N, H, W, 3] unit.
        depth: [B, N, H, W, 1] along the ray, positive.
        conf: [B, N, H, W], at least 1.
        mask_logits: [B, N, H, W].
    """

    rays: Tensor
    depth: Tensor
    conf: Tensor
    mask_logits: Tensor


class DenseHead(nn.Module):
    """Reads the fused encoder tokens, two taps of the trunk and its end."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        widths = (shape.encoder_dim, shape.dim, shape.dim, shape.dim)
        self.layers: nn.Module = (
            DptLayers(widths, shape.dense_dim)
            if shape.dense_head == "dpt"
            else LightLayers(widths, shape.dense_dim, shape.patch)
        )

    def forward(
        self,
        levels: Sequence[Tensor],
        grid: tuple[int, int],
        size: tuple[int, int],
        present: Tensor | None = None,
    ) -> DenseOutput:
        """Return the pixels.

        Args:
            levels: Four tensors [B, N, P, D_i].
            grid: Rows and columns of patches.
            size: Height and width of the images.
            present: [B, N] bool; None: all views are there.
        """
        batch, count = levels[0].shape[:2]
        maps = [level.flatten(0, 1).mT.reshape(batch * count, -1, *grid) for level in levels]
        raw = self.layers(maps, size)
        return _activated(
            raw.reshape(batch, count, *raw.shape[1:]), present, training=self.training
        )


def _activated(raw: Tensor, present: Tensor | None, *, training: bool) -> DenseOutput:
    ray, depth, conf, mask = raw[:, :, :3], raw[:, :, 3:4], raw[:, :, 4], raw[:, :, 5]
    seen = (mask.detach() if training else mask).sigmoid()
    return DenseOutput(
        rays=F.normalize(ray, dim=2, eps=_SMALLEST_RAY).movedim(2, -1),
        depth=_limited(depth - _centre(depth, seen, present)).exp().movedim(2, -1),
        conf=1 + _limited(conf).exp(),
        mask_logits=mask,
    )


def _centre(logarithm: Tensor, seen: Tensor, present: Tensor | None) -> Tensor:
    """Return [B, 1, 1, 1, 1]: the mean over the pixels in which something is seen."""
    weight = seen[:, :, None]
    if present is not None:
        weight = weight * present[:, :, None, None, None]
    axes = (1, 2, 3, 4)
    total = (logarithm * weight).sum(axes, keepdim=True)
    return total / weight.sum(axes, keepdim=True).clamp_min(_SMALLEST_WEIGHT)


def _limited(logarithm: Tensor) -> Tensor:
    """Return nearly the same near 0, and less than `_LIMIT` anywhere; the slope is never 0."""
    return _LIMIT * (logarithm / _LIMIT).tanh()
