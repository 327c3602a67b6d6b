"""Points by Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

The study lives in memory and is told of all earlier trials when a sweep is resumed: the trials'
own files are its only memory, so nothing has to be kept in step with them. A point counts by its
mean over the seeds. A point that early stopping ended is told as pruned, with what it had reached.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gimbal.errors import ConfigError
from gimbal.sweeps.space import Axis, Point

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import TrialState

Curve = Mapping[int, float]
"""The scheduler's metric by optimizer step, larger is better."""


def require_known(axes: Sequence[Axis]) -> None:
    """Refuse a space that TPE cannot search.

    Raises:
        ConfigError: An axis has a distribution that TPE does not know, or cannot draw from.
    """
    for axis in axes:
        if axis.kind == "normal":
            raise ConfigError(
                f"{axis.where}: tpe knows no normal distribution",
                f"write {axis.key}: {{uniform: [low, high]}}, or choose search: random",
            )
        with axis.drawing():
            Tpe([axis], seed=0).ask()


class Tpe:
    """Suggests points and learns from their results.

    Args:
        axes: The space, all of it known to TPE.
        seed: Of the suggestions.
        tried: Points that earlier starts suggested; the same seed suggests others after them.
    """

    def __init__(self, axes: Sequence[Axis], seed: int, tried: int = 0) -> None:
        import numpy as np
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._axes = axes
        self._distributions = {axis.key: _distribution(axis) for axis in axes}
        # `constant_liar`: trials that still run keep concurrent ones from the same spot.
        start = int(np.random.SeedSequence([seed, tried]).generate_state(1)[0])
        sampler = optuna.samplers.TPESampler(seed=start, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._open: dict[str, optuna.Trial] = {}

    def ask(self) -> Point:
        """Return a new point; its result is to be told."""
        trial = self._study.ask(self._distributions)
        point = {axis.key: _value(axis, trial.params[axis.key]) for axis in self._axes}
        self._open[_name(point)] = trial
        return point

    def reopen(self, point: Point) -> None:
        """Learn that a point an earlier start suggested is still to end."""
        self._study.enqueue_trial(self._parameters(point))
        self._open[_name(point)] = self._study.ask(self._distributions)

    def tell(self, point: Point, value: float | None, curve: Curve | None = None) -> None:
        """Learn how a point ended, whether it was asked for here or by an earlier start.

        Args:
            point: The point.
            value: Its result, larger is better; None: it has none.
            curve: What a point that was stopped early had reached.
        """
        import optuna

        state, value = _state(value, curve)
        trial = self._open.pop(_name(point), None)
        reached = {step: number for step, number in (curve or {}).items() if math.isfinite(number)}
        if trial is None:
            created = optuna.trial.create_trial(
                state=state,
                value=value,
                params=self._parameters(point),
                distributions=self._distributions,
                intermediate_values=reached,
            )
            self._study.add_trial(created)
            return
        for step, number in reached.items():
            trial.report(number, step)
        self._study.tell(trial, value, state)

    def _parameters(self, point: Point) -> dict[str, Any]:
        return {axis.key: _parameter(axis, point[axis.key]) for axis in self._axes}


def _state(value: float | None, curve: Curve | None) -> tuple[TrialState, float | None]:
    from optuna.trial import TrialState

    if value is not None and math.isfinite(value):
        return TrialState.COMPLETE, value
    return (TrialState.PRUNED if curve else TrialState.FAIL), None


def _name(point: Point) -> str:
    return repr(sorted(point.items()))


def _distribution(axis: Axis) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if axis.kind == "choice":
        return CategoricalDistribution(tuple(range(len(axis.arguments))))
    low, high, *step = axis.arguments
    log = "log" in axis.kind
    if axis.kind.endswith("randint"):
        whole = step[0] if step else 1
        last = high if axis.kind.startswith("q") else high - 1
        return IntDistribution(low, last, log=log, step=1 if log else whole)
    if step and not log:  # Optuna would count the steps in floats and leave out the last one
        return IntDistribution(round(low / step[0]), round(high / step[0]))
    return FloatDistribution(low, high, log=log)


def _value(axis: Axis, parameter: Any) -> Any:
    if axis.kind == "choice":
        return axis.arguments[parameter]
    return axis.settle(parameter * axis.arguments[2] if axis.kind == "quniform" else parameter)


def _parameter(axis: Axis, value: Any) -> Any:
    """Return what stands for a value in Optuna: the place in a list, the count of steps."""
    if axis.kind == "choice":
        texts = [repr(choice) for choice in axis.arguments]  # 1, 1.0 and true are equal in Python
        return texts.index(repr(value))
    if axis.kind == "quniform":
        return round(value / axis.arguments[2])
    return value
