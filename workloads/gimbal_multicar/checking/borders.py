"""Evidence from images alone: what one camera sees at its border, its neighbour goes on with.

For each pair of neighbours around the car, and for each pair of images that could be theirs, the
colours just inside the two borders are compared row by row near the horizon, where things are far
and parallax is small. Where two cameras overlap, the very same directions are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_multicar.checking.placement import OrderCosts, orders
from gimbal_multicar.checking.samples import CarSample
from gimbal_vision.panoramas.rig import RigCamera

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

ELEVATIONS_DEG = np.linspace(-18.0, 14.0, 65)
"""Downwards is positive, as everywhere: more of what stands above the horizon than of the road."""
INSIDE_DEG = (0.6, 1.4, 2.2)
"""How far inside an image's border it is looked at, where cameras only touch."""
MAX_GAP_DEG = 25.0
"""Neighbours farther apart than this have nothing to do with each other."""


def measure_borders(sample: CarSample) -> OrderCosts | None:
    """Return what each order of the images costs; None where images are missing or differ."""
    around = ring(sample)
    if around is None:
        return None
    cameras, shown = around
    count = len(cameras)
    totals = np.zeros(len(orders(count)))
    pairs = 0
    for j in range(count):
        k = (j + 1) % count
        sides = _directions(cameras[j], cameras[k])
        if sides is None:
            continue
        right = np.stack([_profile(image, cameras[j], sides[0]) for image in shown])
        left = np.stack([_profile(image, cameras[k], sides[1]) for image in shown])
        apart = _mean_apart(right, left)
        totals += [apart[order[j], order[k]] for order in orders(count)]
        pairs += 1
    if not pairs:
        return None
    names = tuple(c.name for c in cameras)
    return OrderCosts(place=sample.place, names=names, costs=totals / pairs)


def _mean_apart(right: Floats, left: Floats) -> Floats:
    """Return [N, N] mean difference of [N, E, 3] profiles over the rows that both show."""
    both = np.isfinite(right).all(axis=(0, 2)) & np.isfinite(left).all(axis=(0, 2))
    if not both.any():
        return np.full((len(right), len(left)), np.nan)
    apart: Floats = np.abs(right[:, None, both] - left[None, :, both]).mean(axis=(-2, -1))
    return apart


def ring(sample: CarSample) -> tuple[list[RigCamera], list[Bytes]] | None:
    """Return the cameras from left to right, the first by name first, and images, softened.

    None where one is missing, there are fewer than three, or images differ in size.
    """
    if not sample.images or len(sample.rig.cameras) < 3:
        return None
    cameras = sorted(sample.rig_on_disk.cameras, key=_azimuth_deg)
    first = min(range(len(cameras)), key=lambda i: cameras[i].name)
    cameras = cameras[first:] + cameras[:first]
    shown = [_softened(sample.images[c.name]) for c in cameras]
    if len(cameras) < len(sample.rig.cameras) or len({image.shape for image in shown}) > 1:
        return None
    return cameras, shown


def _azimuth_deg(camera: RigCamera) -> float:
    axis = camera.car_from_camera[:3, 2]
    return float(np.degrees(np.arctan2(axis[0], axis[2])))


def _half_width_deg(camera: RigCamera) -> float:
    k = camera.camera
    return float(np.degrees(np.arctan2(min(k.cx, k.width - k.cx), k.fx)))


def _directions(first: RigCamera, second: RigCamera) -> tuple[Floats, Floats] | None:
    """Return [A, E, 3] rays in the car's frame: at the right border of one, the left of the next.

    They are the same rays where the two overlap, and mirrored about the border where they touch.
    """
    end = _azimuth_deg(first) + _half_width_deg(first)
    begin = _azimuth_deg(second) - _half_width_deg(second)
    gap = (begin - end + 180.0) % 360.0 - 180.0
    if gap > MAX_GAP_DEG:
        return None
    if gap < -2.0 * INSIDE_DEG[-1]:
        azimuths = end + gap * np.linspace(0.2, 0.8, 5)
        rays = _rays(azimuths)
        return rays, rays
    inside = np.array(INSIDE_DEG)
    return _rays(end - inside), _rays(begin + inside)


def _rays(azimuths_deg: Floats) -> Floats:
    azimuth, elevation = np.radians(azimuths_deg)[:, None], np.radians(ELEVATIONS_DEG)[None]
    level = np.cos(elevation)
    x, z = np.sin(azimuth) * level, np.cos(azimuth) * level
    return np.stack([x, np.broadcast_to(np.sin(elevation), x.shape), z], axis=-1)


def _profile(image: Bytes, camera: RigCamera, rays_car: Floats) -> Floats:
    """Return [E, 3] colours in 0 to 1, mean over azimuths; NaN outside the image."""
    pixels, _ = camera.camera.project(rays_car @ camera.car_from_camera[:3, :3])
    scale = np.array([image.shape[1] / camera.camera.width, image.shape[0] / camera.camera.height])
    u, v = np.moveaxis(np.nan_to_num(pixels, nan=-1.0) * scale, -1, 0)
    inside = (u >= 0) & (v >= 0) & (u < image.shape[1]) & (v < image.shape[0])
    rows, columns = (np.where(inside, x, 0).astype(np.int64) for x in (v, u))
    colours = np.where(inside[..., None], image[rows, columns].astype(np.float64), 0.0)
    seen = inside.sum(axis=0)[:, None]
    profile: Floats = np.where(seen > 0, colours.sum(axis=0) / np.maximum(seen, 1) / 255.0, np.nan)
    return profile


def _softened(image: Bytes) -> Bytes:
    import cv2

    size = max(3, image.shape[1] // 100) | 1
    return np.asarray(cv2.blur(image, (size, size)), np.uint8)
