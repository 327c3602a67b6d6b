"""The mesh of a trained shape."""

from __future__ import annotations

import numpy as np
import torch

from gimbal_nero.learning.loading import LoadedShape
from gimbal_nero.meshing.marching import Doubles, Progress, extract
from gimbal_nero.meshing.pieces import largest_piece, piece_of_faces
from gimbal_nero.meshing.settings import MeshSettings
from gimbal_vision.meshes import Mesh


def mesh_of(shape: LoadedShape, settings: MeshSettings, progress: Progress) -> tuple[Mesh, int]:
    """Return the mesh in the unit frame, and of how many pieces the surface was.

    Args:
        shape: A trained shape.
        settings: How finely.
        progress: Told of blocks.

    Raises:
        ShapeError: It has no surface, or is not finite.
    """
    like = next(shape.module.parameters())

    def distance(points: Doubles) -> Doubles:
        with torch.no_grad():
            asked = torch.as_tensor(points).to(like)
            return np.asarray(shape.fields.sdf(shape.module, asked).cpu().numpy(), np.float64)

    mesh = extract(distance, settings, progress)
    pieces = int(piece_of_faces(mesh).max()) + 1
    return (largest_piece(mesh) if settings.largest_component and pieces > 1 else mesh), pieces
