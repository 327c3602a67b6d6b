"""Feature-level fusion: a car's pictures become tokens on the panorama's grid.

One ViT reads all pictures; then every patch of the panorama, known by its direction alone, asks
the car's picture tokens what lies there (multicar.md plan 2). Trunk, heads, losses and metrics are
those of a model that is shown panoramas, and so is the number of tokens they see. Attention starts
from a kernel of the angle between the two directions (von Mises and Fisher's, one width a head,
learned), without which a short training would first have to find out where cameras look. With the
fusions of `camera_mixing` a token stands for a patch of every picture, and is asked by whichever of
its directions is nearest.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.attention import INITIAL_STD, Mlp, initialise_linear
from gimbal_vision.multiview.camera_mixing import (
    CameraConvolution,
    Fusion,
    check_fusion,
    only_existing,
    shares,
    widen_first,
)
from gimbal_vision.multiview.camera_views import (
    CameraRing,
    CameraViews,
    canvas_directions,
    in_order,
    told_directions,
)
from gimbal_vision.multiview.encoder import ImageEncoder, make_encoder, patch_grid
from gimbal_vision.multiview.shape import ModelShape
from gimbal_vision.multiview.views import Views

WAVES = (1, 2, 4, 8)
"""Harmonics of azimuth and elevation that tell a direction; a patch is 5 to 20 degrees wide."""
DIRECTION_NUMBERS = 4 * len(WAVES)
POSE_NUMBERS = 9
LAYERS = 1
"""Of cross-attention."""
NARROWEST, WIDEST = 64.0, 4.0
"""Concentrations that the heads start from: kernels 7 to 30 degrees wide."""
RING = CameraRing()


def direction_numbers(directions: Tensor) -> Tensor:
    """Return [..., DIRECTION_NUMBERS]: cosines and sines of azimuth and elevation, and harmonics.

    Args:
        directions: [..., 3] unit, car axes (x right, y down, z ahead).
    """
    x, y, z = directions.unbind(-1)
    angles = torch.stack([torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))], dim=-1)
    waves = (angles[..., None] * angles.new_tensor(WAVES)).flatten(-2)
    return torch.cat([waves.cos(), waves.sin()], dim=-1)


class FusedCameraEncoder(nn.Module):
    """An image encoder for `CameraViews`.

    Args:
        shape: Of the model; the pictures' ViT has its encoder's size.
        cameras: Pictures a view.
        ring: Where they look where that is not told.
        rel_pose: Whether `view_from_camera` is read; without it the prior's modules do not exist.
        fusion: `attention`: the pictures' tokens are asked as they are; `stacked`: all channels go
            through one patch embedding; `conv3d`: tokens are convolved over the cameras.
        again: Recompute the ViT's activations in the backward pass.

    Raises:
        MultiViewError: The ring has another number of cameras, or there is no such fusion.
    """

    def __init__(
        self,
        shape: ModelShape,
        cameras: int = 4,
        *,
        ring: CameraRing = RING,
        rel_pose: bool = False,
        fusion: Fusion = "attention",
        again: bool = False,
    ) -> None:
        super().__init__()
        if len(ring.yaw_deg) != cameras:
            raise MultiViewError(
                f"a ring of {len(ring.yaw_deg)} cameras for {cameras} pictures a view",
                "give the ring one yaw for each camera",
            )
        check_fusion(fusion)
        dim = shape.encoder_dim
        self.patch, self.ring, self.fusion = shape.patch, ring, fusion
        self.pictures = make_encoder(shape, again=again)
        self.cameras = nn.Parameter(torch.empty(cameras, dim).normal_(std=INITIAL_STD))
        self.asked = nn.Linear(DIRECTION_NUMBERS, dim)
        self.told = nn.Linear(DIRECTION_NUMBERS, dim)
        self.layers = nn.ModuleList(_CrossBlock(dim, shape.encoder_heads) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        initialise_linear(self.layers)
        self.rig = _prior_of_rig(dim) if rel_pose else None
        self.convolution = CameraConvolution(cameras, dim) if fusion == "conv3d" else None
        if fusion == "stacked":
            widen_first(self.pictures, cameras)

    def grid(self, views: Views) -> tuple[int, int]:
        """Return rows and columns of patches of the panorama."""
        return patch_grid(views, self.patch)

    def forward(self, views: Views) -> Tensor:
        """Return [B, N, P, D] on the panorama's grid.

        Raises:
            MultiViewError: The views have no pictures, or no rays of the canvas.
        """
        found, canvas = in_order(pictured(views), self.ring), canvas_directions(views, self.patch)
        if canvas is None:
            raise MultiViewError(
                "fused cameras need the panorama's rays, which say where its patches look",
                "give ray_directions_cam; whether the model is told them is another matter",
            )
        batch, count = found.camera_img.shape[:2]
        tokens, bias, keys = self._asked_of(found, canvas)
        asking = self.asked(direction_numbers(canvas)).expand(batch * count, -1, -1)
        for layer in self.layers:
            asking = layer(asking, tokens, bias, keys)
        fused: Tensor = self.norm(asking)
        return fused.view(batch, count, *fused.shape[1:])

    def _asked_of(self, views: CameraViews, canvas: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return tokens [B N, K, D], what attention to them starts from, and which exist.

        Args:
            views: In the ring's order.
            canvas: [P, 3] directions of the panorama's patches.
        """
        grid = patch_grid(Views(img=views.camera_img[:, :, 0]), self.patch)
        directions, place = self._placed(views, grid)
        told = self.told(direction_numbers(directions))
        if self.fusion == "attention":
            tokens = (self._encoded(views.camera_img.flatten(0, 1)) + told + place).flatten(1, 2)
            bias = torch.einsum("pc,...kc->...pk", canvas, directions.flatten(-3, -2)) - 1.0
            return tokens, bias, _keys(views, tokens.shape[1])
        tokens = self._mixed(views, told + place, grid)
        nearest = torch.einsum("pc,...vkc->...vpk", canvas, directions).amax(-3) - 1.0
        return tokens, nearest, None

    def _placed(self, views: CameraViews, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return directions [C, P', 3] of the pictures' patches, and [C, 1, D] of their cameras.

        Both have an axis B N before these where the rig is told.
        """
        directions = self.ring.directions(grid, views.camera_img)
        place = self.cameras[:, None]
        if self.rig is not None:
            rays = told_directions(views, grid, self.patch)
            if rays is not None and views.view_from_camera is not None:
                directions = rays.flatten(0, 1).to(directions)
                place = place + self.rig(_pose_numbers(views.view_from_camera))[:, :, None]
        return directions, place

    def _mixed(self, views: CameraViews, marks: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return [B N, P', D], one token for a patch of all pictures.

        Args:
            views: In the ring's order.
            marks: [C, P', D] or [B N, C, P', D], added to the pictures' tokens.
            grid: Rows and columns, P' in all.
        """
        images, present = views.camera_img.flatten(0, 1), views.camera_present
        share = shares(None if present is None else present.flatten(0, 1), images.shape[1])
        if self.convolution is not None:
            tokens = only_existing(self._encoded(images) + marks, share)
            mixed: Tensor = self.convolution(tokens, grid)
            return mixed
        channels = only_existing(images, share).flatten(1, 2)[:, None]
        marks = marks.expand(len(images), -1, -1, -1)
        return self._encoded(channels)[:, 0] + only_existing(marks, share).mean(dim=1)

    def _encoded(self, images: Tensor) -> Tensor:
        """Return tokens [S, C, P', D] of images [S, C, 3, h, w], or of more channels."""
        return cast("ImageEncoder", self.pictures)(Views(img=images))


class _CrossBlock(nn.Module):
    """Patches of the panorama ask picture tokens, then think: pre-norm, as everywhere."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.asking_norm, self.told_norm, self.mlp_norm = (
            nn.LayerNorm(dim, eps=1e-6) for _ in range(3)
        )
        self.query, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.mlp = Mlp(dim, 2.0)
        start = torch.logspace(0.0, 1.0, heads, base=NARROWEST / WIDEST) * WIDEST
        self.log_concentration = nn.Parameter(start.log())

    def forward(self, asking: Tensor, told: Tensor, bias: Tensor, keys: Tensor | None) -> Tensor:
        """Return [S, P, D].

        Args:
            asking: [S, P, D].
            told: [S, K, D].
            bias: [P, K] or [S, P, K] cosine of the angle between the two, less 1.
            keys: [S, 1, 1, K] bool, what may be looked at. None: everything.
        """
        key, value = self._heads(self.key_value(self.told_norm(told)), 2)
        (query,) = self._heads(self.query(self.asking_norm(asking)), 1)
        kernel = self.log_concentration.exp()[:, None, None] * bias.unsqueeze(-3)
        mask = kernel if keys is None else torch.where(keys, kernel, -torch.inf)
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=mask.to(query))
        asking = asking + self.out(gathered.transpose(1, 2).flatten(2))
        result: Tensor = asking + self.mlp(self.mlp_norm(asking))
        return result

    def _heads(self, tokens: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Return `parts` tensors [S, heads, L, D / heads]."""
        samples, length, width = tokens.shape
        split = tokens.view(samples, length, parts, self.heads, width // parts // self.heads)
        return split.permute(2, 0, 3, 1, 4).unbind(0)


def pictured(views: Views) -> CameraViews:
    """Return the views with their pictures.

    Raises:
        MultiViewError: They have none.
    """
    if not isinstance(views, CameraViews):
        raise MultiViewError(
            "this model fuses a car's pictures, and was given views without any",
            "give CameraViews, or build the model with its own image encoder",
        )
    return views


def _keys(views: CameraViews, length: int) -> Tensor | None:
    """Return [B N, 1, 1, K] bool: tokens of pictures that exist; all of them where none does."""
    if views.camera_present is None:
        return None
    exists = views.camera_present.flatten(0, 1)
    usable = exists | ~exists.any(dim=1, keepdim=True)
    keys = usable.repeat_interleave(length // exists.shape[1], dim=1)
    return keys[:, None, None]


def _pose_numbers(view_from_camera: Tensor) -> Tensor:
    """Return [B N, C, POSE_NUMBERS]: two columns of the rotation, and metres."""
    pose = view_from_camera.flatten(0, 1)
    return torch.cat([pose[..., :3, 0], pose[..., :3, 2], pose[..., :3, 3]], dim=-1)


def _prior_of_rig(dim: int) -> nn.Module:
    """Return what places add to a camera's token; zero at first, so it starts as without."""
    with torch.random.fork_rng(devices=[]):
        first, last = nn.Linear(POSE_NUMBERS, dim), nn.Linear(dim, dim)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.GELU(), last)
