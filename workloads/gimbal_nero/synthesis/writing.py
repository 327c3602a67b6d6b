"""The files of Glossy-Synthetic's layout, with alpha beside its colours.

A view is three files, `<k>.png`, `<k>-depth.png` and `<k>-camera.pkl`. The last is written last and
in one piece, so a view is finished where it is there.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.rendering.rays import RayCaster

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

DEPTH_RANGE = 15.0
"""World units of the largest value of a depth image, which also says: nothing there."""
_PICKLE_PROTOCOL = 4
"""The newest whose numpy arrays every reader of the original files knows."""


def camera_path(folder: Path, view: int) -> Path:
    """Return where a view's pose and intrinsics are."""
    return folder / f"{view}-camera.pkl"


def is_finished(folder: Path, view: int) -> bool:
    """Tell whether all files of a view are there and whole."""
    pictures = (folder / f"{view}.png", folder / f"{view}-depth.png")
    return camera_path(folder, view).is_file() and all(_is_picture(path) for path in pictures)


def _is_picture(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def z_depth(caster: RayCaster, lens: Pinhole, cam2world: Doubles) -> Floats:
    """Return [H, W] depth along the optical axis at the pixels' centres, inf where nothing is."""
    directions = lens.z_one_rays() @ cam2world[:3, :3].T
    return caster.first_hit(cam2world[:3, 3], directions)[0]


def write_view(
    folder: Path, view: int, rgb: Floats, depth: Floats, camera: tuple[Pinhole, Doubles]
) -> None:
    """Write one view.

    Args:
        folder: Where.
        view: Its number.
        rgb: [H, W, 3] linear radiance.
        depth: [H, W] told z-depth, inf where nothing is.
        camera: Lens and told cam2world pose.
    """
    shown = np.isfinite(depth)
    alpha = np.where(shown, 255, 0).astype(np.uint8)
    scaled = np.round(np.where(shown, depth, 0) / DEPTH_RANGE * 65535)
    pixels = np.where(shown, scaled, 65535).astype(np.uint16)
    atomic_write_bytes(folder / f"{view}.png", png_bytes(np.dstack([srgb_bytes(rgb), alpha])))
    atomic_write_bytes(folder / f"{view}-depth.png", png_bytes(pixels))
    lens, cam2world = camera
    world2cam = np.linalg.inv(cam2world)[:3]
    content = pickle.dumps((world2cam, lens.K), protocol=_PICKLE_PROTOCOL)
    atomic_write_bytes(camera_path(folder, view), content)


def srgb_bytes(linear: Floats) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return linear colours as 8-bit sRGB (IEC 61966-2-1), white beyond 1."""
    x = np.clip(linear, 0.0, 1.0).astype(np.float64)
    encoded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.round(255.0 * encoded).astype(np.uint8)


def png_bytes(pixels: np.ndarray[Any, Any]) -> bytes:
    """Return [H, W], [H, W, 3] or [H, W, 4] pixels (RGB, alpha) as a PNG file."""
    import cv2

    orders = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    image = pixels if pixels.ndim == 2 else pixels[..., orders[pixels.shape[2]]]
    _, content = cv2.imencode(".png", np.ascontiguousarray(image))
    return bytes(content)
