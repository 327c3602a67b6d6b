"""Known geometry as tokens: rays, ranges, poses and their scales, added to those of the images.

What is not used is replaced before it is read, not only multiplied by zero afterwards, so neither
its value nor a NaN in it can leak. A pose is told relative to view 0; so where view 0's own pose is
not used, none is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gimbal_vision.multiview.precision import full, full_precision
from gimbal_vision.multiview.relative import known_ranges, relative_poses, there
from gimbal_vision.multiview.shape import ModelShape
from gimbal_vision.multiview.views import InputUse, Views

_LOG_GUARD = 1e-8
_MLP_WIDTHS = (128, 256, 512)


class GeometricInputs(nn.Module):
    """Adds what is used to the image tokens; one LayerNorm follows, whether anything is or not."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        dim = shape.encoder_dim
        self.rays = DenseEncoder(3, shape)
        self.ranges = DenseEncoder(1, shape)
        self.range_scale = _mlp(1, dim)
        self.quaternion = _mlp(4, dim)
        self.translation = _mlp(3, dim)
        self.translation_scale = _mlp(1, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, tokens: Tensor, views: Views, use: InputUse | None) -> Tensor:
        """Return tokens of the same shape.

        Args:
            tokens: [B, N, P, D] of the images.
            views: May hold more than is used.
            use: None: images only, and none of the encoders is run.
        """
        tokens = full(tokens)
        with full_precision(tokens):
            if use is not None:
                tokens = tokens + self._rays(views, use)
                tokens = tokens + self._ranges(views, use) + self._poses(views, use)
            result: Tensor = self.norm(tokens)
        return result

    def _rays(self, views: Views, use: InputUse) -> Tensor | float:
        if views.ray_directions_cam is None:
            return 0.0
        used = there(use.rays, views)[:, :, None, None, None]
        rays = torch.where(used, full(views.ray_directions_cam), 0.0)
        return torch.where(used[..., 0], self.rays(rays), 0.0)

    def _ranges(self, views: Views, use: InputUse) -> Tensor | float:
        known = known_ranges(views, use)
        if known is None:
            return 0.0
        used, told = known.used[:, :, None, None], known.used & _metric(use.depth_scale, views)
        scale = self.range_scale((known.mean_m[..., None] + _LOG_GUARD).log())[:, :, None]
        tokens = torch.where(used, self.ranges(known.relative.log1p()), 0.0)
        return tokens + torch.where(told[:, :, None, None], scale, 0.0)

    def _poses(self, views: Views, use: InputUse) -> Tensor | float:
        pose = relative_poses(views, use)
        if pose is None:
            return 0.0
        told = pose.used & _metric(use.pose_scale, views)
        scale = self.translation_scale(pose.mean_m[:, None].log())[:, None]
        tokens = self.quaternion(pose.quats) + self.translation(pose.trans)
        tokens = torch.where(pose.used[..., None], tokens, 0.0)
        tokens = tokens + torch.where(told[..., None], scale, 0.0)
        return tokens[:, :, None]


class DenseEncoder(nn.Module):
    """[B, N, H, W, C] to [B, N, P, D], one token a patch, aligned with the image's."""

    def __init__(self, channels: int, shape: ModelShape) -> None:
        super().__init__()
        first, second, third = shape.geometric_dims
        self.patch = shape.patch
        self.layers = nn.Sequential(
            nn.Conv2d(channels * shape.patch**2, first, 3, padding=1),
            _ResidualConv(first, second),
            _ResidualConv(second, third),
            nn.Conv2d(third, shape.encoder_dim, 1),
        )
        self.norm = nn.LayerNorm(shape.encoder_dim, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the tokens."""
        pixels = maps.flatten(0, 1).movedim(-1, 1)
        encoded = self.layers(F.pixel_unshuffle(pixels, self.patch))
        tokens: Tensor = self.norm(encoded.flatten(2).mT)
        return tokens.reshape(*maps.shape[:2], *tokens.shape[1:])


class _ResidualConv(nn.Module):
    def __init__(self, given: int, wanted: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(given, wanted, 3, padding=1)
        self.second = nn.Conv2d(wanted, wanted, 3, padding=1)
        self.beside: nn.Module = nn.Identity() if given == wanted else nn.Conv2d(given, wanted, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.second(F.gelu(self.first(F.gelu(x))))
        result: Tensor = self.beside(x) + inner
        return result


def _mlp(given: int, dim: int) -> nn.Sequential:
    """Return a map of few numbers to a token.

    It starts with He's weights: by torch's own, four layers deep, what differs between two poses
    would be .7 % of the size of the tokens that it is added to, and learned from late.
    """
    layers: list[nn.Module] = []
    for width in (*_MLP_WIDTHS, dim):
        linear = nn.Linear(given, width)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.GELU()]
        given = width
    return nn.Sequential(*layers[:-1])


def _metric(told: Tensor, views: Views) -> Tensor:
    """Return [B, 1] bool: the scale is told, and is one in metres."""
    metric = told if views.is_metric_scale is None else told & views.is_metric_scale
    return metric[:, None]
