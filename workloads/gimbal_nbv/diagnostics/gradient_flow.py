"""What a training by the detached route saw of its gradient between the pose and the weights.

Every validation logs it (see `objectives.pose_gradient.summary`). Norms are judged over the run and
not one by one: the smallest must not be nothing, the largest not far above the median.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gimbal.training.metrics import METRICS_FILE, read_metrics
from gimbal_nbv.diagnostics.finding import Check

LEAST_NORM = 1e-8
"""Of the pose's gradient; a loss of squared means has about 1e-3, one over its start 1e-1."""
MOST_GROWTH = 100.0
_PREFIX = "val/flow/"

Flow = Mapping[str, float | None]
"""One validation's numbers by name without `val/flow/`; None where one was not finite."""


def read_flow(train: Path | None) -> list[Flow]:
    """Return what each validation of a training saw; nothing where it followed no gradient."""
    if train is None:
        return []
    lines = (record["values"] for record in read_metrics(train / METRICS_FILE))
    found = (
        {n.removeprefix(_PREFIX): value for n, value in line.items() if n.startswith(_PREFIX)}
        for line in lines
    )
    return [numbers for numbers in found if numbers]


def flow_checks(flow: Sequence[Flow]) -> tuple[Check, ...]:
    """Judge a training's validations; not checkable where there are none."""
    none = "" if flow else "only a training by objective.name: detached_cd follows its pose; "
    norms = [norm for norm in map(_pose_norm, flow) if math.isfinite(norm)]
    middle = float(np.median(norms)) if norms else 0.0
    return (
        Check(
            name="share of validations with a pose gradient that is not finite",
            value=_share_broken(flow) if flow else None,
            op="<=",
            threshold=0.0,
            hint=none + "a camera in a pole of look_at, or empty pictures: look at the loss",
        ),
        Check(
            name="smallest norm of the pose's gradient",
            value=min(norms, default=0.0) if flow else None,
            op=">=",
            threshold=LEAST_NORM,
            hint=none + "the loss does not depend on the pose: look at detach and at the renderer",
        ),
        Check(
            name="largest norm of the pose's gradient over its median",
            value=(max(norms) / middle if middle > 0 else math.inf) if flow else None,
            op="<=",
            threshold=MOST_GROWTH,
            hint=none + "it explodes: lower train.lr, or set objective.normalise: before",
        ),
        Check(
            name="modules that the pose's gradient does not come to, worst validation",
            value=max(map(_missing, flow), default=None),
            op="<=",
            threshold=0.0,
            hint=none + "see val/flow/* in metrics.jsonl for the module after which it is gone",
        ),
    )


def _pose_norm(numbers: Flow) -> float:
    """Return the norm of rotation and translation together; 0 where none came, NaN where broken."""
    parts = [numbers.get(f"pose/{part}", 0.0) for part in ("rotation", "translation")]
    return math.hypot(*(math.nan if part is None else part for part in parts))


def _share_broken(flow: Sequence[Flow]) -> float:
    broken = [not math.isfinite(_pose_norm(n)) or n.get("pose/nan_share", 0.0) != 0 for n in flow]
    return sum(broken) / len(broken)


def _missing(numbers: Flow) -> float:
    """Count modules without gradient: those it never came to, and those it came to as zeros."""
    modules = [v for n, v in numbers.items() if n != "missing" and not n.startswith("pose/")]
    return float(numbers.get("missing") or 0.0) + sum(value == 0.0 for value in modules)
