"""Rays of photographs, made when they are asked for: four bytes a pixel, mask included, in memory.

An index is a pixel. Where rays prefer the object, the first indices stand for its pixels (each as
often as the share asks) and the others for the rest, so the choice belongs to the index and not to
a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gimbal_nero.capture import Bytes, View
from gimbal_nero.errors import CaptureError
from gimbal_nero.learning.photographer import Photographer, photographer_frame
from gimbal_nero.learning.quality import SMALLEST_SIDE
from gimbal_vision.cameras.pinhole import Pinhole

Array = np.ndarray[Any, np.dtype[Any]]
Indices = np.ndarray[Any, np.dtype[np.int64]]
MASK_UNKNOWN = 2


class RaySource:
    """Every pixel of some views.

    Args:
        views: At least one.
        foreground_share: Share of indices that stand for pixels of the object; None: each index is
            a pixel of its own.
        photographer: Who stands behind the camera; `none`: rays carry no frame of him.

    Raises:
        CaptureError: There is no view, or a share is asked for and no mask shows both kinds.
    """

    def __init__(
        self,
        views: Sequence[View],
        foreground_share: float | None = None,
        photographer: Photographer = "none",
    ) -> None:
        if not views:
            raise CaptureError("there is no view to learn from", "prepare the capture again")
        sizes = [view.camera.height * view.camera.width for view in views]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._rgb = np.concatenate([view.image.reshape(-1, 3) for view in views])
        self._masks = np.concatenate([_mask_codes(view) for view in views])
        self._lenses = np.array([_lens(view.camera) for view in views])
        self._widths = np.array([view.camera.width for view in views], np.int64)
        self._poses = np.stack([view.cam2world for view in views])
        self._names = [view.name for view in views]
        self._frames = (
            None
            if photographer == "none"
            else np.stack([photographer_frame(view.cam2world, photographer) for view in views])
        )
        self._share = foreground_share
        if foreground_share is not None:
            self._split_by_mask()

    def __len__(self) -> int:
        """Return the number of pixels."""
        return len(self._rgb)

    @property
    def has_masks(self) -> bool:
        """Whether any pixel is known to be of the object or not."""
        return bool((self._masks != MASK_UNKNOWN).any())

    def fetch(self, indices: Indices) -> dict[str, Array]:
        """Return rays in the unit frame.

        Args:
            indices: int64 [B].

        Returns:
            `origins`, `directions` (unit) and `rgb` (sRGB in [0, 1]), float32 [B, 3]; `mask` int64
            [B]: 1 the object, 0 not, 2 unknown; `view` and `pixel` int64 [B]; with a photographer
            `photographer`, float32 [B, 3, 4], from the unit frame to his.
        """
        pixels = self.pixels_of(np.asarray(indices, np.int64))
        view = np.searchsorted(self._starts, pixels, side="right") - 1
        row, column = np.divmod(pixels - self._starts[view], self._widths[view])
        lens = self._lenses[view]
        x = (column + 0.5 - lens[:, 2]) / lens[:, 0]
        y = (row + 0.5 - lens[:, 3]) / lens[:, 1]
        seen = np.stack([x, y, np.ones_like(x)], -1)
        seen /= np.linalg.norm(seen, axis=-1, keepdims=True)
        poses = self._poses[view]
        frames = {} if self._frames is None else {"photographer": self._frames[view]}
        return frames | {
            "origins": poses[:, :3, 3].astype(np.float32),
            "directions": np.einsum("bij,bj->bi", poses[:, :3, :3], seen).astype(np.float32),
            "rgb": self._rgb[pixels].astype(np.float32) / np.float32(255),
            "mask": self._masks[pixels].astype(np.int64),
            "view": view,
            "pixel": pixels - self._starts[view],
        }

    def pixels_of(self, indices: Indices) -> Indices:
        """Return the pixel, counted over all views, that each index stands for."""
        if self._share is None:
            return indices
        on_object = indices < self._boundary
        chosen = np.empty_like(indices)
        chosen[on_object] = self._object[indices[on_object] % len(self._object)]
        others = indices[~on_object] - self._boundary
        chosen[~on_object] = self._others[others % len(self._others)]
        return chosen

    def names(self, indices: Indices) -> list[str]:
        """Return view:row,column of each index."""
        found = self.fetch(indices)
        names = []
        for view, pixel in zip(found["view"].tolist(), found["pixel"].tolist(), strict=True):
            row, column = divmod(pixel, int(self._widths[view]))
            names.append(f"{self._names[view]}:{row},{column}")
        return names

    def _split_by_mask(self) -> None:
        self._object = np.flatnonzero(self._masks == 1)
        self._others = np.flatnonzero(self._masks != 1)
        if not len(self._object) or not len(self._others):
            raise CaptureError(
                "rays.foreground_share needs masks that show the object and what is beside it",
                "give masks to prepare, or leave rays.foreground_share out",
            )
        self._boundary = round(float(self._share or 0.0) * len(self))


class ViewSource:
    """Whole views at a reduced size; an index is a view.

    Args:
        views: Any number.
        scale: Side of a reduced view against the photograph's.
        photographer: Who stands behind the camera.

    Raises:
        CaptureError: A reduced view is too small to be compared; said before any step is taken.
    """

    def __init__(
        self, views: Sequence[View], scale: float, photographer: Photographer = "none"
    ) -> None:
        self._photographer = photographer
        self._views = tuple(reduced(view, scale) for view in views)
        for view in self._views:
            if min(view.camera.height, view.camera.width) < SMALLEST_SIDE:
                raise CaptureError(
                    f"view {view.name} has {view.camera.width} x {view.camera.height} pixels at "
                    f"rays.validation_scale {scale}, and SSIM needs {SMALLEST_SIDE}",
                    "raise rays.validation_scale",
                )

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self._views)

    def fetch(self, indices: Indices) -> dict[str, Any]:
        """Return one view.

        Args:
            indices: int64 [1].

        Returns:
            `origins` and `directions`, float32 [H * W, 3] in the unit frame, and `image`, uint8
            [H, W, 3]; with a photographer his frame of each ray as well.
        """
        (index,) = np.asarray(indices).tolist()
        view = self._views[index]
        pixels = np.arange(view.camera.height * view.camera.width)
        found = RaySource([view], photographer=self._photographer).fetch(pixels)
        kept = ("origins", "directions", "photographer")
        return {name: found[name] for name in kept if name in found} | {"image": view.image}


def _lens(camera: Pinhole) -> tuple[float, float, float, float]:
    return camera.fx, camera.fy, camera.cx, camera.cy


def _mask_codes(view: View) -> Bytes:
    if view.mask is None:
        return np.full(view.camera.height * view.camera.width, MASK_UNKNOWN, np.uint8)
    return view.mask.astype(np.uint8).reshape(-1)


def reduced(view: View, scale: float) -> View:
    """Return a view scaled by area averages; the camera has the size that comes out."""
    import cv2

    if scale == 1.0:
        return view
    camera = view.camera
    height, width = (max(1, round(scale * side)) for side in (camera.height, camera.width))
    image = cv2.resize(view.image, (width, height), interpolation=cv2.INTER_AREA)
    return View(
        name=view.name,
        image=np.asarray(image, np.uint8),
        camera=camera.resized(height, width),
        cam2world=view.cam2world,
    )
