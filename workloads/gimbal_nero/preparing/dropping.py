"""Leave out views that would spoil a reconstruction, each with the reason in words."""

from __future__ import annotations

from collections.abc import Sequence

from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.settings import PrepareSettings
from gimbal_nero.readers.source import Dropped, Photo, Source


def drop_bad(source: Source, settings: PrepareSettings) -> tuple[list[Photo], list[Dropped]]:
    """Return the photographs to use, and everything that is left out.

    Args:
        source: What a reader found.
        settings: The limits.

    Raises:
        CaptureError: Too few are left; the message counts the reasons.
    """
    kept, dropped = [], list(source.dropped)
    for photo in source.photos:
        reason = _reason(photo, settings, has_points=len(source.points) > 0)
        if reason is None:
            kept.append(photo)
        else:
            dropped.append(Dropped(name=photo.name, reason=reason))
    if len(kept) < settings.min_views:
        raise CaptureError(
            f"{source.root}: {len(kept)} usable views, {settings.min_views} are needed"
            + _listed(dropped),
            "give more photographs with poses, or lower min_views",
        )
    return kept, dropped


def _reason(photo: Photo, settings: PrepareSettings, *, has_points: bool) -> str | None:
    seen, error = photo.points_seen, photo.reprojection_px
    if has_points and seen is not None and seen < settings.min_points:
        return f"it sees {seen} sparse points, fewer than {settings.min_points}"
    if error is not None and error > settings.max_reprojection_px:
        return (
            f"its points are {error:.2f} pixels off on average, more than "
            f"{settings.max_reprojection_px:g}"
        )
    return None


def _listed(dropped: Sequence[Dropped]) -> str:
    if not dropped:
        return ""
    first = "; ".join(f"{view.name}: {view.reason}" for view in dropped[:3])
    more = f" and {len(dropped) - 3} more" if len(dropped) > 3 else ""
    return f" ({len(dropped)} left out: {first}{more})"
