"""Camera axes of other libraries.

Ours is OpenCV: x right, y down, z forward, column vectors, `cam2world`. OpenGL (Blender, glTF):
x right, y up, z backward. PyTorch3D: x left, y up, z forward and row vectors,
`x_cam = x_world @ R + T`. Numpy and torch alike, batched over leading axes.
"""

from __future__ import annotations

from typing import Any

from gimbal_vision._arrays import Array, like, transpose
from gimbal_vision.poses import make_pose


def opencv_to_opengl(cam2world: Array) -> Array:
    """Return the pose of the same camera with OpenGL axes, [..., 4, 4]."""
    flip: Any = like([1.0, -1.0, -1.0, 1.0], cam2world)
    result: Array = cam2world * flip
    return result


def opengl_to_opencv(cam2world: Array) -> Array:
    """Return the pose of the same camera with OpenCV axes, [..., 4, 4]."""
    return opencv_to_opengl(cam2world)


def opencv_to_pytorch3d(cam2world: Array) -> tuple[Array, Array]:
    """Return PyTorch3D's R [..., 3, 3] and T [..., 3] of the same camera.

    With `in_ndc=False`, focal length (fx, fy), principal point (cx, cy) and image size (H, W) then
    go in unchanged: PyTorch3D's pixel centres are at +.5 as well.
    """
    flip: Any = like([-1.0, -1.0, 1.0], cam2world)
    R: Any = cam2world[..., :3, :3] * flip
    T: Any = -(cam2world[..., None, :3, 3] @ R)[..., 0, :]
    return R, T


def pytorch3d_to_opencv(R: Array, T: Array) -> Array:
    """Return cam2world [..., 4, 4] of PyTorch3D's R [..., 3, 3] and T [..., 3]."""
    flip: Any = like([-1.0, -1.0, 1.0], R)
    centre: Any = -(T[..., None, :] @ transpose(R))[..., 0, :]
    result: Array = make_pose(R * flip, centre)
    return result
