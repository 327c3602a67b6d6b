"""A folder of photographs becomes a capture on disk.

The order matters: views are dropped before anything is decoded, photographs are developed one by
one, and the unit sphere is found last, since masks may decide it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gimbal.experiment.files import ensure_folder
from gimbal_nero.capture import Capture, View
from gimbal_nero.errors import CaptureError
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.preparing.axes import normalisation_to, up_direction
from gimbal_nero.preparing.bounding import (
    Ball,
    Posed,
    ball_of_frusta,
    ball_of_masks,
    ball_of_points,
    ball_of_sparse_points,
)
from gimbal_nero.preparing.cropping import cropped_to_sphere
from gimbal_nero.preparing.developing import Developed, develop
from gimbal_nero.preparing.dropping import drop_bad
from gimbal_nero.preparing.opening import open_source
from gimbal_nero.preparing.prepared import is_prepared, pass_on
from gimbal_nero.preparing.report import PrepareReport, capture_metrics
from gimbal_nero.preparing.settings import Bound, PrepareSettings
from gimbal_nero.preparing.splitting import split_views
from gimbal_nero.readers.source import Dropped, Photo, Source

_WORK = "sfm"
Progress = Callable[[int, int, str], None]


def prepare(
    root: Path, settings: PrepareSettings, out_dir: Path, progress: Progress
) -> PrepareReport:
    """Read photographs, find or check their poses, and write a capture.

    Args:
        root: Folder of photographs: GlossySynthetic, transforms.json, COLMAP or bare; or a
            capture, which is passed on.
        settings: How.
        out_dir: Where `capture.json` and `prepare.json` go.
        progress: Called for every photograph.

    Raises:
        CaptureError: The photographs, poses or masks cannot be learnt from.
        StorageError: Something cannot be read or written.
    """
    ensure_folder(out_dir)
    if is_prepared(root):
        report = pass_on(root, settings, progress)
    else:
        source = open_source(root, settings, out_dir / _WORK)
        report = _made_of(source, settings, progress)
    report.save(out_dir)
    return report


def _made_of(source: Source, settings: PrepareSettings, progress: Progress) -> PrepareReport:
    photos, dropped = drop_bad(source, settings)
    developed = _develop_all(photos, source, settings, progress)
    posed = [
        Posed(camera=picture.camera, cam2source=photo.cam2source, mask=picture.mask)
        for photo, picture in zip(photos, developed, strict=True)
    ]
    bound, place = _normalisation(source, posed, settings)
    views = [_view(*both, place) for both in zip(photos, developed, strict=True)]
    if settings.crop_to_sphere:
        views = [cropped_to_sphere(view) for view in views]
    capture = _capture(source, views, place, settings, dropped)
    return PrepareReport(
        capture=capture,
        dropped=tuple(dropped),
        bound=bound,
        layout=source.layout,
        metrics=capture_metrics(capture, dropped, _mean_reprojection_px(photos)),
    )


def _mean_reprojection_px(photos: Sequence[Photo]) -> float | None:
    errors = [photo.reprojection_px for photo in photos if photo.reprojection_px is not None]
    return float(np.mean(errors)) if errors else None


def _view(photo: Photo, picture: Developed, place: Normalisation) -> View:
    return View(
        name=photo.name,
        image=picture.image,
        camera=picture.camera,
        cam2world=place.poses(photo.cam2source),
        mask=picture.mask,
    )


def _develop_all(
    photos: Sequence[Photo], source: Source, settings: PrepareSettings, progress: Progress
) -> list[Developed]:
    developed = []
    for index, photo in enumerate(photos):
        progress(index, len(photos), photo.name)
        developed.append(develop(photo, settings, source.layout))
    progress(len(photos), len(photos), "all photographs read")
    sizes = {picture.source_size for picture in developed}
    if source.layout == "glossy_synthetic" and len(sizes) > 1:
        raise CaptureError(
            f"{source.root}: images of mixed sizes (height, width): {sorted(sizes)}",
            "render all views in one size; its cameras do not say which one they are for",
        )
    return developed


def _normalisation(
    source: Source, posed: Sequence[Posed], settings: PrepareSettings
) -> tuple[Bound, Normalisation]:
    bound = settings.bound
    if bound == "auto":
        bound = _best_bound(source, posed)
    poses = np.stack([view.cam2source for view in posed])
    up = up_direction(settings.up, source.up, poses)
    if bound == "none":
        unit = Ball(centre=np.zeros(3), radius=1.0)
        return bound, normalisation_to(unit, 1.0, up, source.forward)
    ball = _ball(bound, source, posed)
    return bound, normalisation_to(ball, settings.radius, up, source.forward)


def _best_bound(source: Source, posed: Sequence[Posed]) -> Bound:
    if source.layout == "glossy_synthetic":
        return "none"
    if source.object_points is not None:
        return "points"
    return "masks" if all(view.mask is not None for view in posed) else "frusta"


def _ball(bound: Bound, source: Source, posed: Sequence[Posed]) -> Ball:
    if bound == "masks":
        if all(view.mask is None for view in posed):
            raise CaptureError("bound: masks, but there are none", "give masks, or bound: frusta")
        return ball_of_masks(posed)
    if bound == "points" and source.object_points is not None:
        return ball_of_points(source.object_points)
    if bound == "points":
        return ball_of_sparse_points(source.points, posed)
    return ball_of_frusta(posed)


def _capture(
    source: Source,
    views: Sequence[View],
    place: Normalisation,
    settings: PrepareSettings,
    dropped: Sequence[Dropped],
) -> Capture:
    return Capture(
        views=tuple(views),
        splits=split_views(
            [view.name for view in views],
            settings.splits,
            source.splits,
            [view.name for view in dropped],
        ),
        normalisation=place,
        points=place.points(source.points).astype(np.float32),
        source=f"{source.layout}: {source.root.name}",
    )
