"""`pointmap`: patches of the point map of each view, the extractor that needs no weights.

A pixel's point, normal and silhouette are averaged over the patches of an 8 x 8 grid. It says what
depth says and nothing of appearance; it stands where a multi-view network would, and a policy that
cannot learn from exact points will not learn from a network's either.
"""

from __future__ import annotations

from math import radians, tan

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

PATCHES = 8
"""Patches along each side of an image."""

CHANNELS = (
    "point_x", "point_y", "point_z",
    "normal_x", "normal_y", "normal_z",
    "hit", "silhouette", "spread",
    "ray_x", "ray_y", "ray_z",
    "incidence", "behind", "before", "depth",
)  # fmt: skip
"""What a token says, vectors in the frame of the first view.

point: mean of the points hit, else the point of the patch's ray nearest to the origin; normal:
their mean unit normal, towards the camera; hit: share of pixels that hit; silhouette: share of
pixels whose neighbour is far behind or hits nothing; spread: standard deviation of depth; ray: mean
unit direction of the pixels; incidence: mean |cos| between ray and normal; behind, before: mean
depth jump to farther and to nearer neighbours, clipped; depth: mean z-depth minus the camera's
distance.
"""

_JUMP = 0.05
"""A depth step beyond this, in diagonals, is a silhouette where the focal length is `_FOCAL`."""
_FOCAL = 48 / tan(radians(21))
"""Of the default camera in pixels: 96 px under 42 degrees."""
_FAR = 0.5
"""Jumps count up to this, in diagonals; so much is also the jump into the background."""
_WIDEST = 0.8 * _FAR
"""The limit never exceeds this, or the background would be no jump at 10 px."""


class PointmapExtractor:
    """Implements `FeatureExtractor`; frozen, without parameters."""

    name = "pointmap"
    dim = len(CHANNELS)
    has_points = True
    vectors = (CHANNELS.index("ray_x"),)

    def tokens_per_view(self, image_size: int) -> int:
        """Return 64, whatever the image's size."""
        return PATCHES * PATCHES

    def extract(
        self, images: Tensor | None, depths: Tensor, poses: Tensor, intrinsics: Tensor
    ) -> Tensor:
        """Return tokens [B,N,64,16]; see `FeatureExtractor.extract`. Images are not looked at."""
        sets, views, height, width = depths.shape
        frame = first_frame(poses)
        rotation = frame.transpose(-1, -2) @ poses[..., :3, :3]
        centre = (frame.transpose(-1, -2) @ poses[..., :3, 3:])[..., 0]
        tokens = _tokens_of(
            depths.reshape(-1, height, width).float(),
            rotation.reshape(-1, 3, 3).float(),
            centre.reshape(-1, 3).float(),
            intrinsics.reshape(-1, 3, 3).float(),
        )
        return tokens.reshape(sets, views, PATCHES * PATCHES, self.dim)


def first_frame(poses: Tensor) -> Tensor:
    """Return rotations [B,1,3,3] from each first view's frame to the world.

    The frame has z towards the camera (against its viewing direction), x along the camera's right.
    """
    flip = poses.new_tensor([1.0, -1.0, -1.0])
    return poses[:, :1, :3, :3] * flip


def _tokens_of(depth: Tensor, rotation: Tensor, centre: Tensor, K: Tensor) -> Tensor:
    """Return tokens [V,64,16] of views whose camera axes are the columns of `rotation`."""
    hit = torch.isfinite(depth) & (depth > 0)
    depth = torch.where(hit, depth, torch.zeros_like(depth))
    rays = _rays(K, depth.shape[1], depth.shape[2])
    local = rays * depth[..., None]
    jump = _jump_of(K)
    normal, measured = _normals(local, hit, jump)
    unit = rays / rays.norm(dim=-1, keepdim=True)
    behind, before = _jumps(depth, hit)
    incidence = (normal * unit).sum(-1).abs()
    edge = ((behind > jump) & hit).float()
    share = _pooled(hit.float()[..., None])
    known = share.clamp_min(1e-6)
    z = _pooled((depth * hit)[..., None]) / known
    z_square = _pooled((depth.square() * hit)[..., None]) / known
    spread = (z_square - z.square()).clamp_min(0).sqrt() * (share > 0)
    ray = _turned(_pooled(unit), rotation)
    ray = ray / ray.norm(dim=-1, keepdim=True)
    away = centre[:, None] - (centre[:, None] * ray).sum(-1, keepdim=True) * ray
    point = _turned(_pooled(local * hit[..., None]) / known, rotation) + centre[:, None]
    facing = _pooled(normal * measured[..., None]) / _pooled(measured.float()[..., None]).clamp_min(
        1e-6
    )
    return torch.cat(
        [
            torch.where(share > 0, point, away),
            _turned(facing, rotation),
            share,
            _pooled(edge[..., None]),
            spread,
            ray,
            _pooled((incidence * measured)[..., None]) / known,
            _pooled((behind * hit)[..., None]),
            _pooled((before * hit)[..., None]),
            torch.where(share > 0, z - centre.norm(dim=-1)[:, None, None], torch.zeros_like(z)),
        ],
        dim=-1,
    )


def _pooled(values: Tensor) -> Tensor:
    """Average [V,H,W,C] over the patches, [V,64,C]."""
    pooled = adaptive_avg_pool2d(values.movedim(-1, 1), PATCHES)
    return pooled.flatten(2).transpose(1, 2)


def _turned(vectors: Tensor, rotation: Tensor) -> Tensor:
    return vectors @ rotation.transpose(-1, -2)


def _rays(K: Tensor, height: int, width: int) -> Tensor:
    """Return camera rays [V,H,W,3] with z = 1 through the pixel centres."""
    v, u = torch.meshgrid(
        torch.arange(height, dtype=K.dtype, device=K.device) + 0.5,
        torch.arange(width, dtype=K.dtype, device=K.device) + 0.5,
        indexing="ij",
    )
    x = (u - K[:, 0, 2, None, None]) / K[:, 0, 0, None, None]
    y = (v - K[:, 1, 2, None, None]) / K[:, 1, 1, None, None]
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def _jump_of(K: Tensor) -> Tensor:
    """Return the least depth step that is a silhouette [V,1,1], in diagonals.

    It grows with a pixel's footprint, one over the focal length: neighbours on a slope lie that
    much farther apart, and a coarse picture of a smooth surface would be all silhouette.
    """
    jump = _JUMP * (K.new_tensor(_FOCAL) / K[:, 0, 0])
    return jump.clamp(max=_WIDEST)[:, None, None]


def _normals(points: Tensor, hit: Tensor, jump: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit normals towards the camera [V,H,W,3] and where both differences were measured.

    One-sided differences to the right and lower neighbour; across a silhouette they are left out.
    """
    right = pad(points[:, :, 1:] - points[:, :, :-1], (0, 0, 0, 1))
    down = pad(points[:, 1:] - points[:, :-1], (0, 0, 0, 0, 0, 1))
    both = hit.clone()
    both[:, :, :-1] &= hit[:, :, 1:]
    both[:, :-1] &= hit[:, 1:]
    both[:, :, -1] = False
    both[:, -1] = False
    both &= (right[..., 2].abs() < jump) & (down[..., 2].abs() < jump)
    normal = torch.linalg.cross(down, right)
    length = normal.norm(dim=-1, keepdim=True)
    both &= length[..., 0] > 0
    return torch.where(both[..., None], normal / length.clamp_min(1e-12), 0), both


def _jumps(depth: Tensor, hit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest step to a farther and to a nearer neighbour [V,H,W], in 0.._FAR."""
    z = torch.where(hit, depth, torch.full_like(depth, torch.inf))
    padded = pad(z, (1, 1, 1, 1), value=torch.inf)
    around = torch.stack(
        [padded[:, 1:-1, 2:], padded[:, 1:-1, :-2], padded[:, 2:, 1:-1], padded[:, :-2, 1:-1]]
    )
    own = torch.where(hit, depth, torch.zeros_like(depth))
    step = around - own
    behind = step.amax(0).clamp(0, _FAR) * hit
    before = (-step.amin(0)).clamp(0, _FAR) * hit
    return behind, before
