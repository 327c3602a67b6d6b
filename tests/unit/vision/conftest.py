"""Small meshes the vision tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gimbal_vision.meshes import Mesh


@pytest.fixture
def shared_data() -> Path:
    """The folder of real inputs beside the checkout; tests that want it are skipped without."""
    folder = Path(__file__).parents[4] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared data beside this checkout")
    return folder


@pytest.fixture
def tetrahedron() -> Mesh:
    """A closed corner of a cube: volume 1/6, faces outwards."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float64)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    return Mesh(vertices, faces)
