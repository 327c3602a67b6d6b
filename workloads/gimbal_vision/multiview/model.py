"""The multi-view model: images, and geometry where it is known, to metric points in one frame.

Written from the formulas of multicar.md A4 and A5; no code or weights of MapAnything are used. The
contract is that family's: what goes in and comes out, the trunk, the factors, their composition.
What differs from the published model:

- Nothing is random inside: which inputs are used is handed in (`InputUse`), so that a step does not
  depend on how many workers share it.
- Several samples with different numbers of views share a batch; absent views are masked.
- Poses are told only where view 0's is told too, since they are relative to it.
- The encoder's positions are periodic along a row (`vit` only), for panoramas.
- `matching` is a pose head of our own: poses follow from matched patches; see `matching`.
- The quaternion's bias starts as the identity.
- `tiny` has its own encoder, dense head (`light`) and a narrow pose head; `v1` and `v1_1` have the
  published layouts, with `transformers`' DINOv2 and without register tokens of views.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from gimbal_vision.multiview.agent_embedding import AgentEmbedding
from gimbal_vision.multiview.checkpointing import Checkpointing, run
from gimbal_vision.multiview.composition import Factors, compose_predictions
from gimbal_vision.multiview.dense_head import DenseHead, DenseOutput
from gimbal_vision.multiview.encoder import ImageEncoder, make_encoder
from gimbal_vision.multiview.geometric import GeometricInputs
from gimbal_vision.multiview.matched_pose import MatchedPoseHead
from gimbal_vision.multiview.matching import Matches
from gimbal_vision.multiview.patches import patches_of
from gimbal_vision.multiview.pose_head import PoseHead
from gimbal_vision.multiview.precision import full, full_precision
from gimbal_vision.multiview.scale_head import ScaleHead
from gimbal_vision.multiview.shape import ModelShape
from gimbal_vision.multiview.trunk import Trunk, TrunkOutput
from gimbal_vision.multiview.views import InputUse, Predictions, Views


class MultiViewModel(nn.Module):
    """A feed-forward multi-view model.

    Args:
        shape: Its size.
        image_encoder: Takes the place of the encoder that `shape` names; see `ImageEncoder`.
        checkpointing: Parts whose activations are computed again in the backward pass; of an
            encoder that is handed in, that is its own matter.
        agents: Cars that an agent embedding tells apart; 0: there is none.

    Raises:
        MultiViewError: `shape` is no model, or its encoder needs a package that is missing.

    Attributes:
        image_encoder: Images to tokens.
        agents: Adds which car they are of, if at all.
        geometry: Adds known rays, ranges and poses to them. Its parameters get no gradient in steps
            that use none: freeze them where none is ever used (`geometry.requires_grad_(False)`,
            its `norm` left trainable), or tell DDP to find unused parameters.
        trunk: Alternating attention.
        dense_head: Rays, ranges, confidences, masks.
        pose_head: Translation and quaternion.
        scale_head: Metres a unit.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        image_encoder: nn.Module | None = None,
        checkpointing: Checkpointing = Checkpointing(),  # noqa: B008 (frozen)
        agents: int = 0,
    ) -> None:
        super().__init__()
        shape.check()
        self.shape = shape
        self.checkpointing = checkpointing
        self.image_encoder = image_encoder or make_encoder(shape, again=checkpointing.encoder)
        self.agents = AgentEmbedding(agents, shape.encoder_dim) if agents else None
        self.geometry = GeometricInputs(shape)
        self.trunk = Trunk(shape, again=checkpointing.trunk)
        self.dense_head = DenseHead(shape)
        self.pose_head: nn.Module = (
            MatchedPoseHead(shape) if shape.pose_head == "matching" else PoseHead(shape)
        )
        self.scale_head = ScaleHead(shape.dim)

    def forward(self, views: Views, use: InputUse | None = None) -> Predictions:
        """Return metric predictions.

        Args:
            views: Images of one size, whose sides are multiples of the patch, and geometry.
            use: Which of the geometry is used; None: images only.

        Raises:
            MultiViewError: The images are not made of whole patches.
        """
        fused, features = self._encoded(views, use)
        grid = cast("ImageEncoder", self.image_encoder).grid(views)
        size = (views.img.shape[-2], views.img.shape[-1])
        with full_precision(fused):
            levels = [full(level) for level in (fused, *features.taps, features.tokens)]
            again = self.checkpointing.heads
            dense = run(self.dense_head, levels, grid, size, views.present, again=again)
            translation, quaternion, matches = self._posed(levels[-1], dense, grid, views.present)
            scale = self.scale_head(full(features.scale))
            return compose_predictions(
                Factors(
                    rays=dense.rays,
                    depth=dense.depth,
                    conf=dense.conf,
                    mask_logits=dense.mask_logits,
                    translation=translation,
                    quaternion=quaternion,
                    scale=scale,
                    matches=matches,
                )
            )

    def _posed(
        self, tokens: Tensor, dense: DenseOutput, grid: tuple[int, int], present: Tensor | None
    ) -> tuple[Tensor, Tensor, Matches | None]:
        """Return translations, quaternions and what matches, if the head matches patches."""
        again = self.checkpointing.heads
        if not isinstance(self.pose_head, MatchedPoseHead):
            return (*run(self.pose_head, tokens, again=again), None)
        with torch.no_grad():  # else poses would teach the mask, and bend ranges to their liking
            known = dense.mask_logits.sigmoid()
            patches = patches_of(dense.rays, dense.depth[..., 0], known, grid)
        found: tuple[Tensor, Tensor, Matches] = run(
            self.pose_head, tokens, patches, grid, present, again=again
        )
        return found

    def features(self, views: Views, use: InputUse | None = None) -> TrunkOutput:
        """Return the trunk's tokens, without running the heads; arguments as in `forward`."""
        return self._encoded(views, use)[1]

    def _encoded(self, views: Views, use: InputUse | None) -> tuple[Tensor, TrunkOutput]:
        tokens: Tensor = self.image_encoder(views)
        if self.agents is not None:
            tokens = self.agents(tokens, views.agent)
        fused: Tensor = self.geometry(tokens, views, use)
        return fused, self.trunk(fused, views.present)
