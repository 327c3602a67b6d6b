"""Images to tokens: a small ViT, or DINOv2's architecture; both with random weights.

Any module with `forward(views) -> [B, N, P, D]` and `grid(views) -> (rows, columns)` may take their
place. DINOv2 comes from `transformers`, built from a configuration: nothing is downloaded, and
torch.hub, which asks the network even for local weights, is not used.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.attention import Block, initialise_linear
from gimbal_vision.multiview.checkpointing import run
from gimbal_vision.multiview.positions import POSITION_NUMBERS, grid_positions
from gimbal_vision.multiview.shape import ModelShape
from gimbal_vision.multiview.views import Views

_DINOV2_SIDE = 518
"""Side in pixels of the images DINOv2's table of positions is made for; others interpolate it."""


@runtime_checkable
class ImageEncoder(Protocol):
    """What the model needs of an image encoder."""

    def grid(self, views: Views) -> tuple[int, int]:
        """Return rows and columns of patches of each view."""
        ...

    def __call__(self, views: Views) -> Tensor:
        """Return [B, N, P, D] tokens, patches row by row."""
        ...


def make_encoder(shape: ModelShape, *, again: bool = False) -> nn.Module:
    """Return the encoder that `shape` names.

    Args:
        shape: Its size.
        again: Recompute each block's activations in the backward pass.

    Raises:
        MultiViewError: DINOv2 is asked for and `transformers` is not installed.
    """
    return Dinov2(shape, again=again) if shape.encoder == "dinov2" else SmallVit(shape, again=again)


def patch_grid(views: Views, patch: int) -> tuple[int, int]:
    """Return rows and columns of patches in a view.

    Raises:
        MultiViewError: The images are not made of whole patches.
    """
    height, width = views.img.shape[-2:]
    if height % patch or width % patch:
        raise MultiViewError(
            f"images of {width} x {height} pixels are not made of whole patches of {patch}",
            f"use {max(1, round(width / patch)) * patch} x {max(1, round(height / patch)) * patch} "
            "pixels, or a patch that divides both sides",
        )
    return height // patch, width // patch


class SmallVit(nn.Module):
    """Patches, their positions, a few blocks, a LayerNorm."""

    def __init__(self, shape: ModelShape, *, again: bool = False) -> None:
        super().__init__()
        dim = shape.encoder_dim
        self.patch, self.again = shape.patch, again
        self.patches = _patches(shape)
        self.positions = nn.Linear(POSITION_NUMBERS, dim)
        self.blocks = nn.ModuleList(
            Block(dim, shape.encoder_heads, swiglu=shape.encoder_swiglu)
            for _ in range(shape.encoder_layers)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        initialise_linear(self)
        nn.init.normal_(self.positions.weight, std=POSITION_NUMBERS**-0.5)

    def grid(self, views: Views) -> tuple[int, int]:
        """Return rows and columns of patches."""
        return patch_grid(views, self.patch)

    def forward(self, views: Views) -> Tensor:
        """Return [B, N, P, D]."""
        batch, count = views.img.shape[:2]
        rows, columns = self.grid(views)
        tokens = self.patches(views.img.flatten(0, 1)).flatten(2).mT
        tokens = tokens + self.positions(grid_positions(rows, columns, tokens))
        for block in self.blocks:
            tokens = run(block, tokens, again=self.again)
        result: Tensor = self.norm(tokens)
        return result.reshape(batch, count, *result.shape[1:])


def _patches(shape: ModelShape) -> nn.Module:
    """Return what turns images into patches: convolutions of the stem, then one step a patch."""
    layers: list[nn.Module] = []
    channels = 3
    for wider in shape.stem:
        layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.GELU()]
        channels = wider
    last = nn.Conv2d(channels, shape.encoder_dim, shape.patch, stride=shape.patch)
    return nn.Sequential(*layers, last) if layers else last


class Dinov2(nn.Module):
    """`transformers.Dinov2Model`, its class token left out."""

    def __init__(self, shape: ModelShape, *, again: bool = False) -> None:
        super().__init__()
        self.patch, self.again = shape.patch, again
        self.model = _dinov2(shape)

    def grid(self, views: Views) -> tuple[int, int]:
        """Return rows and columns of patches."""
        return patch_grid(views, self.patch)

    def forward(self, views: Views) -> Tensor:
        """Return [B, N, P, D]."""
        batch, count = views.img.shape[:2]
        self.grid(views)
        model: Any = self.model
        tokens = model.embeddings(views.img.flatten(0, 1))
        for layer in model.encoder.layer:
            tokens = run(layer, tokens, again=self.again)
        result: Tensor = model.layernorm(tokens)
        patches = result[:, 1:]
        return patches.reshape(batch, count, *patches.shape[1:])


def _dinov2(shape: ModelShape) -> nn.Module:
    try:
        from transformers import Dinov2Config, Dinov2Model
    except ImportError as exc:
        raise MultiViewError(
            f"the encoder dinov2 needs the package transformers: {exc}",
            "install it with: pip install 'gimbal[multiview]'; or use the encoder vit",
        ) from exc
    config = Dinov2Config(
        hidden_size=shape.encoder_dim,
        num_hidden_layers=shape.encoder_layers,
        num_attention_heads=shape.encoder_heads,
        use_swiglu_ffn=shape.encoder_swiglu,
        image_size=_DINOV2_SIDE // shape.patch * shape.patch,
        patch_size=shape.patch,
        use_mask_token=False,
    )
    model: nn.Module = Dinov2Model(config)
    return model
