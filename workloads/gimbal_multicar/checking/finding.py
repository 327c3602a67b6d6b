"""What a check of a data set found, as values; only the command prints them and decides an exit.

A check that could not be made is CANNOT TELL and never counts as passed. A warning is something a
person should know that does not make the data wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

Measured = str | float | int | None

SHOWN = 10
"""Places named in one finding; more are counted."""


class Status(StrEnum):
    """The answer of one check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    CANNOT_TELL = "cannot_tell"


class Verdict(StrEnum):
    """The answer of all checks."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_CHECKABLE = "NOT CHECKABLE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What was asked, in a few words; unique to a kind of check and a split.
        status: The answer.
        measured: What was found.
        expected: What should have been found, from calibration or from the rest of the data.
        cause: The likely reason where something is wrong; names the mistake.
        hint: What to do.
        where: Files, cars or frames concerned, at most `SHOWN`.
        count: How many there are in all.
    """

    name: str
    status: Status
    measured: Measured = None
    expected: Measured = None
    cause: str = ""
    hint: str = ""
    where: tuple[str, ...] = ()
    count: int = 0


def ok(name: str, measured: Measured, expected: Measured = None, hint: str = "") -> Finding:
    """Return a finding that nothing is wrong with."""
    return Finding(name=name, status=Status.OK, measured=measured, expected=expected, hint=hint)


def cannot_tell(name: str, cause: str, hint: str = "", measured: Measured = None) -> Finding:
    """Return a finding that a check could not be made, and why."""
    return Finding(name=name, status=Status.CANNOT_TELL, measured=measured, cause=cause, hint=hint)


def shortened(places: Iterable[str]) -> tuple[str, ...]:
    """Return the first `SHOWN` places."""
    return tuple(sorted(places))[:SHOWN]


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """FAIL where a check failed, PASS where one was made and none failed."""
    statuses = {f.status for f in findings}
    if Status.FAIL in statuses:
        return Verdict.FAIL
    return Verdict.PASS if statuses & {Status.OK, Status.WARN} else Verdict.NOT_CHECKABLE
