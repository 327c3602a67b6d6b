"""Ground truth that lies beside photographs: a mesh, or depth images.

A mesh (`truth/mesh.ply`, in the frame of the photographs' poses) is what `gimbal nero synthesize`
leaves; depth images (`<k>-depth.png`) are what GlossySynthetic has. Nothing but judging reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_nero.capture import Capture, View
from gimbal_nero.errors import ShapeError
from gimbal_nero.judging.truth_files import DEPTH_ENDING, TRUTH_MESH
from gimbal_nero.normalisation import Normalisation
from gimbal_vision.meshes import Mesh, load_mesh

Doubles = np.ndarray[Any, np.dtype[np.float64]]

DEPTH_RANGE = 15.0
_FURTHEST = 14.5
PUBLISHED_VIEWS = 128
PUBLISHED_TEST = (
    0, 4, 19, 2, 127, 71, 73, 56, 75, 95, 93, 110, 91, 7, 5, 3, 68, 30, 66, 113, 111, 33, 120, 31,
    29, 14, 49, 11, 109, 61, 59, 57,
)  # fmt: skip
"""Views of GlossySynthetic that Chamfer distances are published on."""


def true_mesh(root: Path, normalisation: Normalisation) -> Mesh | None:
    """Return the true mesh in the unit frame; None where there is none.

    Raises:
        MeshError: It is damaged.
    """
    path = root / TRUTH_MESH
    if not path.is_file():
        return None
    mesh = load_mesh(path)
    return Mesh(vertices=normalisation.points(mesh.vertices), faces=mesh.faces)


def judged_views(capture: Capture) -> tuple[View, ...]:
    """Return the views from which shapes are compared: the published ones, else all."""
    by_name = {view.name: view for view in capture.views}
    wanted = [str(number) for number in PUBLISHED_TEST]
    if len(by_name) == PUBLISHED_VIEWS and all(name in by_name for name in wanted):
        return tuple(by_name[name] for name in wanted)
    return capture.views


def has_depth_images(root: Path, views: Sequence[View]) -> bool:
    """Tell whether every view has a depth image."""
    return all((root / f"{view.name}{DEPTH_ENDING}").is_file() for view in views)


def true_depth(root: Path, view: View, normalisation: Normalisation) -> Doubles:
    """Return [H, W] depth along the optical axis in unit lengths, inf where nothing is.

    Raises:
        ShapeError: The image is damaged, or not of the photograph's size.
    """
    import cv2

    path = root / f"{view.name}{DEPTH_ENDING}"
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        raise ShapeError(
            f"{path} is no 16-bit grey image, which depth is", "restore the file from its source"
        )
    shape = (view.camera.height, view.camera.width)
    if image.shape != shape:
        raise ShapeError(
            f"{path} is {image.shape[1]} x {image.shape[0]}, and the prepared photograph "
            f"{shape[1]} x {shape[0]}",
            "leave prepare.max_side and prepare.crop_to_sphere out where depth images are judged",
        )
    depth = image.astype(np.float64) / 65535.0 * DEPTH_RANGE
    return np.where(depth < _FURTHEST, depth * normalisation.scale, np.inf)
