"""Points of the surface that training pixels show, each traced once before learning begins.

A pixel costs 4 bytes, and 32 more where it shows the surface (point, normal, which pixel); its ray
and photographer are made when asked for, as rays of a shape are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gimbal_nero.capture import Bools, View
from gimbal_nero.errors import ShapeError
from gimbal_nero.learning.photographer import Photographer
from gimbal_nero.learning.rays import Array, Indices, RaySource
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.silhouettes import eroded, torn_pixels
from gimbal_nero.tracing.hits import Hits
from gimbal_nero.tracing.refining import DistanceField
from gimbal_nero.tracing.surface import TracedMesh

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What one view sees of a mesh.

    Attributes:
        hits: Of all its pixels, row by row.
        kept: [H, W] pixels that show one place of the surface and nothing else.
    """

    hits: Hits
    kept: Bools


@dataclass(frozen=True, kw_only=True)
class PointCounts:
    """How many training pixels were learnt from.

    Attributes:
        pixels: All of them.
        met: That met the mesh.
        kept: That are learnt from.
    """

    pixels: int
    met: int
    kept: int


def see(
    view: View, traced: TracedMesh, settings: PointSettings, field: DistanceField | None = None
) -> Seen:
    """Trace every pixel of a view.

    Args:
        view: In the mesh's frame.
        traced: The mesh.
        settings: Which pixels are kept.
        field: The distance that the mesh was cut out of; hits are refined onto it.
    """
    rotation, centre = view.cam2world[:3, :3], view.cam2world[:3, 3]
    directions = torch.as_tensor(view.camera.rays().reshape(-1, 3) @ rotation.T).to(traced.device)
    origins = torch.as_tensor(np.array(centre)).to(directions).expand_as(directions)
    hits = traced.first_hits(origins, directions)
    if field is not None and settings.refining_steps:
        hits = traced.refined(hits, field, settings.refining_steps, settings.points_at_once)
    cosines = -(hits.normals * directions[hits.hit]).sum(-1)
    return Seen(hits=hits, kept=_kept(view, hits, cosines, settings))


class SurfacePoints:
    """A `gimbal.training.task.Source`; an index is a pixel that shows the surface.

    Args:
        views: At least one.
        traced: The mesh, in the unit frame.
        settings: Which pixels.
        field: The distance that the mesh was cut out of; None: the mesh is all there is.
        photographer: Who stands behind the camera; `none`: points carry no frame of him.
        progress: Told of views.

    Raises:
        CaptureError: There is no view.
        ShapeError: No pixel shows the mesh.
    """

    def __init__(
        self,
        views: Sequence[View],
        traced: TracedMesh,
        settings: PointSettings,
        *,
        field: DistanceField | None = None,
        photographer: Photographer = "none",
        progress: Progress | None = None,
    ) -> None:
        self._rays = RaySource(views, photographer=photographer)
        first, met = 0, 0
        pixels, points, normals = [], [], []
        for index, view in enumerate(views):
            if progress is not None:
                progress(index, len(views), "views traced")
            seen = see(view, traced, settings, field)
            kept = seen.kept.reshape(-1)
            chosen = torch.from_numpy(kept).to(seen.hits.hit.device)[seen.hits.hit]
            pixels.append(first + np.flatnonzero(kept))
            points.append(_floats(seen.hits.starts[chosen]))
            normals.append(_floats(seen.hits.normals[chosen]))
            first, met = first + len(kept), met + len(seen.hits)
        self._pixels = np.concatenate(pixels)
        self._points, self._normals = np.concatenate(points), np.concatenate(normals)
        self.counts = PointCounts(pixels=first, met=met, kept=len(self._pixels))
        self._refuse_none()

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self._pixels)

    def fetch(self, indices: Indices) -> dict[str, Array]:
        """Return points in the unit frame.

        Args:
            indices: int64 [B].

        Returns:
            `points` float32 [B, 3], lifted off the mesh's faces so far that rays of light may
            start there, and `normals` float32 [B, 3], smooth and towards the camera; with all that
            `RaySource.fetch` says of the pixel: `origins`, `directions`, `rgb`, `mask`, `view`,
            `pixel`, and with a photographer `photographer`.
        """
        asked = np.asarray(indices, np.int64)
        return self._rays.fetch(self._pixels[asked]) | {
            "points": self._points[asked],
            "normals": self._normals[asked],
        }

    def names(self, indices: Indices) -> list[str]:
        """Return view:row,column of each index."""
        return self._rays.names(self._pixels[np.asarray(indices, np.int64)])

    def _refuse_none(self) -> None:
        counts = self.counts
        if counts.met == 0:
            raise ShapeError(
                f"none of {counts.pixels} training pixels meets the mesh",
                "give a mesh in the frame of the photographs: `gimbal nero mesh` writes it as "
                "mesh.ply in the frame of their source",
            )
        if counts.kept == 0:
            raise ShapeError(
                f"{counts.met} training pixels meet the mesh, and none is left of them without "
                "outlines, grazing views and what masks leave out",
                "lower points.erosion and points.least_cosine, or check that mesh and masks are of "
                "one object",
            )


def _kept(view: View, hits: Hits, cosines: torch.Tensor, settings: PointSettings) -> Bools:
    """Return [H, W], which pixels of a view are learnt from."""
    shape = view.camera.height, view.camera.width
    hit = hits.hit.cpu().numpy().reshape(shape)
    cosine, distance = np.zeros(shape), np.zeros(shape)
    cosine[hit], distance[hit] = cosines.cpu().numpy(), hits.distances.cpu().numpy()
    torn = torn_pixels(hit, distance, cosine, 1.0 / min(view.camera.fx, view.camera.fy))
    kept = eroded(hit, torn, settings.erosion) & (cosine > settings.least_cosine)
    if settings.follow_masks and view.mask is not None:
        kept &= view.mask
    return kept


def _floats(values: torch.Tensor) -> Array:
    return np.asarray(values.float().cpu().numpy())
