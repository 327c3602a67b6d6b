"""The reconstructions that a policy's views give, as PLY files anyone can open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes

if TYPE_CHECKING:
    from gimbal_nbv.protocol import SphereProtocol

_VOXEL = 0.004
"""Points closer than this share of a diagonal are one point: finer than a 96-pixel image sees."""


def write_cloud(
    path: Path, images: Mapping[str, Any], chosen: list[int], protocol: SphereProtocol
) -> Path:
    """Fuse the depths of the chosen views and write the points, coloured where there is colour.

    Args:
        path: The PLY file.
        images: Row of stage `views`.
        chosen: Candidate numbers of the views taken.
        protocol: Where the candidates' cameras stand.

    Raises:
        StorageError: The file cannot be written.
    """
    import trimesh

    from gimbal_nbv.fusion import fuse

    cameras = protocol.cameras[chosen]
    rgb = np.asarray(images["rgb"])[chosen] if "rgb" in images else None
    cloud = fuse(np.asarray(images["depth"])[chosen], cameras, rgb=rgb, voxel_size=_VOXEL)
    points: Any = trimesh.PointCloud
    written: bytes = points(cloud.points, colors=cloud.colors).export(file_type="ply")
    return atomic_write_bytes(path, written)
