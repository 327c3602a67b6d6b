"""What a training noted about the gradients of its weights, and whether that is healthy.

A part is dead tensor by tensor, not as a whole: one that is cut off inside the policy would be lost
in the policy's share of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import read_json
from gimbal.training.gradient_report import REPORT_FILE
from gimbal_nbv.diagnostics.finding import Check

LEAST_UPDATE, GREATEST_UPDATE = 1e-6, 0.1

Entries = Sequence[Mapping[str, Any]]
Parts = Mapping[str, Mapping[str, Any]]


def read_entries(train: Path | None) -> Entries:
    """Return what a training noted; nothing where there was none."""
    path = None if train is None else train / REPORT_FILE
    return list(read_json(path)["entries"]) if path is not None and path.exists() else []


def summarise(entries: Entries) -> dict[str, dict[str, Any]]:
    """Return for each part the median over the training, and the worst share of NaN.

    `update_ratio` and `dead_tensors` are None where the training did not note them.

    The median, because a rate that warms up and ends at zero has its extremes there, and because a
    last layer that begins at zero lets no gradient pass at the first step.
    """
    names = {name for entry in entries for name in entry["modules"]}
    return {name: _summary([e["modules"][name] for e in entries]) for name in sorted(names)}


def _summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    without = [part["zero_share"] + part["none_share"] for part in found]
    updates = [part["update_ratio"] for part in found if "update_ratio" in part]
    counted = [part["dead_tensors"] for part in found if "dead_tensors" in part]
    return {
        "parameters": found[0]["parameters"],
        "norm": float(np.median([part["norm"] for part in found])),
        "without_gradient": float(np.median(without)),
        "dead_tensors": float(np.median(counted)) if counted else None,
        "dead": next((p["dead"] for p in reversed(found) if p.get("dead")), ""),
        "nan_share": float(np.max([part["nan_share"] for part in found])),
        "update_ratio": float(np.median(updates)) if updates else None,
    }


def part_checks(parts: Parts) -> tuple[Check, ...]:
    """Judge what `summarise` found; nothing is checkable where it found no part."""
    none = "" if parts else "this run has trained nothing yet: run its config to the end; "
    shares = [part["nan_share"] for part in parts.values()]
    updates = [part["update_ratio"] for part in parts.values()]
    known = bool(updates) and None not in updates
    unmoved = "its training noted no step of some part; " if parts and not known else none
    return (
        _dead_check(parts, none),
        Check(
            name="share of NaN in any gradient",
            value=float(np.max(shares)) if shares else None,
            op="<=",
            threshold=0.0,
            hint=none + "see bad_batches.json of the stage train for the batch it began with",
        ),
        Check(
            name="largest update over weights, median step",
            value=float(np.max(updates)) if known else None,
            op="<=",
            threshold=GREATEST_UPDATE,
            hint=unmoved + "weights are thrown about at every step: lower train.lr",
        ),
        Check(
            name="smallest update over weights, median step",
            value=float(np.min(updates)) if known else None,
            op=">=",
            threshold=LEAST_UPDATE,
            hint=unmoved
            + "weights hardly move: raise train.lr (1e-5 and below moves nothing here)",
        ),
    )


def _dead_check(parts: Parts, none: str) -> Check:
    """Ask for tensors without gradient, by their number in each part's median step."""
    counted = [part["dead_tensors"] for part in parts.values()]
    known = bool(counted) and all(count is not None for count in counted)
    dead = [f"{name}: {part['dead']}" for name, part in parts.items() if part["dead_tensors"]]
    hint = f"cut off from the loss: {'; '.join(dead)}" if dead else "look at detach"
    if parts and not known:
        hint = "its training did not count them: train again with this version"
    return Check(
        name="weight tensors without any gradient, median step",
        value=float(sum(counted)) if known else None,
        op="<=",
        threshold=0.0,
        hint=none + hint,
    )
