"""A car's pictures as one map of tokens, each of which stands for a patch of every picture.

Two ways (multicar.md plan 2) without attention between pictures: all channels through one patch
embedding, or one convolution over the cameras' axis behind a shared encoder. Both start as the mean
over the cameras, so weights of one picture's encoder are worth something from the first step. What
is missing is left out of that mean: the rest is scaled up, rather than diluted by zeros.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.patch_weights import adapted_patches

Fusion = Literal["attention", "stacked", "conv3d"]
REACH = 3
"""Patches across which the convolution over cameras looks."""


def check_fusion(name: str) -> None:
    """Refuse a name that is no way to fuse pictures.

    Raises:
        MultiViewError: It is none.
    """
    if name not in get_args(Fusion):
        raise MultiViewError(
            f"fusion {name!r} is no way to fuse a car's pictures",
            f"write one of {', '.join(get_args(Fusion))}",
        )


def widen_first(encoder: nn.Module, images: int) -> None:
    """Make an encoder of one image one of several, stacked as channels, in place.

    Its first convolution gets `adapted_patches` of its weights, now and whenever weights of one
    image are loaded; k equal images give what one gave.

    Args:
        encoder: Of `make_encoder`.
        images: How many.
    """
    owner, name, narrow = _first_convolution(encoder)
    with torch.random.fork_rng(devices=[]):
        wide = nn.Conv2d(
            images * narrow.in_channels,
            narrow.out_channels,
            narrow.kernel_size,  # type: ignore[arg-type]
            narrow.stride,  # type: ignore[arg-type]
            narrow.padding,  # type: ignore[arg-type]
        )
    wide.load_state_dict(
        {**narrow.state_dict(), "weight": adapted_patches(narrow.weight.data, wide.weight.shape)}
    )
    wide.register_load_state_dict_pre_hook(_widen_loaded)  # type: ignore[no-untyped-call]
    setattr(owner, name, wide)
    if hasattr(owner, "num_channels"):
        owner.num_channels = wide.in_channels  # type: ignore[assignment]


def _first_convolution(encoder: nn.Module) -> tuple[nn.Module, str, nn.Conv2d]:
    """Return the module that holds the first convolution, its name there, and itself."""
    for path, module in encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            parent, _, name = path.rpartition(".")
            return encoder.get_submodule(parent), name, module
    raise MultiViewError(
        f"{type(encoder).__name__} has no convolution over patches to stack pictures in",
        "use an encoder of make_encoder, or another fusion",
    )


def _widen_loaded(module: nn.Conv2d, state: dict[str, Any], prefix: str, *_unused: Any) -> None:
    """Fit the weights of fewer images, before they are loaded."""
    key, wanted = f"{prefix}weight", module.weight.shape
    found = state.get(key)
    if found is not None and found.ndim == len(wanted) and found.shape[1] < wanted[1]:
        state[key] = adapted_patches(found, wanted)


class CameraConvolution(nn.Module):
    """One convolution of kernel (cameras, 3, 3) over cameras, rows and columns.

    It starts as the mean over the cameras, patch by patch.

    Args:
        cameras: Pictures a view.
        dim: Numbers of a token.
    """

    def __init__(self, cameras: int, dim: int) -> None:
        super().__init__()
        kernel = (cameras, REACH, REACH)
        with torch.random.fork_rng(devices=[]):
            self.mix = nn.Conv3d(dim, dim, kernel, padding=(0, REACH // 2, REACH // 2))
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.mix.weight[..., REACH // 2, REACH // 2] = torch.eye(dim)[..., None] / cameras

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return [S, P, D].

        Args:
            tokens: [S, C, P, D], those of missing pictures 0; see `only_existing`.
            grid: Rows and columns, P in all.
        """
        samples, cameras, _, dim = tokens.shape
        maps = tokens.permute(0, 3, 1, 2).reshape(samples, dim, cameras, *grid)
        mixed: Tensor = self.mix(maps)[:, :, 0]
        return mixed.flatten(2).mT


def shares(exists: Tensor | None, cameras: int) -> Tensor | None:
    """Return [S, C] shares that existing pictures have in their mean; None: all have 1 / C.

    Args:
        exists: [S, C] bool; None: all do.
        cameras: C.
    """
    if exists is None:
        return None
    count = exists.sum(dim=1, keepdim=True).clamp(min=1)
    return exists / count


def only_existing(values: Tensor, share: Tensor | None) -> Tensor:
    """Return values [S, C, ...] whose plain mean over C is the mean over existing pictures.

    Args:
        values: Of missing pictures they may be anything.
        share: See `shares`.
    """
    if share is None:
        return values
    share = share.view(*share.shape, *(1,) * (values.ndim - 2)).to(values)
    return torch.where(share > 0, values, 0.0) * (share * share.shape[1])
