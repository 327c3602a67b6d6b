"""The layout of NeRO's GlossySynthetic: `<k>.png` and `<k>-camera.pkl`, world y-up, unit sphere.

The depth images beside them are ground truth and are not read here. The object is inside the unit
sphere already, so only the axes are turned; a folder written without normalisation is found by the
object-in-sphere check, not mended silently.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gimbal_nero.errors import CaptureError
from gimbal_nero.readers.images import image_files, natural_key
from gimbal_nero.readers.masks import Masks
from gimbal_nero.readers.pickles import load_arrays
from gimbal_nero.readers.source import Dropped, Lens, Photo, Source
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.errors import CameraError
from gimbal_vision.poses import invert_pose, is_rigid

Doubles = np.ndarray[Any, np.dtype[np.float64]]
CAMERA_ENDING = "-camera.pkl"


def is_glossy_synthetic(root: Path) -> bool:
    """Tell whether a folder has GlossySynthetic cameras."""
    return next(root.glob(f"*{CAMERA_ENDING}"), None) is not None


def read_glossy_synthetic(root: Path, masks: Path | None = None) -> Source:
    """Read a GlossySynthetic folder.

    Args:
        root: Folder of `<k>.png` and `<k>-camera.pkl`.
        masks: Folder of masks, or none.

    Raises:
        CaptureError: A camera's pickle is damaged or no (pose, K).
    """
    names = sorted(
        (path.name.removesuffix(CAMERA_ENDING) for path in root.glob(f"*{CAMERA_ENDING}")),
        key=natural_key,
    )
    found = Masks(folder=masks, bases=(root,), files=image_files(root))
    photos, dropped = [], []
    for name in names:
        path = root / f"{name}.png"
        cam2source, lens = _read_camera(root / f"{name}{CAMERA_ENDING}")
        if not path.is_file():
            dropped.append(Dropped(name=name, reason=f"there is no {path.name}"))
            continue
        mask = found.of(path)
        photos.append(Photo(name=name, path=path, lens=lens, cam2source=cam2source, mask_path=mask))
    return Source(
        root=root,
        layout="glossy_synthetic",
        photos=tuple(photos),
        dropped=(*dropped, *_without_pose(root, set(names))),
        up=np.array([0.0, 1.0, 0.0]),
    )


def _without_pose(root: Path, names: set[str]) -> list[Dropped]:
    stems = [p.stem for p in image_files(root) if not p.stem.endswith("-depth")]
    return [
        Dropped(name=stem, reason=f"there is no {stem}{CAMERA_ENDING}")
        for stem in stems
        if stem not in names
    ]


def _read_camera(path: Path) -> tuple[Doubles, Lens]:
    """Return cam2source [4, 4] and the lens of a pickle of (world2cam [3, 4], K [3, 3])."""
    content = load_arrays(path)
    try:
        pose, K = (np.asarray(item, np.float64) for item in content)
        world2cam = np.vstack([pose[:3], [0.0, 0.0, 0.0, 1.0]])
        camera = Pinhole.from_matrix(K, 1, 1)
        rigid = world2cam.shape == (4, 4) and is_rigid(world2cam)
    except (TypeError, ValueError, IndexError, CameraError) as error:
        raise _no_camera(path, str(error)) from error
    if not rigid:
        raise _no_camera(path, "the pose is no rotation and shift")
    params = (camera.fx, camera.fy, camera.cx, camera.cy)
    return invert_pose(world2cam), Lens(model="PINHOLE", params=params)


def _no_camera(path: Path, why: str) -> CaptureError:
    return CaptureError(
        f"{path} holds no camera: {why}",
        "give a pickle of (pose [3, 4] world to camera in OpenCV axes, K [3, 3] without skew)",
    )
