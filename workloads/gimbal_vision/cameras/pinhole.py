"""The pinhole as a camera model: intrinsics of one image, without a pose.

The arithmetic is in functions that broadcast, because `PinholeCameras` does the same for N images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.errors import CameraError

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


def is_intrinsic_matrix(K: FloatArray) -> bool:
    """Tell whether all of [..., 3, 3] are finite [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], f > 0."""
    return bool(
        np.isfinite(K).all()
        and np.all(K[..., 2, :] == (0.0, 0.0, 1.0))
        and not K[..., [0, 1], [1, 0]].any()
        and np.all(K[..., [0, 1], [0, 1]] > 0)
    )


def slopes(count: int, focal: ArrayLike, principal: ArrayLike) -> FloatArray:
    """Return x/z of `count` columns' centres (or y/z of rows): (index + .5 - principal) / focal.

    Args:
        count: Pixels along that axis.
        focal: [...] focal lengths in pixels.
        principal: [...] principal points, pixel centres at +.5.

    Returns:
        [..., count] float64.
    """
    offsets = np.arange(count) + 0.5 - np.asarray(principal, np.float64)[..., None]
    result: FloatArray = offsets / np.asarray(focal, np.float64)[..., None]
    return result


def pixels_of(points_camera: FloatArray, focal: ArrayLike, principal: ArrayLike) -> FloatArray:
    """Return pixel coordinates (u, v) [..., 2], NaN where z <= 0.

    Args:
        points_camera: [..., 3] in camera axes.
        focal: (fx, fy), broadcast against [..., 2].
        principal: (cx, cy), likewise.
    """
    z = points_camera[..., 2:]
    xy = points_camera[..., :2] / np.where(z > 0, z, np.nan)
    result: FloatArray = xy * np.asarray(focal) + np.asarray(principal)
    return result


def focal_length(size: int, fov_deg: float) -> float:
    """Return the focal length in pixels that sees `fov_deg` along `size` pixels.

    Raises:
        CameraError: The angle is not between 0 and 180 degrees.
    """
    if not 0.0 < fov_deg < 180.0:
        raise CameraError(
            f"An angle of view of {fov_deg} degrees is impossible",
            "Give an angle between 0 and 180 degrees.",
        )
    return float(0.5 * size / np.tan(np.radians(fov_deg) / 2.0))


@dataclass(frozen=True, kw_only=True)
class Pinhole:
    """An ideal lens without skew.

    Attributes:
        fx: Focal length in pixels of width.
        fy: Focal length in pixels of height.
        cx: Principal point from the left edge of the image, pixel centres at +.5.
        cy: Principal point from the upper edge.
        height: Image height in pixels.
        width: Image width in pixels.
    """

    camera_model: ClassVar[str] = "pinhole"

    fx: float
    fy: float
    cx: float
    cy: float
    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse what describes no image.

        Raises:
            CameraError: A size below 1, a focal length that is not positive, or a number that is
                not finite.
        """
        numbers = (self.fx, self.fy, self.cx, self.cy)
        if self.height < 1 or self.width < 1 or not np.isfinite(numbers).all():
            raise CameraError(
                f"{self} describes no image", "give finite intrinsics and a size of at least 1"
            )
        if self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f"the focal lengths ({self.fx}, {self.fy}) must be positive", "check the intrinsics"
            )

    @classmethod
    def from_matrix(cls, K: ArrayLike, height: int, width: int) -> Self:
        """Return the model of a [3, 3] intrinsic matrix.

        Raises:
            CameraError: It is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
        """
        k = np.asarray(K, np.float64)
        if k.shape != (3, 3) or not is_intrinsic_matrix(k):
            raise CameraError(
                f"K is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]: {k.tolist()}",
                "undistort and rectify the images first; skew is not supported",
            )
        fx, fy, cx, cy = (float(x) for x in (k[0, 0], k[1, 1], k[0, 2], k[1, 2]))
        return cls(fx=fx, fy=fy, cx=cx, cy=cy, height=height, width=width)

    @classmethod
    def from_hfov(cls, height: int, width: int, hfov_deg: float) -> Self:
        """Return the model with square pixels and a central principal point.

        Args:
            height: Image height in pixels.
            width: Image width in pixels.
            hfov_deg: Horizontal angle of view in degrees, from edge to edge.

        Raises:
            CameraError: The angle is not between 0 and 180 degrees.
        """
        f = focal_length(width, hfov_deg)
        return cls(fx=f, fy=f, cx=width / 2.0, cy=height / 2.0, height=height, width=width)

    @property
    def K(self) -> FloatArray:  # noqa: N802
        """[3, 3] float64 intrinsics."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def hfov_deg(self) -> float:
        """Horizontal angle of view in degrees, from the left edge to the right."""
        return _angle_deg(self.width, self.fx, self.cx)

    @property
    def vfov_deg(self) -> float:
        """Vertical angle of view in degrees, from the upper edge to the lower."""
        return _angle_deg(self.height, self.fy, self.cy)

    def z_one_rays(self) -> FloatArray:
        """Return [H, W, 3] float64 directions through the pixel centres whose z is 1."""
        x, y = np.meshgrid(
            slopes(self.width, self.fx, self.cx), slopes(self.height, self.fy, self.cy)
        )
        return np.stack([x, y, np.ones_like(x)], axis=-1)

    def rays(self) -> FloatArray:
        """Return [H, W, 3] float64 unit directions through the pixel centres."""
        directions = self.z_one_rays()
        unit: FloatArray = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        return unit

    def project(self, points_camera: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return pixels [..., 2], NaN where z <= 0, and ranges [...]; see `CameraModel`."""
        points = np.asarray(points_camera, np.float64)
        pixels = pixels_of(points, (self.fx, self.fy), (self.cx, self.cy))
        return pixels, np.linalg.norm(points, axis=-1)

    def solid_angle(self) -> FloatArray:
        """Return [H, W] steradians: the exact integral over each pixel's rectangle."""
        x = (np.arange(self.width + 1) - self.cx) / self.fx
        y = ((np.arange(self.height + 1) - self.cy) / self.fy)[:, None]
        corner = np.arctan(x * y / np.sqrt(1.0 + x * x + y * y))
        solid: FloatArray = np.diff(np.diff(corner, axis=0), axis=1)
        return solid

    def range_per_depth(self) -> FloatArray:
        """Return [H, W] float64 factors that turn a z-depth into a range."""
        factors: FloatArray = np.linalg.norm(self.z_one_rays(), axis=-1)
        return factors

    def resized(self, height: int, width: int) -> Self:
        """Return the model of the same image scaled to another size."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
            height=height,
            width=width,
        )

    def cropped(self, top: int, left: int, height: int, width: int) -> Self:
        """Return the model of the window that begins at row `top`, column `left`."""
        return replace(self, cx=self.cx - left, cy=self.cy - top, height=height, width=width)


def _angle_deg(size: int, focal: float, principal: float) -> float:
    edges = np.arctan((np.array([0.0, size]) - principal) / focal)
    return float(np.degrees(edges[1] - edges[0]))
