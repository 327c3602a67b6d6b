"""The results table that the command line prints after a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gimbal_nbv.gap import FEWEST, ONE_OBJECT


def summary_table(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return title, columns and rows: policies by AUC, best first, oracles on top."""
    auc, coverage = result["auc"], result["coverage"]
    budget = len(coverage["policy"])
    gaps = result["gap_closed"]["per_policy"]
    rows = [
        [
            name,
            *(f"{share:.3f}" for share in coverage[name][1:]),
            f"{auc[name]:.4f}",
            _gap(gaps[name]),
            f"{result['views_to_90'][name]:.2f}",
        ]
        for name in sorted(auc, key=lambda name: -auc[name])
    ]
    protocol = result["protocol"]
    return {
        "title": f"{protocol['objects']} held-out objects, {protocol['first_views']} first views "
        f"each, {budget} views",
        "columns": [
            "policy",
            *(f"cov@{k}" for k in range(2, budget + 1)),
            "AUC",
            "gap closed [95 % CI]",
            "views to 90 %",
        ],
        "rows": rows,
        "caption": f"gap closed: 0 is farthest, 1 is the coverage oracle; {_sight(result)}"
        + ("" if protocol["objects"] >= FEWEST else f". {ONE_OBJECT}"),
    }


def _gap(gap: Mapping[str, Any]) -> str:
    low, high = gap["ci95"]
    return f"{gap['value']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _sight(result: Mapping[str, Any]) -> str:
    """Say what seeing is worth: the policy's AUC less its blind twin's."""
    seen = result["sighted_minus_blind"]
    low, high = seen["ci95"]
    return f"sighted - blind: {seen['value']:+.4f} AUC [{low:+.4f}, {high:+.4f}]"
