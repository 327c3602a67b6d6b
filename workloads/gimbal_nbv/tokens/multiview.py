"""`multiview`: tokens of the trained multi-view model, frozen.

The network is given everything the protocol knows of a view: picture, rays, ranges and pose. Its
tokens are those of its last layer, and with `points` each is led by its patch's mean point and
normal, so that candidates can see where it lies: rays and ranges as the network predicts them,
placed by the declared poses. A token
depends on all views of its set, which is what a formula on one view cannot offer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.multiview.told import everything
from gimbal_nbv.multiview.views import normals_of, views_of
from gimbal_nbv.tokens.pointmap import first_frame
from gimbal_vision.multiview.tokens import trunk_tokens, watch_trunk
from gimbal_vision.poses import make_pose, transform_points

if TYPE_CHECKING:
    from gimbal_vision.multiview.model import MultiViewModel
    from gimbal_vision.multiview.views import Predictions


@dataclass(frozen=True)
class MultiviewFormat:
    """What the tokens of a network are like, known before it is trained; a `TokenFormat`.

    Attributes:
        settings: Of the network.
    """

    settings: MultiviewSettings
    name: str = "multiview"

    @property
    def dim(self) -> int:
        """Numbers D of a token: the trunk's, and six before them with `points`."""
        return self.settings.token_dim

    @property
    def has_points(self) -> bool:
        """Whether a token begins with its patch's point and normal, as the network predicts."""
        return self.settings.points

    @property
    def vectors(self) -> tuple[int, ...]:
        """None: what the network's own numbers mean, nobody knows."""
        return ()

    def tokens_per_view(self, image_size: int) -> int:
        """Return the patches of the network's own images, whatever the size of those given."""
        return self.settings.tokens_per_view


class MultiviewExtractor(MultiviewFormat):
    """Implements `FeatureExtractor`.

    Args:
        settings: Of the network.
        model: The trained network; it is asked where it lives.
    """

    def __init__(self, settings: MultiviewSettings, model: MultiViewModel) -> None:
        super().__init__(settings)
        self.model = model.eval()

    @torch.no_grad()
    def extract(
        self, images: Tensor | None, depths: Tensor, poses: Tensor, intrinsics: Tensor
    ) -> Tensor:
        """Return tokens [B,N,P,D]; see `FeatureExtractor.extract`.

        Stored images are not looked at: the network is shown pictures shaded from depth, see
        `gimbal_nbv.multiview.views`.
        """
        weights = next(self.model.parameters())
        poses = poses.to(weights)
        size = self.settings.image_size
        views = views_of(depths.to(weights), poses, intrinsics.to(weights), size)
        present = torch.ones(poses.shape[:2], dtype=torch.bool, device=weights.device)
        use = everything(present)
        if not self.settings.points:
            return trunk_tokens(self.model, views, use).float()
        with watch_trunk(self.model) as seen:
            said: Predictions = self.model(views, use)
        geometry = _geometry(said, poses, self.settings.patch)
        return torch.cat([geometry, seen[0].tokens], dim=-1).float()


def _geometry(said: Predictions, poses: Tensor, patch: int) -> Tensor:
    """Return mean points and normals of patches [B,N,P,6] in the first view's frame.

    A patch in which the network sees no object has a normal of zero, and as its point the mean of
    what it predicts there.

    Args:
        said: What the network predicts.
        poses: cam2world [B,N,4,4].
        patch: Side of a patch in pixels.
    """
    first_from_camera = make_pose(
        first_frame(poses).mT @ poses[..., :3, :3],
        (first_frame(poses).mT @ poses[..., :3, 3:])[..., 0],
    )
    cam = said.pts3d_cam
    points = transform_points(first_from_camera, cam.flatten(2, 3)).reshape(cam.shape)
    hit = said.non_ambiguous_mask
    normals = normals_of(points, hit)
    measured = (normals != 0).any(-1)
    share = _pooled(hit[..., None].to(points), patch)
    seen = _pooled(points * hit[..., None], patch) / share.clamp_min(1e-6)
    known = _pooled(measured[..., None].to(points), patch).clamp_min(1e-6)
    facing = _pooled(normals, patch) / known
    return torch.cat([torch.where(share > 0, seen, _pooled(points, patch)), facing], dim=-1)


def _pooled(values: Tensor, patch: int) -> Tensor:
    """Average [B,N,S,S,C] over patches, [B,N,P,C]."""
    flat = values.flatten(0, 1).movedim(-1, 1)
    means = avg_pool2d(flat, patch).flatten(2).mT
    return means.reshape(*values.shape[:2], *means.shape[1:])
