"""The final numbers of a run, by dotted path, looked up where they stand.

A run may report hundreds of numbers of which a comparison needs five, so nothing is flattened
until somebody asks for all paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gimbal.experiment.run_state import RunState, StageStatus


class FinalNumbers(Mapping[str, float]):
    """Numbers of a run's finished stages: `stage.key`, items of a list by index.

    Args:
        state: What the run's `run.json` says.
    """

    def __init__(self, state: RunState) -> None:
        self._stages = {
            name: stage.metrics
            for name, stage in state.stages.items()
            if stage.status in (StageStatus.FINISHED, StageStatus.SKIPPED)
        }

    def __getitem__(self, path: str) -> float:
        found = _lookup(self._stages, path.split("."))
        if found is None:
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[str]:
        for path, _ in _numbers(self._stages, ""):
            yield path

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None


def _lookup(tree: Any, parts: list[str]) -> float | None:
    """Return the number at a path; a key may hold dots itself."""
    if not parts:
        return _number(tree)
    if isinstance(tree, list):
        place = int(parts[0]) if parts[0].isdecimal() else len(tree)
        return _lookup(tree[place], parts[1:]) if place < len(tree) else None
    if not isinstance(tree, dict):
        return None
    for length in range(1, len(parts) + 1):
        key = ".".join(parts[:length])
        if key in tree:
            found = _lookup(tree[key], parts[length:])
            if found is not None:
                return found
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _numbers(tree: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in items:
            yield from _numbers(value, f"{path}.{key}" if path else str(key))
    elif (number := _number(tree)) is not None:
        yield path, number
