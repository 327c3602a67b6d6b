"""Panoramas: the equirectangular and the true cylinder, both 360 degrees around.

Azimuth phi = 2 pi (u / W - 1/2) grows to the right and is 0 straight ahead (the z axis); elevation
grows *downwards*, like image rows. An equirectangular row is linear in elevation, a cylindrical one
in its tangent, so that vertical lines stay straight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.errors import CameraError

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True, kw_only=True)
class Panorama(ABC):
    """What both panoramas share: columns.

    Attributes:
        height: Image height in pixels.
        width: Image width in pixels, 360 degrees.
        fy: Pixels per radian of elevation (equirectangular) or per unit of its tangent.
        cy: Row coordinate of the horizon, pixel centres at +.5.
    """

    camera_model: ClassVar[str]

    height: int
    width: int
    fy: float
    cy: float

    def __post_init__(self) -> None:
        """Refuse what describes no image.

        Raises:
            CameraError: A size below 1, or numbers that are not finite and positive.
        """
        if self.height < 1 or self.width < 1:
            raise CameraError(
                f"a panorama of {self.height} x {self.width} pixels holds nothing",
                "give a height and width of at least 1",
            )
        if not (np.isfinite(self.fy) and self.fy > 0 and np.isfinite(self.cy)):
            raise CameraError(
                f"fy={self.fy}, cy={self.cy} is no panorama", "give a finite fy > 0 and cy"
            )

    @property
    def fx(self) -> float:
        """Pixels per radian of azimuth."""
        return self.width / (2.0 * np.pi)

    @property
    def cx(self) -> float:
        """Column coordinate of azimuth 0, straight ahead: the middle."""
        return self.width / 2.0

    @property
    def vfov_deg(self) -> float:
        """Vertical angle of view in degrees, from the upper edge to the lower."""
        top, bottom = self._elevation(np.array([0.0, float(self.height)]))
        return float(np.degrees(bottom - top))

    def resized(self, height: int, width: int) -> Self:
        """Return the model of the same panorama scaled to another size."""
        scale = height / self.height
        return replace(self, height=height, width=width, fy=self.fy * scale, cy=self.cy * scale)

    def rays(self) -> FloatArray:
        """Return [H, W, 3] float64 unit directions through the pixel centres."""
        azimuth = 2.0 * np.pi * ((np.arange(self.width) + 0.5) / self.width - 0.5)
        elevation = self._elevation(np.arange(self.height) + 0.5)[:, None]
        level = np.cos(elevation)
        x, z = np.sin(azimuth) * level, np.cos(azimuth) * level
        return np.stack([x, np.broadcast_to(np.sin(elevation), x.shape), z], axis=-1)

    def project(self, points_camera: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return pixels [..., 2] with u in [0, W), NaN at the origin, and ranges [...].

        A cylinder cannot see straight up or down: v is infinite there.
        """
        points = np.asarray(points_camera, np.float64)
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        level, distance = np.hypot(x, z), np.linalg.norm(points, axis=-1)
        u = np.mod(self.width * (np.arctan2(x, z) / (2.0 * np.pi) + 0.5), self.width)
        with np.errstate(divide="ignore", invalid="ignore"):
            v = self._row(y, level)
        pixels = np.stack([u, v], axis=-1)
        return np.where(distance[..., None] > 0, pixels, np.nan), distance

    def solid_angle(self) -> FloatArray:
        """Return [H, W] steradians: (2 pi / W)(sin el_lower - sin el_upper), exact."""
        edges = np.sin(self._elevation(np.arange(self.height + 1, dtype=np.float64)))
        column = np.diff(edges) * (2.0 * np.pi / self.width)
        return np.repeat(column[:, None], self.width, axis=1)

    @abstractmethod
    def _elevation(self, v: FloatArray) -> FloatArray:
        """Return the elevation in radians, downwards, of row coordinates."""

    @abstractmethod
    def _row(self, down: FloatArray, level: FloatArray) -> FloatArray:
        """Return row coordinates of points `down` below and `level` away from the centre."""


@dataclass(frozen=True, kw_only=True)
class Equirectangular(Panorama):
    """Rows at equal angles: v = cy + fy el."""

    camera_model: ClassVar[str] = "equirectangular"

    def __post_init__(self) -> None:
        """Refuse rows beyond the poles.

        Raises:
            CameraError: See `Panorama`; also where a row lies above 90 degrees or below -90.
        """
        super().__post_init__()
        top, bottom = self._elevation(np.array([0.0, float(self.height)]))
        if max(-top, bottom) > np.pi / 2 + 1e-9:
            raise CameraError(
                f"rows reach {np.degrees(max(-top, bottom)):.1f} degrees from the horizon",
                "no more than 90 degrees is there to see: raise fy or lower the height",
            )

    @classmethod
    def from_vfov(cls, height: int, width: int, vfov_deg: float) -> Self:
        """Return the panorama whose horizon is the middle row.

        Args:
            height: In pixels.
            width: In pixels.
            vfov_deg: Vertical angle of view, above 0 up to 180 degrees.
        """
        if not 0.0 < vfov_deg <= 180.0:
            raise CameraError(
                f"a vertical angle of view of {vfov_deg} degrees is impossible",
                "give one above 0 and up to 180 degrees",
            )
        fy = height / float(np.radians(vfov_deg))
        return cls(height=height, width=width, fy=fy, cy=height / 2.0)

    def _elevation(self, v: FloatArray) -> FloatArray:
        return (v - self.cy) / self.fy

    def _row(self, down: FloatArray, level: FloatArray) -> FloatArray:
        return self.cy + self.fy * np.arctan2(down, level)


@dataclass(frozen=True, kw_only=True)
class Cylindrical(Panorama):
    """An upright cylinder unrolled: v = cy + fy tan el."""

    camera_model: ClassVar[str] = "cylindrical"

    @classmethod
    def from_vfov(cls, height: int, width: int, vfov_deg: float | None = None) -> Self:
        """Return the cylinder whose horizon is the middle row.

        Args:
            height: In pixels.
            width: In pixels.
            vfov_deg: Vertical angle of view, above 0 and below 180 degrees; none: pixels that are
                square at the horizon, fy = W / 2 pi.
        """
        if vfov_deg is None:
            return cls(height=height, width=width, fy=width / (2.0 * np.pi), cy=height / 2.0)
        if not 0.0 < vfov_deg < 180.0:
            raise CameraError(
                f"a vertical angle of view of {vfov_deg} degrees is impossible on a cylinder",
                "give one above 0 and below 180 degrees",
            )
        fy = height / 2.0 / np.tan(np.radians(vfov_deg) / 2.0)
        return cls(height=height, width=width, fy=float(fy), cy=height / 2.0)

    def _elevation(self, v: FloatArray) -> FloatArray:
        elevation: FloatArray = np.arctan((v - self.cy) / self.fy)
        return elevation

    def _row(self, down: FloatArray, level: FloatArray) -> FloatArray:
        return self.cy + self.fy * down / level
