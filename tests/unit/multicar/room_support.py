"""A painted room: rendered by the platform through pinholes, and known by a formula.

Its paint is a smooth function of the place, and a box can be intersected on paper, so what a
panorama should show needs neither a renderer nor a camera.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.rendering.base import Shading
from gimbal_vision.rendering.embree import EmbreeRenderer

LOWER, UPPER = np.array([-5.0, -2.5, -6.0]), np.array([4.0, 2.0, 7.0])
GRID_M = 0.25
WAVES = np.array([[0.9, 0.3, 0.5], [-0.4, 1.1, 0.7], [0.6, -0.8, 1.0]])
"""Radians a metre, for red, green and blue."""


def paint(points: np.ndarray) -> np.ndarray:
    """Return [..., 3] colours, 0 to 255, of places in the room."""
    return 127.5 + 110.0 * np.sin(points @ WAVES.T + [0.0, 1.0, 2.0])


def walls_ahead(rays: np.ndarray) -> np.ndarray:
    """Return [...] distances from the origin to the walls along unit rays."""
    with np.errstate(divide="ignore"):
        far = np.where(rays > 0, UPPER, LOWER) / rays
    return np.where(rays == 0, np.inf, far).min(axis=-1)


def room() -> Mesh:
    """Return the walls as a grid of painted triangles, fine enough to be within 2 levels."""
    vertices, faces, count = [], [], 0
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        across = [np.linspace(LOWER[k], UPPER[k], _cells(k) + 1) for k in (a, b)]
        rows, columns = len(across[0]), len(across[1])
        corner = np.arange(rows * columns).reshape(rows, columns)
        a00, a10, a11, a01 = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
        halves = [np.stack(half, axis=-1) for half in ((a00, a10, a11), (a00, a11, a01))]
        triangles = np.stack(halves).reshape(-1, 3)
        for wall in (LOWER[axis], UPPER[axis]):
            grid = np.empty((rows, columns, 3))
            grid[..., axis] = wall
            grid[..., a], grid[..., b] = across[0][:, None], across[1][None]
            vertices.append(grid.reshape(-1, 3))
            faces.append(triangles + count)
            count += rows * columns
    v = np.concatenate(vertices)
    colours = np.round(paint(v)).astype(np.uint8)
    return Mesh(vertices=v, faces=np.concatenate(faces).astype(np.int32), vertex_colors=colours)


def _cells(axis: int) -> int:
    return int(np.ceil((UPPER[axis] - LOWER[axis]) / GRID_M))


def photograph(rig: Rig, images: Path, depths: Path, ending: str = ".png") -> None:
    """Write what a rig at the origin sees of the room: an image and a z-depth per camera."""
    images.mkdir(exist_ok=True)
    depths.mkdir(exist_ok=True)
    first = rig.cameras[0].camera
    cameras = PinholeCameras(
        np.stack([c.camera.K for c in rig.cameras]),
        rig.car_from_cameras,
        first.height,
        first.width,
    )
    seen = EmbreeRenderer(Shading(mode="unlit"), threads=1).render(
        room(), cameras, ("rgb", "depth")
    )
    for name, rgb, depth in zip(rig.names, seen.rgb, seen.depth, strict=True):
        Image.fromarray(rgb).save(images / f"{name}{ending}")
        np.save(depths / f"{name}.npy", depth)


def write_small_rig(source: Path, target: Path, scale: int, *, together: bool) -> None:
    """Write a rig file for images `scale` times smaller; `together`: all cameras at the centre."""
    content = yaml.safe_load(source.read_text())
    for camera in content["cameras"]:
        for key in ("width", "height"):
            camera[key] //= scale
        for key in ("fx", "fy", "cx", "cy"):
            if key in camera:
                camera[key] /= scale
        if together:
            camera["translation"] = content["centre"]
    target.write_text(yaml.safe_dump(content))
