"""The sweep file: a question asked of many runs.

    base: ../nbv/quickstart.yaml
    space:
      model.temperature: {loguniform: [0.03, 0.3]}
      train.lr: [1.0e-3, 2.0e-3, 4.0e-3]
    metric: evaluate.gap_closed.value
    mode: max
    search: random
    samples: 16

Everything is checked before anything starts: the file, the base config, the ends of every axis and
a value between them, and every point of up to 1,000; `tpe` invents its points as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from gimbal.errors import ConfigError
from gimbal.experiment.config_errors import explain_validation
from gimbal.experiment.loading import read_config
from gimbal.experiment.overrides import Override, parse_override
from gimbal.experiment.settings import Settings
from gimbal.experiment.yaml_reading import KeyPath
from gimbal.sweeps.overlaps import require_apart
from gimbal.sweeps.space import Axis, read_axis

FIXED = {
    "seed": "list the seeds under `seeds`",
    "sweep": "it is written by the sweep itself",
    "workload": "write one sweep a workload",
    "experiment": "a sweep's name is the experiment of its trials: write `name` in the sweep file",
    "resources": "it changes how fast a trial runs, never what it computes",
    "platform": "it changes where a trial runs, never what it computes",
}
"""Sections that cannot vary within a sweep, and what to do instead."""
_SETTABLE = ("resources", "platform")
"""Those of them that may be set for all trials."""

_KEY = re.compile(r"^[^\s.=\[\]{}]+(?:\.[^\s.=\[\]{}]+)*$")
_METRIC = re.compile(r"^[A-Za-z0-9_-]+(?:\.[^\s.]+)+$")


class AshaSettings(Settings):
    """Asynchronous successive halving (Li et al., MLSys 2020): weak trials stop early."""

    kind: Literal["asha"] = "asha"
    metric: Annotated[str, Field(min_length=1)]
    """A number the training stage validates, such as `regret/policy`; the final metric comes too
    late to stop anything."""
    mode: Literal["min", "max"] = "min"
    grace_steps: Annotated[int, Field(ge=1)]
    """No trial stops before this optimizer step."""
    reduction: Annotated[float, Field(gt=1)] = 3.0
    """One trial in so many goes on at each rung; 3 is near the optimum of the paper's analysis."""


class SweepSpec(Settings):
    """A sweep file's keys."""

    base: Path
    """The config all trials share; relative to the sweep file."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """Name of the sweep and experiment of its trials; default: the file's name."""
    set: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Keys of the base config to set for all trials."""
    space: dict[str, Any]
    """The keys that vary, and how."""
    metric: str
    """What the sweep optimises: a stage and a number of its, `evaluate.gap_closed.value`."""
    mode: Literal["max", "min"]
    """No default: a sweep that runs the wrong way looks like one that works."""
    search: Literal["grid", "random", "tpe"] = "random"
    """`random` covers a space evenly without a model of it; `tpe` (Optuna) learns where to look."""
    search_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the points, apart from the seeds of the trials."""
    scheduler: Literal["none"] | AshaSettings = "none"
    samples: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Points to try; a grid has its own number."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(min_length=1)] = (0,)
    """Every point is tried with each of these seeds."""
    concurrent: Annotated[int, Field(ge=1, le=1000)] = 2
    """Trials at the same time, as far as the cluster has room."""
    budget_s: Annotated[float, Field(gt=0)] | None = None
    """Wall-clock seconds, over all starts, after which running trials checkpoint and stop."""
    across_protocols: bool = False
    """The space changes the evaluation protocol, and the trials are to be compared nevertheless."""

    @field_validator("metric")
    @classmethod
    def _names_a_stage(cls, metric: str) -> str:
        if not _METRIC.match(metric):
            raise ValueError(
                f"{metric!r} names no stage and number: write STAGE.NUMBER, such as "
                "evaluate.gap_closed.value"
            )
        return metric

    @field_validator("scheduler", mode="before")
    @classmethod
    def _asha_needs_more(cls, value: Any) -> Any:
        if value == "asha":
            raise ValueError(
                "asha needs a number to judge by: write "
                "{kind: asha, metric: regret/policy, mode: min, grace_steps: 100}"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.space:
            raise ValueError("space is empty: name at least one key that varies")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds names a seed twice")
        if self.search == "grid" and self.samples is not None:
            raise ValueError("samples has no effect with search: grid, which tries every point")
        if self.search != "grid" and self.samples is None:
            raise ValueError(f"search: {self.search} needs samples: how many points to try")
        return self

    @property
    def asha(self) -> AshaSettings | None:
        """The early stopping, if there is any."""
        return None if self.scheduler == "none" else self.scheduler


class SweepFile:
    """A sweep file as read: its settings, its axes, and where each key stands.

    Attributes:
        spec: The checked settings, with `base` as a path from here.
        axes: The keys that vary.
        fixed: What `set` and the command line change in the base config, in that order.
    """

    def __init__(
        self, spec: SweepSpec, axes: tuple[Axis, ...], fixed: tuple[Override, ...]
    ) -> None:
        self.spec = spec
        self.axes = axes
        self.fixed = fixed


def read_sweep(
    path: Path, changes: Mapping[str, Any] | None = None, overrides: Sequence[str] = ()
) -> SweepFile:
    """Read and check a sweep file; the base config and its keys are checked by `trials`.

    Args:
        path: The file.
        changes: Keys of the sweep file that the command line changes; None values are left out.
        overrides: `key=value` for the base config.

    Raises:
        ConfigError: Naming the line and what to write instead.
    """
    tree = read_config(path)
    given = {key: value for key, value in (changes or {}).items() if value is not None}
    data = {"name": _name_from(path), **tree.data, **given}
    if data.get("search") == "grid" and "samples" in given:
        raise ConfigError(
            "--samples has no effect with search: grid, which tries every point",
            "drop it, or choose search: random in the file",
        )
    try:
        spec = SweepSpec.model_validate(data)
    except ValidationError as error:
        options: dict[KeyPath, str] = {(key,): f"option --{key.replace('_', '-')}" for key in given}
        origins: dict[KeyPath, str] = {**tree.origins, **options}
        raise explain_validation(error, SweepSpec, data, origins, str(path)) from error

    def where(section: str, key: str) -> str:
        return tree.origins.get((section, key), str(path))

    axes = tuple(_axis(key, value, where("space", key)) for key, value in spec.space.items())
    pinned = tuple(_pinned(key, value, where("set", key)) for key, value in spec.set.items())
    fixed = (*pinned, *(_allowed(parse_override(text)) for text in overrides))
    require_apart(axes, fixed)
    base = spec.base if spec.base.is_absolute() else path.parent / spec.base
    return SweepFile(spec.model_copy(update={"base": base}), axes, fixed)


def _name_from(path: Path) -> str:
    word = re.sub(r"[^A-Za-z0-9.-]+", "-", path.stem).strip("-.")
    return word or "sweep"


def _axis(key: str, value: Any, where: str) -> Axis:
    _require_key(key, where)
    section = key.partition(".")[0]
    if section in FIXED:
        raise ConfigError(f"{where}: {key} cannot vary within a sweep", FIXED[section])
    return read_axis(key, value, where)


def _pinned(key: str, value: Any, where: str) -> Override:
    _require_key(key, where)
    return _allowed(Override(f"{key}={value}", tuple(key.split(".")), value, where))


def _allowed(given: Override) -> Override:
    section = given.keys[0]
    if section in FIXED and section not in _SETTABLE:
        raise ConfigError(f"{given.origin}: {section} cannot be set for all trials", FIXED[section])
    return given


def _require_key(key: str, where: str) -> None:
    if not _KEY.match(key):
        raise ConfigError(
            f"{where}: {key!r} is no dotted key", "write names joined by dots: train.lr"
        )
