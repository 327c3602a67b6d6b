"""From a sweep file to the configs of its trials, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.nearest import did_you_mean
from gimbal.experiment.overrides import Override
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.sweep_record import TrialRecord
from gimbal.experiment.workload import Workload
from gimbal.pipeline import ray_session
from gimbal.sweeps.space import Axis, Point, draw, grid, name_of
from gimbal.sweeps.spec import SweepFile, SweepSpec
from gimbal.sweeps.tpe import require_known

_CHECKED = 1000
"""Points checked one by one; of a larger sweep, the probes of every axis have to speak for all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One trial: a point with a seed.

    Attributes:
        number: Its place in the sweep, from 0; its seeds of one point stand together.
        point: The value of each axis.
        seed: The seed.
        many_seeds: The sweep has several, so that the name tells them apart.
    """

    number: int
    point: Point
    seed: int
    many_seeds: bool

    @property
    def id(self) -> str:
        """Name of the trial's file."""
        return f"{self.number:05d}"

    @property
    def name(self) -> str:
        """Its readable name."""
        return name_of(self.point, self.seed if self.many_seeds else None)


def trials_of(index: int, point: Point, seeds: Sequence[int]) -> list[Trial]:
    """Return a point, the sweep's `index`th from 0, with every seed."""
    first = index * len(seeds)
    return [
        Trial(number=number, point=point, seed=seed, many_seeds=len(seeds) > 1)
        for number, seed in enumerate(seeds, first)
    ]


def trial_of(record: TrialRecord) -> Trial:
    """Return the trial that a record is about."""
    return Trial(
        number=record.number,
        point=record.overrides,
        seed=record.seed,
        many_seeds=record.name != name_of(record.overrides),
    )


def points_of(spec: SweepSpec, axes: Sequence[Axis]) -> list[Point] | None:
    """Return the points of a sweep, or None where a search invents them as it goes."""
    if spec.search == "grid":
        return grid(axes)
    if spec.search == "random":
        return draw(axes, spec.samples or 0, spec.search_seed)
    return None


def check(sweep: SweepFile) -> tuple[Workload[Any], ExperimentSettings]:
    """Check the base config, the metrics and every point to come.

    Returns:
        The workload, and the settings all trials share.

    Raises:
        ConfigError: Naming the line of the sweep file, or of the base config.
    """
    workload, base = load_base(sweep)
    ray_session.prepare(base.platform.ray)  # drawing points imports Ray
    points = points_of(sweep.spec, sweep.axes)
    if points is None:
        require_known(sweep.axes)
        points = _corners(sweep.axes)
    for axis in sweep.axes:  # each by itself first: its message names one line
        for value in axis.extremes():
            settings_of(sweep.spec.base, sweep.fixed, _overrides({axis.key: value}, sweep.axes))
    for point in _distinct(points)[:_CHECKED]:
        settings_of(sweep.spec.base, sweep.fixed, _overrides(point, sweep.axes))
    _require_stage(workload, base, sweep.spec)
    return workload, base


def load_base(sweep: SweepFile) -> tuple[Workload[Any], ExperimentSettings]:
    """Load the config that all trials share, under the sweep's name."""
    named = Override(f"experiment={sweep.spec.name}", ("experiment",), sweep.spec.name)
    return load_experiment(sweep.spec.base, (*sweep.fixed, named))


def settings_of(
    base: Path, fixed: Sequence[Override], changes: Iterable[Override]
) -> ExperimentSettings:
    """Return the settings of one trial.

    Raises:
        ConfigError: They do not fit the workload.
    """
    return load_experiment(base, (*fixed, *changes))[1]


def trial_overrides(trial: Trial, name: str, sweep_id: str) -> list[Override]:
    """Return what makes a trial's config of the base config."""
    place = {"id": f"{name}/{sweep_id}", "trial": trial.name}
    return [
        *_overrides(trial.point, ()),
        Override("seed", ("seed",), trial.seed),
        Override("sweep", ("sweep",), place),
    ]


def _overrides(point: Mapping[str, Any], axes: Sequence[Axis]) -> list[Override]:
    where = {axis.key: axis.where for axis in axes}
    return [
        Override(f"{key}={value}", tuple(key.split(".")), value, where.get(key, ""))
        for key, value in point.items()
    ]


def _corners(axes: Sequence[Axis]) -> list[Point]:
    """Return two opposite corners of a space whose points are not known yet."""
    return [{axis.key: axis.extremes()[end] for axis in axes} for end in (0, -1)]


def _distinct(points: Iterable[Point]) -> list[Point]:
    return list({repr(point): point for point in points}.values())


def _require_stage(workload: Workload[Any], base: ExperimentSettings, spec: SweepSpec) -> None:
    """Refuse a metric of no stage; whether the stage reports it is known only when it has run."""
    names = [stage.name for stage in workload.stages(base)]
    stage = spec.metric.partition(".")[0]
    if stage not in names:
        meant = did_you_mean(stage, names)
        raise ConfigError(
            f"metric: {spec.metric} names the stage {stage!r}, which {workload.name} has not",
            f"{meant} stages are: {', '.join(names)}".strip(),
        )
    if spec.asha is not None:
        _require_training(workload, base, spec)


def _require_training(workload: Workload[Any], base: ExperimentSettings, spec: SweepSpec) -> None:
    from gimbal.training.stage import TrainStage

    stages = [stage for stage in workload.stages(base) if isinstance(stage, TrainStage)]
    if len(stages) != 1:
        raise ConfigError(
            f"scheduler: asha judges training, and {workload.name} has {len(stages)} train stages",
            "write scheduler: none",
        )
    train, asha = stages[0].train, spec.asha
    if train.validate_every is None or train.validate_every >= train.steps:
        raise ConfigError(
            "scheduler: asha has nothing to judge by: the training validates only at its end",
            f"set {stages[0].name}.validate_every below its {train.steps} steps",
        )
    if asha is not None and asha.grace_steps >= train.steps:
        raise ConfigError(
            f"scheduler: asha stops nothing: the training ends after {train.steps} steps",
            "set grace_steps below its steps",
        )
