"""What shading reads of a mesh: one small row per face, made once per call.

The barycentric coordinates of a point x on a face are affine in x. Their gradients are tabulated,
so that colouring a pixel takes one or two cache lines instead of a walk through faces, vertices
and colours.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering import parallel
from gimbal_vision.rendering.base import Array, Output, frozen
from gimbal_vision.rendering.jit import kernel


class Surface(NamedTuple):
    """Tables of a mesh; those that are not needed have size 0.

    Attributes:
        origin: [3] float64 point that `frames` are relative to.
        normals: [F, 3] float32 unit normals of the faces' winding, 0 for faces without area.
        frames: [F, 8] float32: gradient and offset of the second and third barycentric coordinate.
        corners: [F, 3, C] float32 at the faces' corners: RGB (C = 3) or texture coordinates (2).
        texture: [H, W, 3] uint8.
    """

    origin: Array
    normals: Array
    frames: Array
    corners: Array
    texture: Array


def surface_of(mesh: Mesh, outputs: tuple[Output, ...], threads: int = 1) -> Surface:
    """Tabulate what `outputs` need of a mesh: its texture, else its vertex colours."""
    coloured = "rgb" in outputs
    count = len(mesh.faces) if coloured or "normal" in outputs else 0
    corners = np.empty((0, 3, 0), np.float32)
    texture = np.empty((0, 0, 3), np.uint8)
    colors = np.empty((0, 3), np.uint8)
    if coloured and mesh.uv is not None and mesh.texture is not None and mesh.texture.size:
        corners = np.array(mesh.uv, np.float32)
        texture = np.asarray(mesh.texture, np.uint8)
    elif coloured and mesh.vertex_colors is not None:
        corners = np.empty((count, 3, 3), np.float32)
        colors = np.asarray(mesh.vertex_colors, np.uint8)
    surface = Surface(
        origin=mesh.vertices.mean(axis=0) if count else np.zeros(3),
        normals=np.empty((count, 3), np.float32),
        frames=np.empty((len(corners), 8), np.float32),
        corners=corners,
        texture=frozen(texture, np.uint8),
    )
    vertices, faces = frozen(mesh.vertices, np.float64), frozen(mesh.faces, np.int32)
    colors = frozen(colors, np.uint8)
    edges = [count * t // threads for t in range(threads + 1)]

    def tabulate(span: tuple[int, int], _: None) -> None:
        _tabulate(vertices, faces, colors, span, surface)

    if count:
        parallel.run(list(itertools.pairwise(edges)), tabulate, lambda: None, threads)
    return surface


@kernel(fastmath=True)
def _tabulate(
    vertices: Array, faces: Array, colors: Array, span: tuple[int, int], surface: Surface
) -> None:
    for f in range(span[0], span[1]):
        i, j, k = np.uint64(faces[f, 0]), np.uint64(faces[f, 1]), np.uint64(faces[f, 2])
        ax, ay, az = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        ux, uy, uz = vertices[j, 0] - ax, vertices[j, 1] - ay, vertices[j, 2] - az
        vx, vy, vz = vertices[k, 0] - ax, vertices[k, 1] - ay, vertices[k, 2] - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        square = nx * nx + ny * ny + nz * nz
        scale = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
        normal = surface.normals[f]
        normal[0], normal[1], normal[2] = nx * scale, ny * scale, nz * scale
        if len(surface.frames) == 0:
            continue
        s = scale * scale
        gx, gy, gz = s * (vy * nz - vz * ny), s * (vz * nx - vx * nz), s * (vx * ny - vy * nx)
        hx, hy, hz = s * (ny * uz - nz * uy), s * (nz * ux - nx * uz), s * (nx * uy - ny * ux)
        ox, oy, oz = ax - surface.origin[0], ay - surface.origin[1], az - surface.origin[2]
        frame = surface.frames[f]
        frame[0], frame[1], frame[2] = gx, gy, gz
        frame[3] = -(gx * ox + gy * oy + gz * oz)
        frame[4], frame[5], frame[6] = hx, hy, hz
        frame[7] = -(hx * ox + hy * oy + hz * oz)
        if len(colors):
            for c in range(3):
                surface.corners[f, 0, c] = colors[i, c]
                surface.corners[f, 1, c] = colors[j, c]
                surface.corners[f, 2, c] = colors[k, c]
