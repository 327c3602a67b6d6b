"""One photograph becomes pixels of an ideal pinhole: decoded, undistorted, scaled, masked.

Undistortion is COLMAP's own, with no empty pixels at the border. Scaling averages pixels, and the
camera is scaled by the very sizes the image gets, so that K and image never differ by a rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.capture import Bools, Bytes
from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.settings import PrepareSettings
from gimbal_nero.readers.images import read_image, read_mask
from gimbal_nero.readers.source import Layout, Lens, Photo
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.errors import CameraError

_OPAQUE = 128
"""Alpha and masks at least this bright show the object."""
_PLAIN = ("PINHOLE", "SIMPLE_PINHOLE")


@dataclass(frozen=True, kw_only=True, eq=False)
class Developed:
    """Pixels of a photograph.

    Attributes:
        image: [H, W, 3] uint8 sRGB.
        camera: Pinhole of that size.
        mask: [H, W], or none.
        source_size: (height, width) of the file.
    """

    image: Bytes
    camera: Pinhole
    mask: Bools | None
    source_size: tuple[int, int]


def develop(photo: Photo, settings: PrepareSettings, layout: Layout) -> Developed:
    """Read one photograph.

    Args:
        photo: What and by which lens.
        settings: Masks, background, size.
        layout: Decides what `background: auto` means.

    Raises:
        CaptureError: It is damaged, fits neither its lens nor its mask, or is no pinhole's.
    """
    image, alpha = read_image(photo.path)
    size = (image.shape[0], image.shape[1])
    require_fit(photo, size)
    mask = _mask(photo, alpha, settings)
    if mask is not None and mask.shape != size:
        raise CaptureError(
            f"{photo.mask_path} is {mask.shape[1]}x{mask.shape[0]} pixels, its image "
            f"{size[1]}x{size[0]}",
            "give masks of the images' size",
        )
    image = _composited(image, alpha, settings, layout)
    image, mask, camera = undistorted(image, mask, photo.lens, photo.name)
    image, mask, camera = _scaled(image, mask, camera, settings.max_side)
    return Developed(
        image=image,
        camera=camera,
        mask=None if mask is None else mask >= _OPAQUE,
        source_size=size,
    )


def undistorted(
    image: Bytes, mask: Bytes | None, lens: Lens, name: str
) -> tuple[Bytes, Bytes | None, Pinhole]:
    """Return image, mask and pinhole without the lens's distortion.

    Args:
        image: [H, W, 3].
        mask: [H, W] uint8, or none.
        lens: Of the image.
        name: For the error.

    Raises:
        CaptureError: No pinhole can see what this lens sees, or its numbers describe none.
    """
    import pycolmap

    height, width = image.shape[:2]
    try:
        camera = pycolmap.Camera(
            model=lens.model, width=width, height=height, params=list(lens.params)
        )
        if lens.model not in _PLAIN and not camera.is_undistorted():
            options = pycolmap.UndistortCameraOptions()
            bitmap, flat = pycolmap.undistort_image(
                options, pycolmap.Bitmap.from_array(image), camera
            )
            image = np.array(bitmap.to_array(), np.uint8)
            mask = None if mask is None else _flat_mask(mask, camera, options)
            camera = flat
        pinhole = Pinhole.from_matrix(camera.calibration_matrix(), *image.shape[:2])
    except (RuntimeError, ValueError, TypeError, CameraError) as error:
        raise CaptureError(
            f"{name}: the lens {lens.model} {list(lens.params)} is no pinhole's: {error}",
            "correct its numbers, or undistort the image first",
        ) from error
    return image, mask, pinhole


def _flat_mask(mask: Bytes, camera: Any, options: Any) -> Bytes:
    import pycolmap

    bitmap, _ = pycolmap.undistort_image(options, pycolmap.Bitmap.from_array(mask), camera)
    return np.array(bitmap.to_array(), np.uint8).reshape(bitmap.height, bitmap.width)


def require_fit(photo: Photo, size: tuple[int, int]) -> None:
    """Refuse a photograph that is not of its camera's size.

    Args:
        photo: With its lens, whose size may be unknown.
        size: Height and width of the file.

    Raises:
        CaptureError: They differ; turned by a quarter is told apart.
    """
    expected = (photo.lens.height, photo.lens.width)
    if None in expected or expected == size:
        return
    if expected == size[::-1]:
        raise CaptureError(
            f"{photo.path} is {size[1]}x{size[0]} pixels, and its camera is for the same turned by "
            "a quarter, as EXIF may say it is to be shown: poses and images disagree",
            "turn the pixels themselves (magick mogrify -auto-orient), or find the poses anew",
        )
    raise CaptureError(
        f"{photo.path} is {size[1]}x{size[0]} pixels, but its camera is for "
        f"{expected[1]}x{expected[0]}: poses and images disagree",
        "give the images the poses were made with",
    )


def _mask(photo: Photo, alpha: Bytes | None, settings: PrepareSettings) -> Bytes | None:
    if settings.masks == "none":
        return None
    if photo.mask_path is not None:
        return read_mask(photo.mask_path)
    return alpha if settings.masks == "auto" else None


def _composited(
    image: Bytes, alpha: Bytes | None, settings: PrepareSettings, layout: Layout
) -> Bytes:
    kind = settings.background
    if kind == "auto":
        kind = "white" if layout == "transforms" else "keep"
    if alpha is None or kind == "keep":
        return image
    share = alpha[..., None].astype(np.float32) / 255.0
    ground = 255.0 if kind == "white" else 0.0
    return np.rint(share * image + (1.0 - share) * ground).astype(np.uint8)


def _scaled(
    image: Bytes, mask: Bytes | None, camera: Pinhole, max_side: int | None
) -> tuple[Bytes, Bytes | None, Pinhole]:
    longest = max(camera.height, camera.width)
    if max_side is None or longest <= max_side:
        return image, mask, camera
    import cv2

    ratio = max_side / longest
    height, width = (max(1, round(side * ratio)) for side in (camera.height, camera.width))

    def smaller(pixels: Bytes) -> Bytes:
        resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.uint8)

    small = None if mask is None else smaller(mask)
    return smaller(image), small, camera.resized(height, width)
