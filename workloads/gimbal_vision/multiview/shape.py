"""How large the multi-view model is, as numbers; three sizes by name.

`v1` and `v1_1` have the layout of MapAnything's two releases (multicar.md A5), so figures of memory
and speed can be compared; `tiny` trains on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from gimbal_vision.errors import MultiViewError

Encoder = Literal["vit", "dinov2"]
PoseHead = Literal["pooled", "attention", "matching"]
DenseHead = Literal["dpt", "light"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """Every number the model is built from.

    Attributes:
        encoder: `vit`: our small one; `dinov2`: `transformers.Dinov2Model` from a config, with no
            download.
        patch: Side of a patch in pixels; images' sides are multiples of it.
        stem: Channels of 3 x 3 convolutions at full resolution before the patches of `vit`; none: a
            patch is one linear map, as published.
        encoder_dim: Numbers of an image token D_enc.
        encoder_layers: Blocks of the image encoder.
        encoder_heads: Its attention heads.
        encoder_swiglu: Gated MLP in the encoder, as DINOv2's giant has.
        dim: Numbers of a token D inside the trunk and of the features it gives.
        layers: Blocks of the trunk; even ones attend globally, odd ones within a view.
        heads: Attention heads of the trunk.
        mlp_ratio: Hidden width of the trunk's MLPs over `dim`.
        swiglu: Gated MLPs in the trunk.
        layer_scale: Initial LayerScale in the trunk; none: no LayerScale.
        taps: Two blocks of the trunk whose output the dense head also reads.
        dense_head: `dpt`: a pyramid, as published; `light`: cheap beside a small trunk.
        dense_dim: Channels of the dense head.
        geometric_dims: Hidden channels of the encoders of rays and ranges.
        pose_head: `pooled`: mean over patches as published; `attention`: a learned query;
            `matching`: patches are matched and upright cameras aligned by them.
        match_dim: Numbers of a descriptor of `matching`.
        pose_hidden: Hidden width of the pose head; none: 4 patch^2, as published.
    """

    encoder: Encoder = "vit"
    patch: int = 14
    stem: tuple[int, ...] = ()
    encoder_dim: int = 192
    encoder_layers: int = 4
    encoder_heads: int = 3
    encoder_swiglu: bool = False
    dim: int = 192
    layers: int = 6
    heads: int = 3
    mlp_ratio: float = 4.0
    swiglu: bool = False
    layer_scale: float | None = None
    taps: tuple[int, int] = (2, 4)
    dense_head: DenseHead = "light"
    dense_dim: int = 32
    geometric_dims: tuple[int, int, int] = (96, 96, 96)
    pose_head: PoseHead = "pooled"
    match_dim: int = 64
    pose_hidden: int | None = 192

    def check(self) -> None:
        """Refuse numbers no model can be built from.

        Raises:
            MultiViewError: The taps are no blocks of the trunk, or heads do not divide a width.
        """
        first, second = self.taps
        if not 0 <= first < second < self.layers:
            raise MultiViewError(
                f"taps {self.taps} are no two blocks, in order, of a trunk of {self.layers} layers",
                f"write two of 0 to {self.layers - 1}, the smaller first",
            )
        for name, dim, heads in (
            ("encoder_dim", self.encoder_dim, self.encoder_heads),
            ("dim", self.dim, self.heads),
        ):
            if dim % heads:
                raise MultiViewError(
                    f"{name} is {dim}, which {heads} heads cannot share evenly",
                    f"write a multiple of {heads}",
                )


TINY = ModelShape()
V1 = ModelShape(
    encoder="dinov2",
    encoder_dim=1024,
    encoder_layers=24,
    encoder_heads=16,
    dim=768,
    layers=24,
    heads=12,
    taps=(11, 17),
    dense_head="dpt",
    dense_dim=256,
    geometric_dims=(588, 768, 1024),
    pose_hidden=None,
)
V1_1 = replace(
    V1,
    encoder_dim=1536,
    encoder_heads=24,
    encoder_swiglu=True,
    dim=1536,
    layers=16,
    heads=24,
    swiglu=True,
    layer_scale=1e-5,
    taps=(7, 11),
)
SIZES: dict[str, ModelShape] = {"tiny": TINY, "v1": V1, "v1_1": V1_1}
