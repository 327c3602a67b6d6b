"""Weights for patches of another size, or for several images stacked as channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gimbal_vision.errors import MultiViewError


def adapted_patches(weight: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the weights of a convolution over patches, fitted to another shape.

    Several images stacked as channels each get the weights over their number, so that k equal
    images give what one gave. Patches of another size get the filters resampled and scaled by the
    areas, so that a plain image gives what it gave.

    Args:
        weight: [D, C, p, p].
        shape: What is wanted: [D, k C, q, q].

    Raises:
        MultiViewError: D differs, or the channels are no multiple.
    """
    wanted = tuple(shape)
    if wanted[0] != weight.shape[0] or wanted[1] % weight.shape[1]:
        raise MultiViewError(
            f"patch weights {list(weight.shape)} cannot be made {list(wanted)}",
            "only the number of stacked images and the size of a patch may differ",
        )
    if weight.shape[2:] != wanted[2:]:
        old = weight.sum((2, 3), keepdim=True)
        area = weight[0, 0].numel() / (wanted[2] * wanted[3])
        weight = F.interpolate(weight, size=wanted[2:], mode="bilinear", align_corners=False) * area
        weight = weight + (old - weight.sum((2, 3), keepdim=True)) / weight[0, 0].numel()
    copies = wanted[1] // weight.shape[1]
    return torch.cat([weight / copies] * copies, dim=1)


def fits_adapted(name: str, theirs: Tensor, mine: Tensor) -> bool:
    """Return whether a weight is a patch embedding's, and can be made to fit.

    Args:
        name: Of the weight.
        theirs: [D, C, p, p].
        mine: What is wanted: [D, k C, q, q].
    """
    if "patch" not in name or not theirs.ndim == mine.ndim == 4:
        return False
    return theirs.shape[0] == mine.shape[0] and mine.shape[1] % theirs.shape[1] == 0


def depends_on_patch(
    theirs: Sequence[int], mine: Sequence[int], sides: Iterable[tuple[int, int]]
) -> bool:
    """Return whether two shapes differ only in axes that count the pixels of a patch.

    Args:
        theirs: A shape.
        mine: Another one of the same weight.
        sides: Sides of a patch, theirs and mine, by the patch embeddings.
    """
    return len(theirs) == len(mine) and any(
        all(a == b or a * q**2 == b * p**2 for a, b in zip(theirs, mine, strict=True))
        for p, q in sides
        if p != q
    )
