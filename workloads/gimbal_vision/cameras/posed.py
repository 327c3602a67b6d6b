"""Pinhole cameras: intrinsics, poses, rays, projection.

OpenCV convention throughout: x right, y down, z forward; `cam2world` maps camera to world
coordinates; the pixel of row i, column j has its centre at (u, v) = (j + .5, i + .5), so the
principal point of a centred camera is (W/2, H/2). Rays have camera z = 1 and are not normalised:
the ray parameter of a hit is then its z-depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from gimbal_vision.cameras.pinhole import (
    Pinhole,
    focal_length,
    is_intrinsic_matrix,
    pixels_of,
    slopes,
)
from gimbal_vision.errors import CameraError
from gimbal_vision.poses import invert_pose, is_rigid

__all__ = ["PinholeCameras", "from_integer_centres", "to_integer_centres"]

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Index = int | slice | Sequence[int] | np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class PinholeCameras:
    """N pinhole cameras that share one image size.

    Attributes:
        K: [N, 3, 3] float64 intrinsics in pixels, pixel centres at +.5, no skew. A single [3, 3]
            is repeated for every pose.
        cam2world: [N, 4, 4] float64 rigid poses.
        height: Image height in pixels.
        width: Image width in pixels.
    """

    K: FloatArray
    cam2world: FloatArray
    height: int
    width: int

    def __post_init__(self) -> None:
        poses = np.ascontiguousarray(self.cam2world, dtype=np.float64)
        poses = poses[None] if poses.ndim == 2 else poses
        K = np.asarray(self.K, dtype=np.float64)
        if K.shape == (3, 3):
            K = np.broadcast_to(K, (len(poses), 3, 3))
        object.__setattr__(self, "K", np.ascontiguousarray(K))
        object.__setattr__(self, "cam2world", poses)
        self._check()

    def _check(self) -> None:
        if self.cam2world.shape[1:] != (4, 4) or self.K.shape != (len(self.cam2world), 3, 3):
            raise CameraError(
                f"K has shape {self.K.shape} and cam2world {self.cam2world.shape}",
                "Give K as [N, 3, 3] (or one [3, 3]) and cam2world as [N, 4, 4].",
            )
        if self.height < 1 or self.width < 1:
            raise CameraError(
                f"An image of {self.height} x {self.width} pixels holds nothing",
                "Give a height and width of at least 1.",
            )
        if not is_rigid(self.cam2world):
            raise CameraError(
                "cam2world is not a rotation and a translation",
                "Check where the poses come from; they must hold no scale and no reflection.",
            )
        if not is_intrinsic_matrix(self.K):
            raise CameraError(
                "K is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with finite numbers and fx, fy > 0",
                "Undistort and rectify the images first; skew is not supported.",
            )

    @classmethod
    def from_fov(cls, cam2world: ArrayLike, fov_y_deg: float, height: int, width: int) -> Self:
        """Return cameras with square pixels and a central principal point.

        Args:
            cam2world: [N, 4, 4].
            fov_y_deg: Vertical angle of view in degrees, between 0 and 180.
            height: Image height in pixels.
            width: Image width in pixels.
        """
        f = focal_length(height, fov_y_deg)
        K = np.array([[f, 0.0, width / 2.0], [0.0, f, height / 2.0], [0.0, 0.0, 1.0]])
        return cls(K, np.asarray(cam2world), height, width)

    def __len__(self) -> int:
        return len(self.cam2world)

    def __getitem__(self, index: Index) -> Self:
        """Return the chosen cameras; one integer gives one camera, still with N = 1."""
        chosen = [index] if isinstance(index, int) else index
        return replace(self, K=self.K[chosen], cam2world=self.cam2world[chosen])

    def intrinsics(self, index: int) -> Pinhole:
        """Return one camera's model, without its pose."""
        return Pinhole.from_matrix(self.K[index], self.height, self.width)

    @property
    def models(self) -> tuple[Pinhole, ...]:
        """The N cameras' models, without their poses."""
        return tuple(self.intrinsics(i) for i in range(len(self)))

    @property
    def positions(self) -> FloatArray:
        """[N, 3] optical centres in world coordinates."""
        return self.cam2world[:, :3, 3]

    @property
    def world2cam(self) -> FloatArray:
        """[N, 4, 4] inverse poses."""
        return invert_pose(self.cam2world)

    def rays(self, dtype: DTypeLike = np.float32) -> tuple[FloatArray, FloatArray]:
        """Return one ray for each pixel centre, in world coordinates.

        Returns:
            Origins [N, 3] and directions [N, H, W, 3] whose camera z component is 1, so that
            `origin + t * direction` lies at z-depth t.
        """
        u = slopes(self.width, self.K[:, 0, 0], self.K[:, 0, 2])
        v = slopes(self.height, self.K[:, 1, 1], self.K[:, 1, 2])
        R = self.cam2world[:, :3, :3]
        along_row = (u[:, :, None] * R[:, None, :, 0]).astype(dtype)
        along_column = (v[:, :, None] * R[:, None, :, 1] + R[:, None, :, 2]).astype(dtype)
        return self.positions.astype(dtype), along_column[:, :, None] + along_row[:, None]

    def project(self, points: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Project world points into every camera.

        Args:
            points: [P, 3] shared by all cameras, or [N, P, 3].

        Returns:
            Pixel coordinates (u, v) [N, P, 2] and z-depths [N, P]; where the depth is not
            positive the point lies behind the camera and its pixel is NaN.
        """
        w2c = self.world2cam
        camera = np.asarray(points, np.float64) @ w2c[:, :3, :3].mT + w2c[:, None, :3, 3]
        focal, principal = self.K[:, None, [0, 1], [0, 1]], self.K[:, None, :2, 2]
        return pixels_of(camera, focal, principal), camera[..., 2]

    def unproject(self, depth: ArrayLike) -> FloatArray:
        """Return the world point behind each pixel centre.

        Args:
            depth: [N, H, W] z-depth; 0 or non-finite where nothing was hit.

        Returns:
            [N, H, W, 3] float64, NaN where nothing was hit.
        """
        z = np.asarray(depth, dtype=np.float64)
        if z.shape != (len(self), self.height, self.width):
            raise CameraError(
                f"A depth map of shape {z.shape} does not fit {len(self)} cameras of "
                f"{self.height} x {self.width}",
                "Give depth as [N, H, W] for these very cameras.",
            )
        origins, directions = self.rays(np.float64)
        z = np.where(np.isfinite(z) & (z > 0), z, np.nan)
        return origins[:, None, None] + z[..., None] * directions

    def resized(self, height: int, width: int) -> Self:
        """Return the cameras of the same images scaled to another size.

        Pixel centres at +.5 make this a plain scaling of K, with no half-pixel term.
        """
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, K=scale @ self.K, height=height, width=width)

    def cropped(self, top: int, left: int, height: int, width: int) -> Self:
        """Return the cameras of the window that begins at row `top`, column `left`.

        A window may reach beyond the image (padding).
        """
        K = self.K.copy()
        K[:, 0, 2] -= left
        K[:, 1, 2] -= top
        return replace(self, K=K, height=height, width=width)


def from_integer_centres(K: ArrayLike) -> FloatArray:
    """Convert intrinsics whose pixel centres lie at integers (OpenCV calibration) to ours."""
    return _shifted(K, 0.5)


def to_integer_centres(K: ArrayLike) -> FloatArray:
    """Convert our intrinsics to the convention with pixel centres at integers."""
    return _shifted(K, -0.5)


def _shifted(K: ArrayLike, offset: float) -> FloatArray:
    moved = np.array(K, dtype=np.float64)
    moved[..., :2, 2] += offset
    return moved
