"""A COLMAP model, text or binary, with or without rigs, with any of its camera models.

pycolmap reads it: the format changed with rigs (COLMAP 3.12), and it knows both.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_nero.errors import CaptureError
from gimbal_nero.readers.images import image_files_below, natural_key
from gimbal_nero.readers.masks import Masks
from gimbal_nero.readers.source import Dropped, Layout, Lens, Photo, Source
from gimbal_vision.poses import invert_pose

Doubles = np.ndarray[Any, np.dtype[np.float64]]

MODEL_FOLDERS = ("sparse/0", "colmap/sparse/0", "sparse", "colmap")
OBJECT_POINTS = "object_point_cloud.ply"
AXES_FILE = "meta_info.txt"
_FILES = ("cameras", "images", "points3D")
_ENDINGS = (".bin", ".txt")
_UNIT_QUATERNION = 1e-3


def holds_model(root: Path) -> bool:
    """Tell whether a capture's folder has any file of a COLMAP model, complete or not."""
    return any(_there(root / name, ending) for name in MODEL_FOLDERS for ending in _ENDINGS)


def colmap_model(root: Path) -> Path | None:
    """Return the folder of a COLMAP model inside a capture's folder, or None.

    Raises:
        CaptureError: The first that is there lacks a file.
    """
    return next((root / name for name in MODEL_FOLDERS if is_model(root / name)), None)


def is_model(folder: Path) -> bool:
    """Tell whether a folder has cameras, images and points of COLMAP.

    Raises:
        CaptureError: It has some of them and not all: a model that was copied by halves must not
            look like none.
    """
    there = {ending: _there(folder, ending) for ending in _ENDINGS}
    if len(_FILES) in map(len, there.values()):
        return True
    if not any(there.values()):
        return False
    ending = max(_ENDINGS, key=lambda each: len(there[each]))
    missing = " and ".join(f"{name}{ending}" for name in _FILES if name not in there[ending])
    raise CaptureError(
        f"{folder} is half a COLMAP model: it lacks {missing}",
        "copy the model anew, whole; or take its files away, to have the poses found",
    )


def _there(folder: Path, ending: str) -> list[str]:
    return [name for name in _FILES if (folder / f"{name}{ending}").is_file()]


def read_colmap(
    root: Path,
    model: Path,
    images: Path,
    masks: Path | None = None,
    layout: Layout = "colmap",
) -> Source:
    """Read posed photographs of a COLMAP model.

    Args:
        root: The capture's folder, where `object_point_cloud.ply` and `meta_info.txt` may be.
        model: Folder of the model's files.
        images: Folder the images' names are relative to.
        masks: Folder of masks, or none.
        layout: `sfm` where Gimbal itself made the model.

    Raises:
        CaptureError: The model is damaged, or names none of the images that are there.
    """
    reconstruction = _load(model)
    files = _photographs(images, {root / "masks", *(() if masks is None else (masks,))})
    found = Masks(folder=masks, bases=(images,), files=files)
    photos, dropped = _photos(reconstruction, images, found, layout)
    named = {image.name for image in reconstruction.images.values()}
    if not photos:
        raise CaptureError(
            f"{model} and {images} disagree: of {len(named)} images in the model, none with a pose "
            "is there",
            "give the folder the model's image names are relative to",
        )
    up, forward = _axes(root / AXES_FILE)
    points = [point.xyz for point in reconstruction.points3D.values()]
    return Source(
        root=root,
        layout=layout,
        photos=tuple(photos),
        dropped=(*dropped, *_unposed(images, files, named, layout)),
        points=np.asarray(points, np.float64).reshape(-1, 3),
        object_points=_object_points(root / OBJECT_POINTS),
        up=up,
        forward=forward,
    )


def _photos(
    reconstruction: Any, images: Path, masks: Masks, layout: Layout
) -> tuple[list[Photo], list[Dropped]]:
    photos, dropped = [], []
    for image in sorted(reconstruction.images.values(), key=lambda i: natural_key(i.name)):
        path = images / image.name
        if not path.is_file():
            dropped.append(Dropped(name=image.name, reason=f"{path} is not there"))
        elif not image.has_pose:
            dropped.append(Dropped(name=image.name, reason=_no_pose(image.name, layout)))
        elif not _is_pose(image):
            reason = "its pose in the COLMAP model is not finite, or no rotation"
            dropped.append(Dropped(name=image.name, reason=reason))
        else:
            photos.append(_photo(reconstruction, image, path, masks))
    return photos, dropped


def _load(model: Path) -> Any:
    import PIL.Image  # noqa: F401  # before pycolmap, else saving a PNG by Pillow aborts
    import pycolmap

    try:
        return pycolmap.Reconstruction(str(model))
    except Exception as error:  # pycolmap raises what its C++ parsers throw
        raise CaptureError(
            f"{model} cannot be read as a COLMAP model: {error}", "copy it anew, or export it again"
        ) from error


def _photo(reconstruction: Any, image: Any, path: Path, masks: Masks) -> Photo:
    camera = reconstruction.cameras[image.camera_id]
    world2cam = np.vstack([image.cam_from_world().matrix(), [0.0, 0.0, 0.0, 1.0]])
    return Photo(
        name=image.name,
        path=path,
        lens=Lens(
            model=camera.model_name,
            params=tuple(float(p) for p in camera.params),
            height=int(camera.height),
            width=int(camera.width),
        ),
        cam2source=invert_pose(world2cam),
        mask_path=masks.of(path),
        points_seen=int(image.num_points3D),
        reprojection_px=_reprojection_px(reconstruction, image),
    )


def _is_pose(image: Any) -> bool:
    pose = image.cam_from_world()
    length = float(np.linalg.norm(pose.rotation.quat))
    return bool(abs(length - 1.0) < _UNIT_QUATERNION and np.isfinite(pose.matrix()).all())


def _reprojection_px(reconstruction: Any, image: Any) -> float | None:
    """Return the mean distance of seen points from where the model puts them, None without any."""
    observed = image.get_observation_points2D()
    if not observed:
        return None
    camera = reconstruction.cameras[image.camera_id]
    seen = np.array([reconstruction.points3D[p.point3D_id].xyz for p in observed])
    in_camera = image.cam_from_world() * seen
    in_front = in_camera[:, 2] > 0
    if not in_front.any():
        return float("inf")
    projected = np.asarray(camera.img_from_cam(in_camera[in_front]))
    measured = np.array([p.xy for p in observed])[in_front]
    return float(np.linalg.norm(projected - measured, axis=-1).mean())


def _photographs(images: Path, masks: Set[Path]) -> tuple[Path, ...]:
    """Return the images below a folder but those of masks, which may lie among them."""
    among = [folder for folder in masks if folder != images and folder.is_relative_to(images)]
    files = image_files_below(images)
    return tuple(file for file in files if not any(map(file.is_relative_to, among)))


def _unposed(images: Path, files: Sequence[Path], named: Set[str], layout: Layout) -> list[Dropped]:
    names = (path.relative_to(images).as_posix() for path in files)
    return [Dropped(name=n, reason=_no_pose(n, layout)) for n in names if n not in named]


def _no_pose(name: str, layout: Layout) -> str:
    """Return why a photograph that is there has no pose; without a model, who made one?"""
    if layout != "sfm":
        return "the COLMAP model has no pose for it"
    if "/" in name:
        return "structure from motion takes photographs of one folder, and it lies in another"
    return "structure from motion did not place it"


def _object_points(path: Path) -> Doubles | None:
    """Return [M, 3] of the points a person cropped, or None."""
    if not path.is_file():
        return None
    import trimesh

    try:
        loaded: Any = trimesh.load(path)
        points = np.asarray(loaded.vertices, np.float64)
    except (ValueError, AttributeError, KeyError, IndexError, TypeError) as error:
        raise CaptureError(f"{path} is no point cloud: {error}", "export it again") from error
    if len(points) < 2 or not np.isfinite(points).all():
        raise CaptureError(
            f"{path} has {len(points)} usable points", "crop the object's points again"
        )
    return points


def _axes(path: Path) -> tuple[Doubles | None, Doubles | None]:
    """Return up and forward of `meta_info.txt`: two rows of three numbers."""
    if not path.is_file():
        return None, None
    try:
        rows = np.loadtxt(path, dtype=np.float64)
    except ValueError as error:
        raise CaptureError(f"{path} is no table of numbers: {error}", "write two rows") from error
    if rows.shape != (2, 3) or not np.isfinite(rows).all():
        raise CaptureError(
            f"{path} has the shape {rows.shape}", "write two rows of three numbers: up and forward"
        )
    return rows[0], rows[1]
