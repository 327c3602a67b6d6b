"""A diagnosis as JSON: what `diagnosis.json` and `--json` hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gimbal_nbv.diagnostics.finding import Check, Diagnosis

FORMAT = 1


def record_of(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return verdict, checks and numbers of a diagnosis, ready for JSON.

    Returns:
        `format`, `name`, `question`, `answer`, `verdict`, `checks` (each `id`, `name`, `verdict`,
        `value` or None, `op`, `threshold`, `ci95` or None, `hint`) and `numbers`. A number that
        is not finite, for which JSON has no word, is None; the verdict still counts it as failed.
    """
    return {
        "format": FORMAT,
        "name": diagnosis.name,
        "question": diagnosis.question,
        "answer": diagnosis.answer,
        "verdict": str(diagnosis.verdict),
        "checks": [_check(check) for check in diagnosis.checks],
        "numbers": _finite(diagnosis.numbers),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "id": slug(check.name),
        "name": check.name,
        "verdict": str(check.verdict),
        "value": _finite(check.value),
        "op": check.op,
        "threshold": check.threshold,
        "ci95": None if check.ci95 is None else list(check.ci95),
        "hint": check.hint,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def slug(text: str) -> str:
    """Return a name of letters, digits and underscores, as a metric is called."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
