"""How well held-out views are rendered: each view alone, so workers may share them out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gimbal.training.task import Source
from gimbal_nero.capture import Bytes
from gimbal_nero.learning.port import Fields
from gimbal_nero.learning.quality import psnr_db, ssim
from gimbal_nero.volume.model import Moment, Rays, Rendered

Pairs = dict[str, tuple[float, float]]
RAY_FIELDS = ("origins", "directions", "photographer")
"""What of a batch makes `Rays`; the last only where somebody stands behind the camera."""


def validate_views(
    fields: Fields, module: nn.Module, source: Source, rays_at_once: int, moment: Moment
) -> Pairs:
    """Return (sum, count) of `psnr`, `ssim` and `opacity` over views.

    Args:
        fields: Renders.
        module: The networks, in evaluation mode.
        source: A `ViewSource`, or a share of one.
        rays_at_once: Rays of one forward pass.
        moment: The renderer's.
    """
    totals = {"psnr": 0.0, "ssim": 0.0, "opacity": 0.0}
    for index in range(len(source)):
        view = source.fetch(np.array([index]))
        said, opacity = picture(fields, module, view, rays_at_once, moment)
        totals["psnr"] += psnr_db(said, view["image"])
        totals["ssim"] += ssim(said, view["image"])
        totals["opacity"] += opacity
    return {name: (total, float(len(source))) for name, total in totals.items()}


def picture(
    fields: Fields, module: nn.Module, view: dict[str, Any], rays_at_once: int, moment: Moment
) -> tuple[Bytes, float]:
    """Render a view of `ViewSource`.

    Returns:
        The picture as uint8 [H, W, 3], and its mean opacity.
    """
    like = next(module.parameters())
    colours, opacities = [], []
    given = {name: torch.as_tensor(view[name]) for name in RAY_FIELDS if name in view}
    for first in range(0, len(view["origins"]), rays_at_once):
        part = slice(first, first + rays_at_once)
        rays = Rays(**{name: values[part].to(like) for name, values in given.items()})
        rendered: Rendered = fields.render(module, rays, None, moment)
        colours.append(fields.srgb(rendered.colour.detach()))
        opacities.append(rendered.opacity.detach())
    image = bytes_of(torch.cat(colours)).reshape(view["image"].shape)
    return image, float(torch.cat(opacities).mean())


def bytes_of(srgb: Tensor) -> Bytes:
    """Return sRGB in [0, 1] as rounded bytes; what is not finite is black."""
    finite = torch.nan_to_num(srgb, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray((finite.clamp(0, 1) * 255).round().cpu().numpy(), np.uint8)
