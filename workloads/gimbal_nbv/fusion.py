"""Depth fusion: the reconstruction of a view set is the union of its unprojected depths.

It grows with every view by construction, unlike a learned reconstruction, so coverage and
completeness never get worse when a view is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gimbal_vision.cameras import PinholeCameras


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points of the world.

    Attributes:
        points: float32 [N,3].
        normals: Unit normals towards the camera, float32 [N,3], or None.
        colors: uint8 [N,3], or None.
        view: Which of the fused views measured a point, int32 [N].
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32] | None
    colors: NDArray[np.uint8] | None
    view: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.points)


def fuse(
    depth: NDArray[np.float32],
    cameras: PinholeCameras,
    *,
    normal: NDArray[np.float32] | None = None,
    rgb: NDArray[np.uint8] | None = None,
    voxel_size: float | None = None,
) -> PointCloud:
    """Unproject and join depth images.

    Args:
        depth: z-depth [N,H,W], 0 where nothing was hit.
        cameras: The N cameras.
        normal: World normals [N,H,W,3].
        rgb: Colours [N,H,W,3].
        voxel_size: Keep one point a voxel of this size (that of the earliest view); all where None.
    """
    measured = np.isfinite(depth) & (depth > 0)
    points = cameras.unproject(depth)[measured].astype(np.float32)
    view = np.nonzero(measured)[0].astype(np.int32)
    cloud = PointCloud(
        points=points,
        normals=None if normal is None else normal[measured],
        colors=None if rgb is None else rgb[measured],
        view=view,
    )
    return cloud if voxel_size is None else one_per_voxel(cloud, voxel_size)


def one_per_voxel(cloud: PointCloud, voxel_size: float) -> PointCloud:
    """Keep the first point of every voxel, in the old order."""
    cells = np.floor(cloud.points / voxel_size).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    kept = np.sort(first)
    return PointCloud(
        points=cloud.points[kept],
        normals=None if cloud.normals is None else cloud.normals[kept],
        colors=None if cloud.colors is None else cloud.colors[kept],
        view=cloud.view[kept],
    )
