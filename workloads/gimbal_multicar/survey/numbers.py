"""Numbers of one split, from the rows that stage `panoramas` wrote.

Ids, poses and calibrations are read of every row. Masks and ranges are as large as the pictures, so
of a split with more than `MOST` rows they are read of that many, evenly spaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_multicar.row_reading import camera_of, rig_of
from gimbal_multicar.spreading import spread
from gimbal_vision.panoramas.coverage import expected_coverage

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

MOST = 2000
RANGE_EDGES_M = (0.0, *np.geomspace(1.0, 300.0, 40).tolist())
"""Bins of ranges: equal ratios from 1 to 300 m, and one below."""
DISTANCE_EDGES_M = tuple(float(m) for m in range(0, 205, 5))
ELEVATION_BANDS = 6
LIGHT = ("split", "scenario", "agent_id", "frame", "depth_source", "depth_density", "moved_share")


@dataclass
class Masks:
    """Means of masks and the distribution of ranges, gathered row by row."""

    coverage: list[float] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)
    non_ambiguous: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)
    ranges: Floats = field(default_factory=lambda: np.zeros(len(RANGE_EDGES_M) - 1))
    range_sum_m: float = 0.0
    range_count: int = 0
    band_sum_m: Floats = field(default_factory=lambda: np.zeros(ELEVATION_BANDS))
    band_count: Floats = field(default_factory=lambda: np.zeros(ELEVATION_BANDS))

    def add(self, row: Mapping[str, Any], expected: float) -> None:
        """Count one row."""
        self.coverage.append(float(row["coverage"].mean()))
        self.expected.append(expected)
        self.non_ambiguous.append(float(row["non_ambiguous"].mean()))
        valid = np.asarray(row["valid"])
        self.valid.append(float(valid.mean()))
        ranges = row["range_m"][valid].astype(np.float64)
        self.ranges += np.histogram(ranges, RANGE_EDGES_M)[0]
        self.range_sum_m += float(ranges.sum())
        self.range_count += ranges.size
        for band, rows in enumerate(np.array_split(np.arange(valid.shape[0]), ELEVATION_BANDS)):
            self.band_sum_m[band] += float(row["range_m"][rows][valid[rows]].sum())
            self.band_count[band] += int(valid[rows].sum())


def split_numbers(
    rows: BlockReader, wanted: Sequence[int], *, partner_m: float, min_cos: float
) -> dict[str, Any]:
    """Return the numbers of one split.

    Args:
        rows: Of stage `panoramas`.
        wanted: The split's row numbers.
        partner_m: Two cars of one moment that are closer than this are partners.
        min_cos: The builder's `min_cos_view_angle`.
    """
    light = rows.fetch(np.asarray(wanted), LIGHT)
    poses = np.asarray(rows.fetch(np.asarray(wanted), ["world_from_car"])["world_from_car"])
    cars = list(zip(light["scenario"], light["agent_id"], strict=True))
    distances = car_distances(light, poses[:, :3, 3])
    masks = _masks(rows, wanted, min_cos)
    return {
        "rows": len(wanted),
        "rows_of_masks": len(masks.coverage),
        "scenarios": len(set(light["scenario"])),
        "cars": len(set(cars)),
        "cars_per_moment": _per_moment(light),
        **_mask_numbers(masks),
        "range_m": _range_numbers(masks),
        "distance_m": _quantiles(distances) | {"pairs": distances.size},
        "partners": float((distances <= partner_m).mean()) if distances.size else None,
        "depth_sources": dict(sorted(Counter(light["depth_source"]).items())),
        "depth_density": float(np.mean(light["depth_density"])),
        "moved_share": float(np.mean(light["moved_share"])),
        "histograms": {
            "range_m": masks.ranges.tolist(),
            "distance_m": np.histogram(distances, DISTANCE_EDGES_M)[0].tolist(),
        },
    }


def _masks(rows: BlockReader, wanted: Sequence[int], min_cos: float) -> Masks:
    masks = Masks()
    expected: dict[str, float] = {}
    for index in spread(wanted, MOST):
        row = rows[index]
        if row["rig"] not in expected:
            expected[row["rig"]] = expected_coverage(rig_of(row), camera_of(row), min_cos)
        masks.add(row, expected[row["rig"]])
    return masks


def _mask_numbers(masks: Masks) -> dict[str, Any]:
    coverage, expected = np.array(masks.coverage), np.array(masks.expected)
    clear = float(np.mean(masks.non_ambiguous))
    valid = float(np.mean(masks.valid))
    return {
        "coverage": float(coverage.mean()),
        "expected_coverage": float(expected.mean()),
        "coverage_error": float(np.abs(coverage - expected).max()),
        "non_ambiguous": clear,
        "non_ambiguous_range": [min(masks.non_ambiguous), max(masks.non_ambiguous)],
        "valid": valid,
        "valid_range": [min(masks.valid), max(masks.valid)],
        "valid_of_non_ambiguous": valid / clear if clear else None,
    }


def _range_numbers(masks: Masks) -> dict[str, Any]:
    bands = [
        total / count if count else None
        for total, count in zip(masks.band_sum_m, masks.band_count, strict=True)
    ]
    if not masks.range_count:
        return {"mean": None, "by_band": bands}
    return {
        "mean": masks.range_sum_m / masks.range_count,
        **{f"p{q}": _histogram_quantile(masks.ranges, q / 100) for q in (5, 50, 95)},
        "by_band": bands,
    }


def _histogram_quantile(counts: Floats, share: float) -> float:
    """Return a quantile to the width of a bin, linear inside it."""
    below = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    return float(np.interp(share, below, RANGE_EDGES_M))


def car_distances(light: Mapping[str, Any], places: Floats) -> Floats:
    """Return the distance in metres of every two cars of one moment.

    Args:
        light: Columns `scenario` and `frame`.
        places: [N, 3] positions in the world.
    """
    moments: dict[tuple[str, str], list[int]] = {}
    for index, key in enumerate(zip(light["scenario"], light["frame"], strict=True)):
        moments.setdefault(key, []).append(index)
    found = []
    for members in moments.values():
        there = places[members]
        first, second = np.triu_indices(len(members), 1)
        found.append(np.linalg.norm(there[first] - there[second], axis=-1))
    return np.concatenate(found) if found else np.zeros(0)


def _per_moment(light: Mapping[str, Any]) -> dict[str, int]:
    sizes = Counter(zip(light["scenario"], light["frame"], strict=True))
    counted = Counter(sizes.values())
    return {str(cars): counted[cars] for cars in sorted(counted)}


def _quantiles(values: Floats) -> dict[str, float | None]:
    names = ("min", "p50", "p90", "max")
    if not values.size:
        return dict.fromkeys(names)
    found = np.quantile(values, (0.0, 0.5, 0.9, 1.0))
    return {name: float(value) for name, value in zip(names, found, strict=True)}
