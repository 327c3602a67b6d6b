"""Poses of photographs that have none: COLMAP's incremental structure from motion.

The focal prior is sqrt(h² + w²) as in NeRO's script, refined by bundle adjustment; SIMPLE_RADIAL is
fitted and later undistorted for real.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gimbal.experiment.files import ensure_folder, storage_errors
from gimbal_nero.errors import CaptureError
from gimbal_nero.readers.images import image_size

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
    pycolmap.set_random_seed(_SEED)
    try:
        _extract(database, images, files, shared=shared)
        pycolmap.match_exhaustive(database, device=pycolmap.Device.cpu)
        models = pycolmap.incremental_mapping(database, images, work, _mapping_options())
    except (RuntimeError, ValueError) as error:
        raise _no_model(images, str(error)) from error
    if not models:
        raise _no_model(images, "no two of them could be put together")
    best = max(models, key=lambda index: models[index].num_reg_images())
    folder = ensure_folder(work / "model")
    models[best].write(str(folder))
    return folder


def _extract(database: Path, images: Path, files: Sequence[Path], *, shared: bool) -> None:
    """Find features; COLMAP takes one focal prior a call, so there is a call for each shape."""
    import pycolmap

    mode = pycolmap.CameraMode.SINGLE if shared else pycolmap.CameraMode.PER_IMAGE
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_RADIAL"
    for factor, names in by_focal_factor(files, shared=shared).items():
        reader.default_focal_length_factor = factor
        cpu = pycolmap.Device.cpu
        pycolmap.extract_features(database, images, names, mode, reader, device=cpu)


def by_focal_factor(files: Sequence[Path], *, shared: bool) -> dict[float, list[str]]:
    """Return names by sqrt(h² + w²) in COLMAP's unit, the longer side.

    Photographs of a shared lens have the same size, and the first one's serves for all.
    """
    grouped: dict[float, list[str]] = {}
    for path in files[:1] if shared else files:
        height, width = image_size(path)
        factor = math.hypot(height, width) / max(height, width)
        grouped.setdefault(factor, []).append(path.name)
    return {factor: [path.name for path in files] for factor in grouped} if shared else grouped


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
