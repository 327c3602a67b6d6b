"""Cut an image to the rectangle of the unit sphere's outline; nothing else is learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gimbal_nero.capture import View
from gimbal_nero.errors import CaptureError
from gimbal_vision.cameras.pinhole import slopes

_LEAST_SIDE = 8


def cropped_to_sphere(view: View) -> View:
    """Return the view's part that can show the unit sphere; whole where its camera is inside.

    The outline's extent along columns follows from the sphere's two tangent planes that hold the
    camera's y axis: their slopes x/z solve (z² - 1) s² - 2 x z s + x² - 1 = 0; rows likewise.

    Raises:
        CaptureError: The sphere is not in the image.
    """
    x, y, z = -view.cam2world[:3, :3].T @ view.cam2world[:3, 3]
    if z <= 1.0:
        return view
    camera = view.camera
    left, right = _window(float(x), float(z), slopes(camera.width, camera.fx, camera.cx))
    top, bottom = _window(float(y), float(z), slopes(camera.height, camera.fy, camera.cy))
    if right - left < _LEAST_SIDE or bottom - top < _LEAST_SIDE:
        raise CaptureError(
            f"{view.name} does not show the unit sphere", "take it out, or correct its pose"
        )
    rows, columns = slice(top, bottom), slice(left, right)
    return replace(
        view,
        image=np.ascontiguousarray(view.image[rows, columns]),
        mask=None if view.mask is None else np.ascontiguousarray(view.mask[rows, columns]),
        camera=camera.cropped(top, left, bottom - top, right - left),
    )


def _window(
    offset: float, depth: float, of_pixels: np.ndarray[tuple[int, ...], np.dtype[np.floating]]
) -> tuple[int, int]:
    """Return the first pixel and the one after the last whose slope is within the outline's."""
    root = np.sqrt(offset**2 + depth**2 - 1.0)
    low, high = ((offset * depth + sign * root) / (depth**2 - 1.0) for sign in (-1.0, 1.0))
    return int(np.searchsorted(of_pixels, low)), int(np.searchsorted(of_pixels, high, "right"))
