"""Mesh renderers behind one protocol: depth, normals, mask, face ids and colour.

Backends are imported when they are first asked for, so that importing this package costs neither
numba nor torch.
"""

from gimbal_vision.rendering.base import OUTPUTS, Output, Renderer, Rendering, Shading
from gimbal_vision.rendering.selection import BACKENDS, Backend, Choice, auto, choose, get

__all__ = [
    "BACKENDS",
    "OUTPUTS",
    "Backend",
    "Choice",
    "Output",
    "Renderer",
    "Rendering",
    "Shading",
    "auto",
    "choose",
    "get",
]
