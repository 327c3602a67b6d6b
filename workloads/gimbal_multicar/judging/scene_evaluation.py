"""Everything but poses over all samples: means of the numbers of `measuring.measure`.

A sample counts once, whatever its number of cars; one that has no such number (no range is known,
the true cloud is empty, the answer is not finite) is left out of its mean, and how many were is
told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal_multicar.judging.intervals import Drawing, mean_interval
from gimbal_multicar.judging.ranges import BANDS_DEG

Record = Mapping[str, Any]

SECTIONS = ("trajectory", "scale", "range", "rays", "mask", "boxes")
_NOT_AVERAGED = frozenset({"bands", "in_boxes"})


def scene_evaluation(records: Sequence[Record], drawing: Drawing) -> dict[str, Any]:
    """Return mean, median and interval of every number, by section and name.

    Args:
        records: Of all samples, see `measure`.
        drawing: How scenarios are drawn for intervals.
    """
    scenarios = [record["scenario"] for record in records]

    def section(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        names = [name for name in parts[0] if name not in _NOT_AVERAGED]
        return {
            name: described([part[name] for part in parts], scenarios, drawing) for name in names
        }

    found = {name: section([record[name] for record in records]) for name in SECTIONS}
    found["points"] = {}
    for placement in records[0]["points"]:
        parts = [record["points"][placement] for record in records]
        inside = section([part["in_boxes"] for part in parts])
        found["points"][placement] = section(parts) | {"in_boxes": inside}
    return found | {"range_by_elevation": _by_elevation(records)}


def described(
    values: Sequence[float | None], scenarios: Sequence[str], drawing: Drawing
) -> dict[str, Any]:
    """Return mean, its interval, median, count and how many samples have no such number."""
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    known = np.isfinite(numbers)
    sums, counts = np.where(known, numbers, 0.0), known.astype(np.float64)
    interval = mean_interval(sums.tolist(), counts.tolist(), scenarios, drawing)
    if interval is None:
        return {"mean": None, "median": None, "count": 0, "missing": len(values)}
    return {
        "mean": interval.value,
        "ci_low": interval.ci_low,
        "ci_high": interval.ci_high,
        "median": float(np.median(numbers[known])),
        "count": int(known.sum()),
        "missing": int((~known).sum()),
    }


def _by_elevation(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return errors of ranges by band, each sample weighted by its pixels there."""
    found = []
    for low in BANDS_DEG[:-1]:
        bands = [b for r in records for b in r["range"]["bands"] if b["from_deg"] == low]
        if not bands:
            continue
        numbers = [name for name in bands[0] if name not in ("from_deg", "to_deg", "pixels")]
        found.append(
            {
                "from_deg": low,
                "to_deg": bands[0]["to_deg"],
                "pixels": sum(band["pixels"] for band in bands),
                **{name: _by_pixels(bands, name) for name in numbers},
            }
        )
    return found


def _by_pixels(bands: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [band for band in bands if band[name] is not None]
    if not known:
        return None
    weights = [band["pixels"] for band in known]
    return float(np.average([band[name] for band in known], weights=weights))
