"""Which runs belong together, and in which settings the groups differ.

Runs that are equal in everything but the seed form a group. Where, why and how fast a run happens
(`platform`, `resources`, `experiment`, `sweep`) sets no run apart. Two runs with one config and one
seed but different code are not repeats: the code is then a difference like any setting.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gimbal.comparison.records import RunRecord

CODE_KEY = "code"
"""Stands beside the settings where runs of one config were made by different code."""

_SETS_NOBODY_APART = frozenset({"platform", "resources", "experiment", "sweep", "seed"})
_CODE_DIGITS = 10
_LABELLED = 5
_SCALARS = (bool, int, float, str)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Runs that differ in the seed alone.

    Attributes:
        label: What sets it apart.
        settings: The settings that differ between groups; None stands for a key it has not.
        runs: Positions of its runs.
    """

    label: str
    settings: Mapping[str, Any]
    runs: tuple[int, ...]


def group_runs(runs: Sequence[RunRecord], axes: Sequence[str] = ()) -> list[Group]:
    """Group runs over seeds; those whose config is unreadable are in no group.

    Args:
        runs: The runs.
        axes: Settings that are shown first, and always.
    """
    configs = {i: _deciding(run) for i, run in enumerate(runs) if run.config}
    for position, code in _codes(runs, configs).items():
        configs[position] = {**configs[position], CODE_KEY: code}
    differing = differing_keys(list(configs.values()))
    keys = [*(axis for axis in axes if axis != "seed"), *differing]
    keys = list(dict.fromkeys(keys))
    found: dict[Hashable, list[int]] = {}
    for position, config in configs.items():
        found.setdefault(_print({key: config.get(key) for key in keys}), []).append(position)
    settings = [{key: configs[members[0]].get(key) for key in keys} for members in found.values()]
    labels = [name_of(each) for each in settings]
    if len(set(labels)) < len(labels):  # settings that differ in a late digit
        labels = [name_of(each, digits=17) for each in settings]
    return [
        Group(label=label or runs[members[0]].experiment, settings=each, runs=tuple(members))
        for label, each, members in zip(labels, settings, found.values(), strict=True)
    ]


def differing_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that are not equal in all configs, in the order of the configs."""
    values: dict[str, set[Hashable]] = {}
    for config in configs:
        for key, value in config.items():
            values.setdefault(key, set()).add(_print(value))
    everywhere = {key for key in values if all(key in config for config in configs)}
    return [key for key, seen in values.items() if len(seen) > 1 or key not in everywhere]


def name_of(settings: Mapping[str, Any], *, digits: int = 4) -> str:
    """Return a readable name, such as `temperature=0.05 lr=0.002`.

    The last part of a key is enough unless two keys end alike.
    """
    lasts = [key.rpartition(".")[2] for key in settings]
    words = [
        f"{last if lasts.count(last) == 1 else key}={shown(value, digits)}"
        for (key, value), last in zip(settings.items(), lasts, strict=True)
    ]
    more = len(words) - _LABELLED
    return " ".join([*words[:_LABELLED], *([f"and {more} more"] if more > 0 else [])])


def shown(value: Any, digits: int = 6) -> str:
    """Return a setting in a few characters."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if value is None or isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _deciding(run: RunRecord) -> dict[str, Any]:
    return {
        key: value
        for key, value in run.config.items()
        if key.partition(".")[0] not in _SETS_NOBODY_APART
    }


def _codes(runs: Sequence[RunRecord], configs: Mapping[int, Mapping[str, Any]]) -> dict[int, str]:
    """Return the code of every run, if two of one config and seed were made by different code."""
    seen: dict[tuple[Hashable, int], set[str]] = {}
    for position, config in configs.items():
        run = runs[position]
        if run.code:
            seen.setdefault((_print(config), run.seed), set()).add(run.code)
    if all(len(codes) < 2 for codes in seen.values()):
        return {}
    return {position: runs[position].code[:_CODE_DIGITS] for position in configs}


def _print(value: Any) -> Hashable:
    """Return something that is equal for equal settings; True is not 1."""
    if value.__class__ in _SCALARS:
        return (value.__class__, value)
    return json.dumps(value, sort_keys=True, default=str)
