"""The space of a sweep: Ray Tune's distributions, written in YAML.

    model.temperature: {loguniform: [0.03, 0.3]}
    train.lr: [1.0e-3, 2.0e-3]                     # one of these, short for {choice: […]}

A key keeps its place in the file: points are drawn key by key in that order from one seeded
generator, so the same file gives the same points on every machine and after every restart.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.nearest import did_you_mean

Point = dict[str, Any]
"""The value of each dotted key."""

MAX_POINTS = 100_000
_LARGEST_WHOLE = 2**63 - 1
_INNER = 0.618034
"""Where between its ends a continuous axis is probed: hardly ever at a whole number."""
_LONGEST_NAME = 400
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of distribution.

    Attributes:
        form: How it is written.
        numbers: How many numbers it takes; None: a list of any values.
        whole: The numbers are whole.
        positive: The numbers are above zero.
    """

    form: str
    numbers: int | None
    whole: bool = False
    positive: bool = False


KINDS: Mapping[str, Kind] = {
    "choice": Kind("{choice: [a, b, …]}", None),
    "uniform": Kind("{uniform: [low, high]}", 2),
    "loguniform": Kind("{loguniform: [low, high]}", 2, positive=True),
    "quniform": Kind("{quniform: [low, high, step]}", 3),
    "qloguniform": Kind("{qloguniform: [low, high, step]}", 3, positive=True),
    "randint": Kind("{randint: [low, high]}", 2, whole=True),
    "lograndint": Kind("{lograndint: [low, high]}", 2, whole=True, positive=True),
    "qrandint": Kind("{qrandint: [low, high, step]}", 3, whole=True),
    "normal": Kind("{normal: [mean, deviation]}", 2),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One key that varies.

    Attributes:
        key: Dotted key of the config.
        kind: Name of the distribution, one of `KINDS`.
        arguments: Its values or numbers.
        where: Where it is written, for errors.
    """

    key: str
    kind: str
    arguments: tuple[Any, ...]
    where: str

    @property
    def values(self) -> tuple[Any, ...] | None:
        """The values a grid goes through; None for a continuous axis."""
        return self.arguments if self.kind == "choice" else None

    def extremes(self) -> tuple[Any, ...]:
        """Return values that must fit the config if every value is to fit."""
        if self.kind == "choice":
            return self.arguments
        low, high, *step = self.arguments
        if self.kind == "normal":
            return (low, self.settle(low + _INNER * high))
        if KINDS[self.kind].whole:
            return (low, high if step else high - 1)
        return (low, self.settle(low + step[0] if step else low + _INNER * (high - low)), high)

    def settle(self, value: Any) -> Any:
        """Return a drawn value as YAML keeps it: short, and never outside of the axis.

        Six digits tell points apart; a value on a grid of steps keeps its place there.
        """
        value = value.item() if hasattr(value, "item") else value
        if not isinstance(value, float) or self.kind == "choice":
            return value
        if self.kind == "normal":
            return float(f"{value:.6g}")
        low, high, *step = self.arguments
        if step:
            value = float(f"{round(value / step[0]) * step[0]:.12g}")
        elif low <= float(f"{value:.6g}") <= high:
            value = float(f"{value:.6g}")
        return min(max(value, float(low)), float(high))

    def domain(self) -> Any:
        """Return Ray Tune's distribution."""
        from ray import tune

        if self.kind == "choice":
            return tune.choice(list(self.arguments))
        make: Callable[..., Any] = getattr(tune, "randn" if self.kind == "normal" else self.kind)
        with self.drawing():
            return make(*self.arguments)

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """Say on which line stands what a library cannot draw from.

        Raises:
            ConfigError: The library refused the distribution within the block.
        """
        try:
            yield
        except (ValueError, TypeError, OverflowError) as error:
            raise ConfigError(
                f"{self.where}: {self.key}: nothing can be drawn from {self.kind} "
                f"{list(self.arguments)}: {error}",
                f"write {KINDS[self.kind].form} with other numbers",
            ) from error


def read_axis(key: str, value: Any, where: str) -> Axis:
    """Read one line of a space.

    Args:
        key: Dotted key.
        value: What the file says.
        where: Where it says so.

    Raises:
        ConfigError: It is no distribution; the message shows how one is written.
    """
    if isinstance(value, list):
        value = {"choice": value}
    forms = ", ".join(kind.form for kind in KINDS.values())
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ConfigError(
            f"{where}: {key} has no distribution", f"write a list of values, or one of {forms}"
        )
    (name, arguments), *_ = value.items()
    if name not in KINDS:
        meant = did_you_mean(str(name), KINDS)
        raise ConfigError(
            f"{where}: {key} has an unknown distribution {name!r}", f"{meant} {forms}".strip()
        )
    problem = _problem(KINDS[name], arguments)
    if problem:
        raise ConfigError(f"{where}: {key}: {name} {problem}", f"write {KINDS[name].form}")
    return Axis(key=key, kind=name, arguments=tuple(arguments), where=where)


def _problem(kind: Kind, arguments: Any) -> str:
    """Return what is wrong with a distribution's arguments, or nothing."""
    if not isinstance(arguments, list) or not arguments:
        return "needs a list that is not empty"
    if kind.numbers is None:
        repeated = len({_key(value) for value in arguments}) < len(arguments)
        return "names a value twice" if repeated else ""
    if len(arguments) != kind.numbers:
        return f"takes {kind.numbers} numbers, not {len(arguments)}"
    if not all(_is_number(value, whole=kind.whole) for value in arguments):
        return f"takes {'whole ' if kind.whole else ''}numbers"
    if kind.whole and max(map(abs, arguments)) > _LARGEST_WHOLE:
        return f"takes whole numbers up to {_LARGEST_WHOLE}"
    if kind.form.startswith("{normal"):
        return "" if arguments[1] > 0 else "needs a deviation above 0"
    low, high, *step = arguments
    if kind.positive and low <= 0:
        return f"needs numbers above 0, not {low}"
    if low >= high:
        return f"needs low < high, not {low} and {high}"
    if step and step[0] <= 0:
        return f"needs a step above 0, not {step[0]}"
    if step and not all(_is_multiple(bound, step[0]) for bound in (low, high)):
        return f"needs a low and a high that are multiples of the step {step[0]}"
    return ""


def _is_multiple(value: float, step: float) -> bool:
    return math.isclose(value / step, round(value / step), abs_tol=1e-9)


def _is_number(value: Any, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return whole


def _key(value: Any) -> str:
    return f"{type(value).__name__}:{value!r}"


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Return every combination of the axes' values, the last axis fastest.

    Raises:
        ConfigError: An axis is continuous, or there are more than `MAX_POINTS`.
    """
    columns: list[tuple[Any, ...]] = []
    for axis in axes:
        if axis.values is None:
            raise ConfigError(
                f"{axis.where}: a grid cannot go through {axis.key}: {axis.kind} has no end",
                "list its values, or choose search: random",
            )
        columns.append(axis.values)
    count = math.prod(len(column) for column in columns)
    if count > MAX_POINTS:
        raise ConfigError(f"the grid has {count:,} points", "list fewer values")
    return [
        dict(zip((a.key for a in axes), row, strict=True)) for row in itertools.product(*columns)
    ]


def draw(axes: Sequence[Axis], count: int, seed: int) -> list[Point]:
    """Draw points at random; the first n of more points are the same n points.

    Args:
        axes: The space.
        count: Points.
        seed: Of the draws.
    """
    import numpy as np

    chance = np.random.RandomState(seed % 2**32)
    domains = [(axis, axis.domain()) for axis in axes]

    def one(axis: Axis, domain: Any) -> Any:
        with axis.drawing():
            return axis.settle(domain.sample(random_state=chance))

    return [{axis.key: one(axis, domain) for axis, domain in domains} for _ in range(count)]


def name_of(point: Mapping[str, Any], seed: int | None = None) -> str:
    """Return a trial's readable name, such as `temperature=0.05 lr=0.002 seed=1`.

    The last part of a key is enough unless two keys end alike.
    """
    lasts = [key.rpartition(".")[2] for key in point]
    words = [
        f"{last if lasts.count(last) == 1 else key}={_shown(value)}"
        for (key, value), last in zip(point.items(), lasts, strict=True)
    ]
    return _cut(" ".join(words), _LONGEST_NAME) + ("" if seed is None else f" seed={seed}")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _cut(str(value), _LONGEST_VALUE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
