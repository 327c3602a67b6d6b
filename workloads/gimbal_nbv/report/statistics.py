"""The few statistics the page works out itself: gap closed on a subset, and paired differences.

The evaluation reports the headline; families, sources and the blind test are subsets of its
per-object table and are derived here with the same definition: ratio of mean differences, paired
bootstrap over objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .policies import ordered
from .text import mapping, numbers_in

RESAMPLES = 2000
Objects = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Share of the farthest → oracle gap that a policy closes.

    Attributes:
        value: 0 is farthest, 1 is the oracle.
        ci95: Paired bootstrap over objects; None below two objects.
        objects: How many objects it stands on.
    """

    value: float
    ci95: tuple[float, float] | None
    objects: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """Mean difference of AUC between two policies over the same objects."""

    mean: float
    standard_error: float
    wins: int
    objects: int

    @property
    def significant(self) -> bool:
        """Whether the difference exceeds twice its standard error."""
        return self.objects > 1 and self.mean > 2 * self.standard_error


def auc_rows(objects: Objects, *keys: str) -> NDArray[np.float64]:
    """Return AUC [objects, len(keys)] of the objects that have all of them."""
    table = (numbers_in(item.get("auc")) for item in objects)
    rows = [[row[key] for key in keys] for row in table if all(key in row for key in keys)]
    return np.asarray(rows, dtype=np.float64).reshape(-1, len(keys))


def gap_closed(objects: Objects, key: str = "policy", *, seed: int = 0) -> Gap | None:
    """Measure the gap a policy closes on these objects; None where there is no gap to close."""
    auc = auc_rows(objects, key, "farthest", "oracle")
    gained, possible = auc[:, 0] - auc[:, 1], auc[:, 2] - auc[:, 1]
    count = len(auc)
    if count == 0 or possible.mean() <= 0:
        return None
    value = float(gained.mean() / possible.mean())
    if count < 2:
        return Gap(value=value, ci95=None, objects=count)
    picks = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    below = possible[picks].sum(1)
    ratios = gained[picks].sum(1)[below > 0] / below[below > 0]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Gap(value=value, ci95=(float(low), float(high)), objects=count)


def paired(objects: Objects, first: str, second: str) -> Paired | None:
    """Compare two policies object by object; None without common objects."""
    auc = auc_rows(objects, first, second)
    if len(auc) == 0:
        return None
    difference = auc[:, 0] - auc[:, 1]
    spread = difference.std(ddof=1) / np.sqrt(len(auc)) if len(auc) > 1 else float("inf")
    return Paired(
        mean=float(difference.mean()),
        standard_error=float(spread),
        wins=int((difference > 0).sum()),
        objects=len(auc),
    )


def by_family(objects: Objects) -> dict[str, list[Mapping[str, Any]]]:
    """Group objects by family; folder meshes that are alone in theirs share one group."""
    sizes = Counter(str(item.get("family") or "") for item in objects)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for item in objects:
        family = str(item.get("family") or "")
        if item.get("source") == "folder" and (not family or sizes[family] == 1):
            family = "single meshes"
        groups.setdefault(family or "unnamed", []).append(item)
    return groups


def gaps_of(evaluation: Mapping[str, Any]) -> dict[str, tuple[float, Any]]:
    """Return `policy → (gap closed, ci95)` as reported, filled up from the AUC table."""
    reported = mapping(evaluation.get("gap_closed"))
    per_policy = {"policy": reported, **mapping(reported.get("per_policy"))}
    auc = numbers_in(evaluation.get("auc"))
    low, high = auc.get("farthest"), auc.get("oracle")
    gaps: dict[str, tuple[float, Any]] = {}
    for key in ordered([*auc, *per_policy]):
        entry = mapping(per_policy.get(key))
        value = numbers_in(entry).get("value")
        if value is None and low is not None and high is not None and high > low and key in auc:
            value = (auc[key] - low) / (high - low)
        if value is not None:
            gaps[key] = (value, entry.get("ci95"))
    return gaps
