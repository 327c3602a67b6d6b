"""Coloured point clouds as files that MeshLab, CloudCompare and Open3D open."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike


def ply_bytes(points: ArrayLike, colors: ArrayLike | None) -> bytes:
    """Return a binary PLY file.

    Args:
        points: [N, 3] in any unit; the file says none.
        colors: [N, 3] uint8 RGB; none: the file holds points alone.
    """
    import trimesh

    cloud: Any = trimesh.PointCloud
    written: bytes = cloud(points, colors=colors).export(file_type="ply")
    return written
