"""Compare the numbers of two runs, and say which numbers can never be equal.

Pure. A number is left out if its name says that it measures the machine instead of the experiment:

* a part of its dotted name holds a unit of time or of memory as a word after the first, or is one
  (`wall_s`, `decision_ms.policy`, `samples_per_s`, `cpu_s_per_mesh`, `size_bytes`, `seconds`);
* or it is one of `EXECUTION`: how many workers or attempts the work was spread over.

Everything else is compared: numbers and truth values, also missing and new ones. Texts are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_RTOL = 1e-6
EXECUTION = frozenset(
    {"workers", "world_size", "resumed_from", "set_aside", "built_blocks", "attempts"}
)
"""Names of numbers that say how the work was spread or interrupted, wherever they stand."""
_UNITS = frozenset(
    {"s", "ms", "us", "ns", "second", "seconds", "bytes", "kib", "mib", "gib", "tib"}
)
_WHOLE_WORDS = frozenset({"seconds", "bytes"})

Number = int | float | bool | None
"""None stands for a number that is not finite: JSON has no word for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberDifference:
    """A number that is not what it was.

    Attributes:
        stage: The stage.
        name: Its dotted name, after the file or series it stands in.
        recorded: What the run has; None: absent or not finite.
        found: What the other run has; None: absent or not finite.
    """

    stage: str
    name: str
    recorded: Number | str
    found: Number | str

    @property
    def relative(self) -> float | None:
        """The difference relative to the larger of both; None where there is none."""
        both = (self.recorded, self.found)
        numbers = [float(v) for v in both if isinstance(v, int | float)]
        if len(numbers) != len(both):
            return None
        largest = max(abs(value) for value in numbers)
        return abs(numbers[0] - numbers[1]) / largest if largest else 0.0


@dataclass(frozen=True, slots=True)
class Absent:
    """Stands where one side has no such number."""

    def __str__(self) -> str:
        return "absent"


_ABSENT = Absent()


def is_cost(key: str) -> bool:
    """Return whether the numbers under a key are left out; see the module."""
    if key in EXECUTION or key in _WHOLE_WORDS:
        return True
    words = key.rpartition("/")[2].lower().split("_")
    return any(word in _UNITS for word in words[1:])


def comparable(value: Any, name: str = "") -> dict[str, Number]:
    """Return the numbers of JSON values that must come out again, by dotted name.

    Items of a list are named by their place. A null is a number that was not finite.
    """
    return dict(_walk(value, name))


def _walk(value: Any, name: str) -> Iterator[tuple[str, Number]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not is_cost(str(key)):
                yield from _walk(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _walk(item, f"{name}.{place}" if name else str(place))
    elif value is None or isinstance(value, bool | int | float):
        yield name, _finite(value)


def _finite(value: Number) -> Number:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def differences(
    stage: str,
    recorded: Mapping[str, Number],
    found: Mapping[str, Number],
    rtol: float = DEFAULT_RTOL,
) -> list[NumberDifference]:
    """Compare two sets of numbers.

    Args:
        stage: The stage they belong to.
        recorded: What the run has.
        found: What the other run has.
        rtol: Relative tolerance, of the larger of both; equal values always agree, truth values
            and whole numbers only if equal.

    Returns:
        What differs, sorted by name.
    """
    return [
        NumberDifference(
            stage=stage,
            name=name,
            recorded=_shown(recorded.get(name, _ABSENT)),
            found=_shown(found.get(name, _ABSENT)),
        )
        for name in sorted({*recorded, *found})
        if not _agree(recorded.get(name, _ABSENT), found.get(name, _ABSENT), rtol)
    ]


def _agree(one: Number | Absent, other: Number | Absent, rtol: float) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=rtol, abs_tol=0.0)
    if isinstance(other, float) and isinstance(one, int):
        return math.isclose(one, other, rel_tol=rtol, abs_tol=0.0)
    return one == other


def _shown(value: Number | Absent) -> Number | str:
    return str(value) if isinstance(value, Absent) else value
