"""An analytic world for panorama tests: planes, boxes and spheres.

Colour is a function of the point, so cameras and panoramas are ray-cast by the same few formulas
and no renderer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gimbal_vision.cameras import Equirectangular, Panorama, Pinhole
from gimbal_vision.panoramas.model import PanoramaImage
from gimbal_vision.panoramas.rig import Rig, RigCamera
from gimbal_vision.poses import make_pose

SKY_DEPTH = 1000.0
YAWS_DEG = (0.0, 100.0, -100.0, 180.0)
OFFSETS = ((0.0, 0.9, 3.0), (0.3, 0.1, 0.5), (-0.3, 0.1, 0.5), (0.0, 0.4, -1.5))


def colour_at(points: np.ndarray) -> np.ndarray:
    """Return [..., 3] float 0..255: waves of about 2 m, different along each axis."""
    phase = points @ np.array([[2.1, 0.7, 1.3], [0.9, 2.4, 1.1], [1.2, 1.5, 2.2]])
    return 127.0 + 60.0 * np.sin(phase) + 40.0 * np.sin(0.37 * phase[..., ::-1])


@dataclass
class World:
    """Ground at y = `ground`, boxes (low corner, high corner) and spheres (centre, radius).

    A box that contains the origin of a ray is seen from inside: a room.
    """

    ground: float | None = None
    boxes: list[tuple[tuple[float, ...], tuple[float, ...]]] = field(default_factory=list)
    spheres: list[tuple[tuple[float, ...], float]] = field(default_factory=list)

    def cast(self, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (range [...], inf for sky, and which surface [...], -1 sky) of unit rays."""
        with np.errstate(divide="ignore", invalid="ignore"):
            hits = [self._ground(origin, rays)]
            hits += [_box(origin, rays, np.array(a), np.array(b)) for a, b in self.boxes]
            hits += [_sphere(origin, rays, np.array(c), r) for c, r in self.spheres]
        t = np.stack(hits)
        which = np.where(np.isfinite(t.min(axis=0)), t.argmin(axis=0), -1)
        return t.min(axis=0), which

    def _ground(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        if self.ground is None:
            return np.full(rays.shape[:-1], np.inf)
        t = (self.ground - origin[1]) / rays[..., 1]
        return np.where(t > 0, t, np.inf)

    def colours(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """Return [..., 3] uint8; the sky's colour depends on the direction."""
        t, _ = self.cast(origin, rays)
        finite = np.isfinite(t)
        points = origin + np.where(finite, t, 0.0)[..., None] * rays
        sky = 180.0 + 60.0 * rays
        return np.round(np.where(finite[..., None], colour_at(points), sky)).astype(np.uint8)


def _box(origin: np.ndarray, rays: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    a, b = (low - origin) / rays, (high - origin) / rays
    enter, leave = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
    t = np.where(enter > 0, enter, leave)
    return np.where((enter <= leave) & (leave > 0), t, np.inf)


def _sphere(origin: np.ndarray, rays: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    offset = centre - origin
    along = rays @ offset
    inside = radius**2 - (offset @ offset - along**2)
    t = along - np.sqrt(inside)
    return np.where((inside > 0) & (t > 0), t, np.inf)


def yaw(degrees: float) -> np.ndarray:
    """Return the rotation that turns z forward towards x right."""
    a = np.radians(degrees)
    return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])


def pinhole(width: int = 160, height: int = 120, hfov_deg: float = 100.0) -> Pinhole:
    f = width / 2.0 / np.tan(np.radians(hfov_deg / 2.0))
    return Pinhole(fx=f, fy=f, cx=width / 2.0, cy=height / 2.0, height=height, width=width)


def nominal_rig(
    *, centred: bool = False, camera: Pinhole | None = None, yaws: Sequence[float] = YAWS_DEG
) -> Rig:
    """Return OPV2V's four cameras around the LiDAR, or all of them at the centre."""
    model = camera or pinhole()
    offsets = [(0.0, 0.0, 0.0)] * len(yaws) if centred else OFFSETS[: len(yaws)]
    return Rig(
        tuple(
            RigCamera(f"camera{i}", model, make_pose(yaw(a), np.array(t)))
            for i, (a, t) in enumerate(zip(yaws, offsets, strict=True))
        )
    )


def panorama(height: int = 42, width: int = 252, vfov_deg: float = 60.0) -> Equirectangular:
    return Equirectangular.from_vfov(height, width, vfov_deg)


_TAKEN: dict[tuple[str, str], tuple[list[np.ndarray], list[np.ndarray]]] = {}


def photographs(world: World, rig: Rig) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each camera's image and z-depth (1000 m for the sky, as CARLA writes it).

    Ray-casting is what these tests spend their time on; the same picture is taken once.
    """
    key = (repr(world), rig.digest)
    if key not in _TAKEN:
        _TAKEN[key] = _photographs(world, rig)
    images, depths = _TAKEN[key]
    return [i.copy() for i in images], [d.copy() for d in depths]


def _photographs(world: World, rig: Rig) -> tuple[list[np.ndarray], list[np.ndarray]]:
    images, depths = [], []
    for camera in rig.cameras:
        rays = camera.camera.rays()
        R, t = camera.car_from_camera[:3, :3], camera.car_from_camera[:3, 3]
        images.append(world.colours(t, rays @ R.T))
        ranges, _ = world.cast(t, rays @ R.T)
        z = np.where(np.isfinite(ranges), ranges, 0.0) * rays[..., 2]
        depths.append(np.where(np.isfinite(ranges), z, SKY_DEPTH).astype(np.float32))
    return images, depths


def truth(world: World, camera: Panorama) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the panorama's centre sees: rgb, ranges (inf for sky), which surface."""
    rays = camera.rays()
    ranges, which = world.cast(np.zeros(3), rays)
    return world.colours(np.zeros(3), rays), ranges, which


def relative_error(image: PanoramaImage, ranges: np.ndarray) -> np.ndarray:
    """Return |range - truth| / truth at valid pixels."""
    valid = image.valid & np.isfinite(ranges)
    return np.abs(image.range_m[valid] - ranges[valid]) / ranges[valid]
