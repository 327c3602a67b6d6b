"""Whether runs were asked the same question: their evaluation protocols, key by key.

A protocol may depend on the seed alone (a workload that draws its test set with the seed): then
runs of the same seed are compared with each other, and nothing is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gimbal.comparison.configs import flat
from gimbal.comparison.model import ProtocolDifference
from gimbal.comparison.records import RunRecord
from gimbal.errors import ConfigError

_SHOWN = 60


def protocol_of(run: RunRecord, stage: str | None = None) -> dict[str, Any]:
    """Return a run's protocol by dotted key, of one stage or, stage first, of all."""
    if stage is not None:
        return dict(flat(run.samples[stage].protocol)) if stage in run.samples else {}
    many = len(run.samples) > 1
    return {
        f"{name}.{key}" if many else key: value
        for name, samples in run.samples.items()
        for key, value in flat(samples.protocol)
    }


def differences(runs: Sequence[RunRecord]) -> tuple[ProtocolDifference, ...]:
    """Return every key that is not equal in all runs that were evaluated."""
    protocols = [(run.name, protocol_of(run)) for run in runs if run.samples]
    keys = dict.fromkeys(key for _, protocol in protocols for key in protocol)
    found = []
    for key in keys:
        first: dict[str, tuple[str, Any]] = {}
        for name, protocol in protocols:
            value = protocol.get(key)
            first.setdefault(json.dumps(value, sort_keys=True, default=str), (name, value))
        if len(first) > 1:
            found.append(ProtocolDifference(key=key, values=tuple(first.values())))
    return tuple(found)


def fingerprint(run: RunRecord) -> str:
    """Return a text that is equal for equal protocols."""
    return json.dumps(protocol_of(run), sort_keys=True, default=str)


def decided_by_seed(runs: Sequence[RunRecord], groups: Mapping[int, Sequence[RunRecord]]) -> bool:
    """Return whether runs of one seed share a protocol, and some seed is in two groups."""
    by_seed: dict[int, set[str]] = {}
    for run in runs:
        if run.samples:
            by_seed.setdefault(run.seed, set()).add(fingerprint(run))
    if any(len(prints) > 1 for prints in by_seed.values()):
        return False
    evaluated = [{run.seed for run in group if run.samples} for group in groups.values()]
    evaluated = [seeds for seeds in evaluated if seeds]
    shared = any(a & b for i, a in enumerate(evaluated) for b in evaluated[:i])
    return shared or len(evaluated) < 2


def refuse(found: Sequence[ProtocolDifference]) -> ConfigError:
    """Return the error for runs that may not be compared."""
    lines = [f"    {d.key}: {' / '.join(_shown(v) for _, v in d.values[:3])}" for d in found]
    runs = [name for name, _ in found[0].values[:2]]
    return ConfigError(
        "these runs were evaluated by different protocols, so their numbers answer different "
        f"questions ({' and '.join(runs)}):\n" + "\n".join(lines),
        "compare runs with equal protocols, or show them side by side all the same, untested: "
        "--across-protocols",
    )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
