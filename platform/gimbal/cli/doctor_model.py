"""What a check of `gimbal doctor` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from gimbal.errors import GimbalError

Status = Literal["ok", "absent", "problem"]
"""`absent`: something optional is not there; `problem`: something will fail or mislead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One finding.

    Attributes:
        group: Heading it stands under.
        name: What was looked at.
        status: How it stands.
        value: What was found.
        remedy: What to do about it, or a hint; may be empty.
        place: Folder of what was found, where that matters; may be empty.
    """

    group: str
    name: str
    status: Status
    value: str
    remedy: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order in which they are shown."""

    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return all(check.status != "problem" for check in self.checks)


Checker = Callable[[], Iterable[Check]]


def guarded(group: str, name: str, checker: Checker) -> list[Check]:
    """Run a checker; whatever breaks in it becomes a finding."""
    try:
        return list(checker())
    except GimbalError as exc:
        return [
            Check(group=group, name=name, status="problem", value=exc.message, remedy=exc.remedy)
        ]
    except Exception as exc:  # the border of the doctor: a sick machine may break anything
        words = f"could not be checked: {type(exc).__name__}: {exc}"
        return [Check(group=group, name=name, status="problem", value=words)]
