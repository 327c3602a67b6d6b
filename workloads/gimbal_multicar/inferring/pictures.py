"""What pictures a model is asked about, beside those it was trained on.

Colours depend on what depth is used for (`data.panorama.warp`): without depth a panorama's cameras
are only turned, and things near the car stand elsewhere in it. A model asked about such pictures
after a training on others is worse for a reason that no number shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gimbal_multicar.data_settings import PanoramaSettings

Row = Mapping[str, Any]
Kind = tuple[str, str]
"""Source of depth, as in the rows' `depth_source`, and warp; `drawn` for made streets, whose
panoramas are drawn from their centre."""

DRAWN = "drawn"
_PER_PIXEL = ("npy", "opv2v_h", "render")
_SAME = {DRAWN: "splat"}
"""Warps that show the same: `splat` is how images come to what is seen from the centre."""


def kind_of(row: Row, settings: PanoramaSettings) -> Kind:
    """Return how a row's picture was made.

    Args:
        row: Its `source`, `depth_source` and `depth_density`.
        settings: How images are fused.
    """
    from gimbal_vision.panoramas.builder import DENSE_SHARE

    source, depth = str(row["source"]), str(row["depth_source"])
    if source == "synthetic":
        return depth, DRAWN
    if settings.warp != "auto":
        return depth, settings.warp
    if depth == "none":
        return depth, "rotation"
    dense = depth in _PER_PIXEL and float(row["depth_density"]) >= DENSE_SHARE
    return depth, "splat" if dense else "ranges"


def trained_kinds(panoramas: Path | None, settings: PanoramaSettings) -> list[Kind] | None:
    """Return how the pictures of a run's training split were made; none: its rows are gone.

    Args:
        panoramas: Folder of the run's rows.
        settings: How its images were fused.
    """
    if panoramas is None:
        return None
    from gimbal.data.reading import BlockReader

    rows = BlockReader(panoramas)
    names = ("split", "source", "depth_source", "depth_density")
    values = zip(*(rows.column(name) for name in names), strict=True)
    found = (dict(zip(names, value, strict=True)) for value in values)
    return sorted({kind_of(row, settings) for row in found if row["split"] == "train"})


def pictures_record(
    rows: Iterable[Row], settings: PanoramaSettings, panoramas: Path | None
) -> dict[str, Any]:
    """Return `asked` and `trained` (depth and warp of each kind) and whether they are `alike`.

    Args:
        rows: Of the cars that the model is asked about.
        settings: How images are fused, here as in training.
        panoramas: Folder of the run's rows; none: `trained` and `alike` are null.
    """
    asked = sorted({kind_of(row, settings) for row in rows})
    trained = trained_kinds(panoramas, settings)
    known = None if trained is None else {_looks(kind) for kind in trained}
    return {
        "asked": _named(asked),
        "trained": None if trained is None else _named(trained),
        "alike": None if known is None else {_looks(kind) for kind in asked} <= known,
    }


def picture_lines(pictures: Mapping[str, Any]) -> list[str]:
    """Return what a person reads of `pictures_record`."""
    trained = pictures["trained"]
    told = "not known (its rows were cleared away)" if trained is None else _words(trained)
    lines = [f"pictures     {_words(pictures['asked'])}; in training {told}"]
    if pictures["alike"] is False:
        lines.append(
            "LOOK pictures: not made as in training, so errors are not those of a validation; name "
            "the folder of depth files of that kind with --depth-root"
        )
    return lines


def _looks(kind: Kind) -> Kind:
    depth, warp = kind
    return "per pixel" if depth in _PER_PIXEL else depth, _SAME.get(warp, warp)


def _named(kinds: Iterable[Kind]) -> list[dict[str, str]]:
    return [{"depth": depth, "warp": warp} for depth, warp in kinds]


def _words(kinds: Iterable[Mapping[str, str]]) -> str:
    return " and ".join(f"depth {kind['depth']}, warp {kind['warp']}" for kind in kinds)
