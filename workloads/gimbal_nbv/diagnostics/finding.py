"""What a diagnostic found: checks with thresholds, numbers, figures.

A check that could not be made is NOT CHECKABLE and never counts as passed; a diagnosis passes only
when at least one check was made and none failed.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Comparison = Literal["<", "<=", ">", ">="]
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Verdict(StrEnum):
    """The answer of a check or a diagnosis."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_CHECKABLE = "NOT CHECKABLE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One number against one threshold.

    Attributes:
        name: What is asked, in a few words.
        value: The number found; None where it could not be found.
        op: How it is compared.
        threshold: What it is compared with.
        hint: What to do when it fails, or what is missing where it cannot be checked.
        ci95: Interval of the value, where there is one.
    """

    name: str
    value: float | None
    op: Comparison
    threshold: float
    hint: str
    ci95: tuple[float, float] | None = None

    @property
    def verdict(self) -> Verdict:
        """PASS or FAIL; a missing value is NOT CHECKABLE, a non-finite one fails."""
        if self.value is None:
            return Verdict.NOT_CHECKABLE
        good = math.isfinite(self.value) and _COMPARE[self.op](self.value, self.threshold)
        return Verdict.PASS if good else Verdict.FAIL


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of the page.

    Attributes:
        title: Heading.
        columns: Column heads.
        rows: Cells as text or numbers.
        caption: A sentence below.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A figure of the page, as Plotly takes it.

    Attributes:
        title: Heading.
        data: Traces.
        layout: Layout without title.
        caption: What to see in it.
    """

    title: str
    data: tuple[Mapping[str, Any], ...]
    layout: Mapping[str, Any]
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """A diagnostic's answer.

    Attributes:
        name: Name of the command, such as `oracle-test`.
        question: What was asked, one sentence.
        answer: What came out, one or two sentences with the numbers that matter.
        checks: Decide the verdict.
        numbers: Everything measured, ready for JSON.
        tables: For the page.
        plots: For the page.
        spheres: Objects for the page's interactive sphere; see `report.sphere`.
        layers: What the sphere can be coloured by, `key in a step → name`; None: the report's.
    """

    name: str
    question: str
    answer: str
    checks: tuple[Check, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    spheres: tuple[Mapping[str, Any], ...] = ()
    layers: Mapping[str, str] | None = None

    @property
    def verdict(self) -> Verdict:
        """FAIL where a check failed, PASS where one was made and none failed."""
        verdicts = {check.verdict for check in self.checks}
        if Verdict.FAIL in verdicts:
            return Verdict.FAIL
        return Verdict.PASS if Verdict.PASS in verdicts else Verdict.NOT_CHECKABLE
