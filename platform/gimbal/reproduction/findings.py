"""What a check found, sorted by what it means for a run's numbers.

Three classes, because "different" alone helps nobody: another host is worth noting, another version
of the rasteriser decides numbers, and a missing record leaves the question open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gimbal.errors import CannotTell, Drift

_NAMED = 3


class Weight(StrEnum):
    """What a finding means."""

    DECIDES = "decides"
    """It enters a fingerprint, or else decides what is computed."""
    OPEN = "open"
    """A record is missing, unfinished or damaged: it cannot be told."""
    NOTED = "noted"
    """It says where or how fast something ran."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One difference, or one thing that cannot be told.

    Attributes:
        weight: What it means.
        words: What differs, in one phrase.
        stages: The stages it touches; empty: the run as a whole.
    """

    weight: Weight
    words: str
    stages: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.words} ({', '.join(self.stages)})" if self.stages else self.words


def decides(words: str, *stages: str) -> Finding:
    """Return a finding that decides numbers."""
    return Finding(weight=Weight.DECIDES, words=words, stages=stages)


def open_question(words: str, *stages: str) -> Finding:
    """Return a finding that leaves the question open."""
    return Finding(weight=Weight.OPEN, words=words, stages=stages)


def noted(words: str) -> Finding:
    """Return a finding that is only worth noting."""
    return Finding(weight=Weight.NOTED, words=words)


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return each finding once, with all the stages it touches, in the order first met."""
    stages: dict[tuple[Weight, str], dict[str, None]] = {}
    for finding in findings:
        stages.setdefault((finding.weight, finding.words), {}).update(dict.fromkeys(finding.stages))
    return tuple(
        Finding(weight=weight, words=words, stages=tuple(names))
        for (weight, words), names in stages.items()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Everything a check found about a run.

    Attributes:
        run_dir: The run.
        findings: All of them, merged.
        same: What was compared and found equal, in phrases.
    """

    run_dir: str
    findings: tuple[Finding, ...]
    same: tuple[str, ...] = ()

    def of(self, weight: Weight) -> tuple[Finding, ...]:
        """Return the findings of one class."""
        return tuple(finding for finding in self.findings if finding.weight is weight)

    @property
    def exit_code(self) -> int:
        """0: nothing that decides numbers differs; 7: something does; 8: it cannot be told."""
        if self.of(Weight.DECIDES):
            return Drift.exit_code
        return CannotTell.exit_code if self.of(Weight.OPEN) else 0

    def require(self) -> None:
        """Do nothing if the run would come out again.

        Raises:
            Drift: Something that decides numbers differs.
            CannotTell: Nothing differs as far as can be told, but not all of it can.
        """
        if differing := self.of(Weight.DECIDES):
            raise Drift(
                f"this environment would not reproduce {self.run_dir}: {_few(differing)}",
                "`gimbal reproduce RUN` takes the recorded code; versions and files are up to you",
            )
        if unknown := self.of(Weight.OPEN):
            raise CannotTell(
                f"it cannot be told whether {self.run_dir} would come out again: {_few(unknown)}",
                "mend or restore what is named, or run the config again",
            )

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {
            "run_dir": self.run_dir,
            "exit_code": self.exit_code,
            **{
                str(weight): [
                    {"what": finding.words, "stages": list(finding.stages)}
                    for finding in self.of(weight)
                ]
                for weight in Weight
            },
            "same": list(self.same),
        }


def _few(findings: Sequence[Finding]) -> str:
    named = "; ".join(str(finding) for finding in findings[:_NAMED])
    more = len(findings) - _NAMED
    return f"{named}; and {more} more" if more > 0 else named
