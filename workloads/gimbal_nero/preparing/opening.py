"""Find out how a folder is laid out and read it; bare photographs get poses by SfM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.settings import PrepareSettings
from gimbal_nero.readers.colmap import colmap_model, is_model, read_colmap
from gimbal_nero.readers.glossy_synthetic import is_glossy_synthetic, read_glossy_synthetic
from gimbal_nero.readers.images import image_files, images_folder
from gimbal_nero.readers.masks import Masks
from gimbal_nero.readers.source import Source
from gimbal_nero.readers.transforms import read_transforms, transforms_files


def open_source(root: Path, settings: PrepareSettings, work: Path) -> Source:
    """Read what a folder holds.

    Args:
        root: Folder of photographs.
        settings: Where masks and the COLMAP model are.
        work: Folder for structure from motion, where the photographs have no poses.

    Raises:
        CaptureError: It holds no photographs, or something in it is damaged.
    """
    if not root.is_dir():
        raise CaptureError(f"{root} is no folder", "name the folder of the photographs")
    masks = _masks_folder(root, settings)
    source = _read(root, masks, settings, work)
    if settings.masks_dir is not None:
        _require_masks(masks, {photo.name: photo.mask_path for photo in source.photos})
    return source


def _read(root: Path, masks: Path | None, settings: PrepareSettings, work: Path) -> Source:
    if settings.colmap_dir is not None:
        model = root / settings.colmap_dir
        if not is_model(model):
            raise CaptureError(
                f"{model} has no COLMAP model", "name the folder of cameras, images and points3D"
            )
        return read_colmap(root, model, images_folder(root), masks)
    if is_glossy_synthetic(root):
        return read_glossy_synthetic(root, masks)
    if transforms_files(root):
        return read_transforms(root, masks, own_masks=settings.masks != "none")
    found = colmap_model(root)
    if found is not None:
        return read_colmap(root, found, images_folder(root), masks)
    return _from_photographs(root, masks, settings, work)


def _require_masks(folder: Path | None, found: Mapping[str, Path | None]) -> None:
    """Refuse a folder that was named for masks and has none of any photograph.

    Raises:
        CaptureError: No file in it is named as a photograph.
    """
    if folder is None or not found or any(found.values()):
        return
    name = next(iter(found))
    raise CaptureError(
        f"{folder}: no mask in it is named as one of the {len(found)} photographs",
        f"call the mask of {name} {Path(name).with_suffix('.png')}, or leave masks_dir out",
    )


def _masks_folder(root: Path, settings: PrepareSettings) -> Path | None:
    if settings.masks == "none":
        return None
    if settings.masks_dir is None:
        return root / "masks" if (root / "masks").is_dir() else None
    folder = root / settings.masks_dir
    if not folder.is_dir():
        raise CaptureError(f"{folder} is no folder of masks", "name it, or leave masks_dir out")
    return folder


def _from_photographs(
    root: Path, masks: Path | None, settings: PrepareSettings, work: Path
) -> Source:
    from gimbal_nero.preparing.sfm import structure_from_motion

    images = images_folder(root)
    found = image_files(images)
    if len(found) < settings.min_views:
        raise CaptureError(
            f"{root} has no poses and {len(found)} photographs; {settings.min_views} are needed",
            "give <k>-camera.pkl, transforms.json, sparse/0 or more photographs",
        )
    if settings.masks_dir is not None:
        by_name = Masks(folder=masks, bases=(images,), files=found)
        _require_masks(masks, {path.name: by_name.of(path) for path in found})
    model = structure_from_motion(images, found, work, shared=settings.sfm_shared_camera)
    return read_colmap(root, model, images, masks, layout="sfm")
