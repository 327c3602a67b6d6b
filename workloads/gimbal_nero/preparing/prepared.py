"""Pass on a capture that was prepared before, so that `gimbal nero prepare` serves many runs.

Its pixels and its unit frame are never changed here: a setting that asks for other ones is refused
by name, because the photographs, of which better ones could be made, may be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gimbal.experiment.files import read_json
from gimbal_nero.capture import Capture
from gimbal_nero.capture_files import CAPTURE_FILE, load_capture
from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.cropping import cropped_to_sphere
from gimbal_nero.preparing.report import REPORT_FILE, PrepareReport, capture_metrics
from gimbal_nero.preparing.settings import PrepareSettings, SplitSettings
from gimbal_nero.preparing.splitting import split_views
from gimbal_nero.readers.source import Dropped

_CHANGES_NOTHING: dict[str, tuple[Any, ...]] = {
    "masks": ("auto", "none"),
    "background": ("auto", "keep"),
    "up": ("auto", "z", "+z"),
    "bound": ("auto", "none"),
}
"""Values that a capture fits already; `masks: none` only takes its masks away."""
_LOOKED_AT = ("max_side", "crop_to_sphere", "min_views", "splits")
"""Settings that are obeyed, or compared with the capture itself."""


def is_prepared(root: Path) -> bool:
    """Tell whether a folder is a capture that `prepare` wrote."""
    return (root / CAPTURE_FILE).is_file()


def pass_on(
    root: Path, settings: PrepareSettings, progress: Callable[[int, int, str], None]
) -> PrepareReport:
    """Read a prepared capture and measure it.

    Args:
        root: What `prepare` wrote.
        settings: `splits`, `min_views` and `masks: none` are obeyed.
        progress: Called before and after reading.

    Raises:
        CaptureError: It is damaged, has too few views, or a setting would change it.
        StorageError: A file of it is missing or cannot be read.
    """
    progress(0, 1, f"{root.name} is prepared")
    capture = load_capture(root)
    for problem in _changes(capture, settings):
        raise CaptureError(
            f"{root} is a prepared capture, which {problem} would change",
            "drop the setting, or prepare the photographs anew with it",
        )
    if len(capture.views) < settings.min_views:
        raise CaptureError(
            f"{root} has {len(capture.views)} views, {settings.min_views} are needed",
            "prepare more photographs, or lower min_views",
        )
    record = _record(root)
    dropped = tuple(Dropped(**view) for view in record["dropped"])
    capture = _without_masks(_split_anew(capture, settings.splits, dropped), settings)
    progress(1, 1, "the capture is passed on")
    return PrepareReport(
        capture=capture,
        dropped=dropped,
        bound=record["bound"],
        layout=record["layout"],
        metrics=capture_metrics(capture, dropped, record["reprojection_px"]),
    )


def _changes(capture: Capture, settings: PrepareSettings) -> Iterator[str]:
    """Yield the settings that ask for another capture than this one."""
    for name, value in settings:
        default = type(settings).model_fields[name].get_default(call_default_factory=True)
        fitting = _CHANGES_NOTHING.get(name, (default,))
        if name not in _LOOKED_AT and value not in fitting:
            yield f"{name}: {value}"
    longest = max(max(view.image.shape[:2]) for view in capture.views)
    if settings.max_side is not None and settings.max_side < longest:
        yield f"max_side: {settings.max_side} (its images have up to {longest} pixels)"
    if settings.crop_to_sphere and any(
        cropped_to_sphere(view).image.shape != view.image.shape for view in capture.views
    ):
        yield "crop_to_sphere: true"


def _without_masks(capture: Capture, settings: PrepareSettings) -> Capture:
    if settings.masks != "none":
        return capture
    return replace(capture, views=tuple(replace(view, mask=None) for view in capture.views))


def _split_anew(capture: Capture, settings: SplitSettings, dropped: Sequence[Dropped]) -> Capture:
    """Return the capture with the splits asked for; with its own where nothing is."""
    if settings == SplitSettings():
        return capture
    names = [view.name for view in capture.views]
    left_out = [view.name for view in dropped]
    return replace(capture, splits=split_views(names, settings, dropped=left_out))


def _record(root: Path) -> dict[str, Any]:
    """Return what `prepare.json` says of where the capture came from."""
    path = root / REPORT_FILE
    remedy = "prepare the capture again"
    if not path.is_file():
        return {"dropped": [], "bound": "none", "layout": "capture", "reprojection_px": None}
    try:
        written = read_json(path, remedy=remedy)
        return {
            "dropped": [
                {key: str(view[key]) for key in ("name", "reason")} for view in written["dropped"]
            ],
            "bound": str(written["bound"]),
            "layout": str(written["layout"]),
            "reprojection_px": written["metrics"].get("reprojection_px"),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CaptureError(f"{path} reports no capture: {error!r}", remedy) from error
