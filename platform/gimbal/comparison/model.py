"""What a comparison says: plain frozen values, ready for JSON, the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["max", "min"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Measured(_Value):
    """A final number of a group.

    Attributes:
        value: Mean over its seeds.
        low: Lower end of the 95 % interval; None: there is none.
        high: Upper end.
        basis: What the interval stands on, or why there is none.
    """

    value: float
    low: float | None = None
    high: float | None = None
    basis: str = ""


class Difference(Measured):
    """A group minus the reference, over the same samples where there are any.

    Attributes:
        p: Of the paired test; None: none was made, see `basis`.
        p_corrected: After Holm's correction.
        samples: Pairs it stands on; 0: it stands on seeds alone.
        settled: The corrected p is below 5 % and the interval leaves 0 out.
    """

    p: float | None = None
    p_corrected: float | None = None
    samples: int = 0
    settled: bool = False


class RunLine(_Value):
    """A run in the comparison."""

    id: str
    name: str
    run_dir: str
    status: str
    seed: int | None = None
    group: int | None = None
    value: float | None = None
    seconds: float | None = None
    report: str | None = None
    message: str = ""
    notes: tuple[str, ...] = ()


class GroupLine(_Value):
    """Runs that are equal in everything but the seed.

    Attributes:
        number: Its place in the list, from 0; the best first, those without a value last.
        label: What sets it apart.
        settings: The settings that differ between groups.
        seeds: The seeds that have a value.
        runs: Positions in `Comparison.runs`.
        measured: The metric.
        others: Further final numbers.
        seconds: Mean wall-clock seconds of a run.
        difference: To the reference; None for the reference and where nothing may be compared.
        note: Why there is no value or no difference.
    """

    number: int
    label: str
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    runs: tuple[int, ...]
    measured: Measured | None = None
    others: dict[str, Measured] = {}
    seconds: float | None = None
    difference: Difference | None = None
    note: str = ""


class MetricLine(_Value):
    """What the runs are ranked by."""

    path: str
    mode: Mode
    unit: str = ""
    sample: str = ""
    """What a sample is; empty: the metric is known for whole runs only."""


class ProtocolDifference(_Value):
    """A key of the evaluation protocol that is not equal in all runs."""

    key: str
    values: tuple[tuple[str, Any], ...]
    """A run and its value, one for each value."""


class BestSoFar(_Value):
    """The best value after so many seconds of trials, in the order they ended."""

    seconds: float
    value: float
    best: float
    run: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """What only the page shows.

    Attributes:
        curves: By curve name and position of the run: steps and values.
        pairs: By group: differences to the reference, by sample.
    """

    curves: Mapping[str, Mapping[int, tuple[tuple[int, ...], tuple[float, ...]]]] = field(
        default_factory=dict
    )
    pairs: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


class Comparison(_Value):
    """Runs side by side.

    Attributes:
        verdict: What can be said, in sentences, the most important first.
        reference: Number of the group the others are compared with; None: no group has a value.
        chosen: Whether the reference was named or is the best by the metric.
        tests: Size of the family p values are corrected for.
        axes: The settings that differ between groups.
        across_protocols: Runs of different protocols are shown together, untested.
        notes: What could not be read or ranked, in sentences.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    title: str
    verdict: tuple[str, ...]
    metric: MetricLine | None
    reference: int | None
    chosen: Literal["best", "named"]
    tests: int
    axes: tuple[str, ...]
    groups: tuple[GroupLine, ...]
    runs: tuple[RunLine, ...]
    protocol: dict[str, Any]
    protocol_differences: tuple[ProtocolDifference, ...] = ()
    across_protocols: bool = False
    best_so_far: tuple[BestSoFar, ...] = ()
    notes: tuple[str, ...] = ()
    detail: Detail = Field(default_factory=Detail, exclude=True, repr=False)
