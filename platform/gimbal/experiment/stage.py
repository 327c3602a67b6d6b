"""The contract between the platform and a workload: stages, their inputs, outputs and gates.

A workload is a short list of stages. What a stage computes is a function of `settings`, its
inputs and the code it runs; the fingerprint is a hash of exactly those, so equal fingerprints mean
an equal result and the stage is skipped. `gimbal.data.DataStage` and `gimbal.training.TrainStage`
are the other two kinds of stage.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

Comparison = Literal["<", "<=", ">", ">="]
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    """What a gate found."""

    name: str
    passed: bool
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A check over a stage's numbers; a failed gate ends the run with its hint.

    Args:
        name: Short name, shown to the user.
        metric: Dotted path into the stage's metrics, such as `auc.policy`.
        op: How the metric is compared.
        threshold: A number, or the dotted path of another metric.
        hint: What the user should look at or change when the gate fails.
    """

    name: str
    metric: str
    op: Comparison
    threshold: float | str
    hint: str

    def check(self, metrics: Mapping[str, Any]) -> GateResult:
        """Compare the metric; a missing or non-finite one fails."""
        value = lookup(metrics, self.metric)
        bound = self.threshold
        limit = lookup(metrics, bound) if isinstance(bound, str) else bound
        if value is None or limit is None:
            missing = self.metric if value is None else bound
            return GateResult(name=self.name, passed=False, message=f"{missing} was not reported")
        passed = _COMPARE[self.op](value, limit)
        return GateResult(
            name=self.name,
            passed=passed,
            message=f"{self.metric} = {value:.6g}, wanted {self.op} {limit:.6g}",
        )


def lookup(metrics: Mapping[str, Any], dotted: str) -> float | None:
    """Return the number at a dotted path, or None where there is none."""
    node: Any = metrics
    for part in dotted.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return float(node) if isinstance(node, int | float) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOutput:
    """A finished stage: where its files are and what it measured."""

    name: str
    path: Path
    fingerprint: str
    metrics: Mapping[str, Any]


StageInputs = Mapping[str, StageOutput]


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """One step of a workload. Subclasses are picklable and hold no open files.

    Attributes:
        name: Unique within the workload; also the name of its folder.
        settings: The part of the config that decides what this stage computes.
        seed: The experiment's seed.
        inputs: Names of the earlier stages it reads.
        gates: Checks over its metrics.
        num_cpus: CPUs one Ray task of this stage takes.
        num_gpus: GPUs one Ray task of this stage takes; a fraction shares one.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    """Distributions whose version is part of the fingerprint."""
    code_modules: ClassVar[tuple[str, ...]] = ()
    """Modules the stage runs but imports only by a computed name; their code counts as well."""
    bookkeeping: ClassVar[frozenset[str]] = frozenset(
        {"name", "settings", "seed", "inputs", "gates", "num_cpus", "num_gpus", "always"}
    )
    """Fields that do not enter the fingerprint by themselves; every other field does."""

    name: str
    settings: BaseModel
    seed: int = 0
    inputs: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    num_cpus: float = 1.0
    num_gpus: float = 0.0

    def external_files(self) -> Sequence[Path]:
        """Return the files and folders outside the runs folder that the stage reads.

        Their content enters the fingerprint, and their path does not.
        """
        return ()

    def outside_state(self) -> str:
        """Return a hash of what it reads from outside and nobody would read twice to hash it.

        For a data set of hundreds of gigabytes: of the names, sizes and times of its files, say.
        It enters the fingerprint; empty: there is nothing of the kind.
        """
        return ""


Progress = Callable[[int, int, str], None]
"""Called with what is done, the total and a few words."""


@dataclass(frozen=True, kw_only=True)
class TaskStage(Stage):
    """A stage that is one Ray task: evaluation, meshes, reports."""

    always: bool = field(default=False)
    """Run it every time (a report, say): it is cheap and shows the newest numbers."""

    @abstractmethod
    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write files to `out_dir` and return the numbers."""
