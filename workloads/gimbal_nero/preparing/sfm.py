"""Poses of photographs that have none: COLMAP's incremental structure from motion.

The focal prior is sqrt(h² + w²) as in NeRO's script, refined by bundle adjustment; SIMPLE_RADIAL is
fitted and later undistorted for real.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gimbal.experiment.files import ensure_folder, storage_errors
from gimbal_nero.errors import CaptureError

_FOCAL_FACTOR = 1.2
"""COLMAP's unit is the longer side; √2 for a square image, 1.2 for one of 3 : 2."""
_SEED = 6033


def structure_from_motion(
    images: Path, files: Sequence[Path], work: Path, *, shared: bool = True
) -> Path:
    """Return the folder of the largest COLMAP model of the photographs.

    Args:
        images: Folder of the photographs.
        files: Those to use.
        work: Where database and models go; emptied first.
        shared: All photographs have the same lens.

    Raises:
        CaptureError: The photographs cannot be put together.
    """
    import PIL.Image  # noqa: F401  # before pycolmap, else saving a PNG by Pillow aborts
    import pycolmap

    with storage_errors(work, "empty"):
        shutil.rmtree(work, ignore_errors=True)
    ensure_folder(work)
    database = work / "database.db"
    mode = pycolmap.CameraMode.SINGLE if shared else pycolmap.CameraMode.PER_IMAGE
    pycolmap.set_random_seed(_SEED)
    try:
        _match(database, images, [path.name for path in files], mode)
        models = pycolmap.incremental_mapping(database, images, work, _mapping_options())
    except (RuntimeError, ValueError) as error:
        raise _no_model(images, str(error)) from error
    if not models:
        raise _no_model(images, "no two of them could be put together")
    best = max(models, key=lambda index: models[index].num_reg_images())
    folder = ensure_folder(work / "model")
    models[best].write(str(folder))
    return folder


def _match(database: Path, images: Path, names: list[str], mode: Any) -> None:
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_RADIAL"
    reader.default_focal_length_factor = _FOCAL_FACTOR
    cpu = pycolmap.Device.cpu
    pycolmap.extract_features(database, images, names, mode, reader, device=cpu)
    pycolmap.match_exhaustive(database, device=cpu)


def _mapping_options() -> Any:
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = 3
    return options


def _no_model(images: Path, why: str) -> CaptureError:
    return CaptureError(
        f"{images}: structure from motion found no poses: {why}",
        "take more photographs that overlap, of a textured surrounding, or give poses",
    )
