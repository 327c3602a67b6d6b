"""What a comparison comes to, in sentences."""

from __future__ import annotations

import math

from gimbal.comparison.model import Comparison, GroupLine, Measured, MetricLine

_NAMED = 3
_DECIMALS = 9


def verdict(comparison: Comparison) -> tuple[str, ...]:
    """Return what can be said, the most important first."""
    metric = comparison.metric
    measured = [group for group in comparison.groups if group.measured is not None]
    if metric is None or not measured:
        return ("No run has a number to compare yet.", *_troubles(comparison))
    sentences = [_best(comparison, metric, measured[0])]
    if len(measured) > 1 and comparison.reference is not None:
        sentences += _against(comparison, measured)
    return (*sentences, *_across(comparison), *_seeds(measured), *_troubles(comparison))


def number(value: float) -> str:
    """Return a number with four significant digits."""
    return f"{value:.4g}"


def numbers(value: float, low: float, high: float) -> tuple[str, str, str]:
    """Return a value and its interval with as many decimals as the interval's width deserves."""
    width = high - low
    if not width > 0 or not math.isfinite(width):
        return number(value), number(low), number(high)
    decimals = 1 - math.floor(math.log10(width / 2))
    if decimals < 0 or decimals > _DECIMALS:
        return number(value), number(low), number(high)
    return f"{value:.{decimals}f}", f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def interval(measured: Measured) -> str:
    """Return `0.61 [0.57, 0.66]`, or the value alone where there is no interval."""
    if measured.low is None or measured.high is None:
        return number(measured.value)
    value, low, high = numbers(measured.value, measured.low, measured.high)
    return f"{value} [{low}, {high}]"


def _best(comparison: Comparison, metric: MetricLine, best: GroupLine) -> str:
    value = interval(best.measured) if best.measured else ""
    unit = f" {metric.unit}" if metric.unit else ""
    word = "highest" if metric.mode == "max" else "lowest"
    if len(comparison.groups) == 1:
        return f"{metric.path} is {value}{unit}."
    return f"{best.label} has the {word} {metric.path}: {value}{unit}."


def _against(comparison: Comparison, measured: list[GroupLine]) -> list[str]:
    reference = next(g for g in comparison.groups if g.number == comparison.reference)
    tested = [g for g in measured if g.difference and g.difference.p is not None]
    if not tested:
        return []
    settled = [g for g in tested if g.difference and g.difference.settled]
    open_ = [g for g in tested if g not in settled]
    untested = [g for g in measured if g not in tested and g is not reference]
    if comparison.chosen == "best":
        several = any(len(group.seeds) > 1 for group in measured)
        chance = "chance" if several else "the chance of samples"
        return [*_against_best(settled, open_, chance, len(untested)), *_untested(untested)]
    better = [g for g in settled if _is_better(comparison, g)]
    worse = [g for g in settled if g not in better]
    parts = [
        f"better than {reference.label}: {_names(better)}" if better else "",
        f"worse: {_names(worse)}" if worse else "",
        f"not told apart from it: {_names(open_)}" if open_ else "",
    ]
    text = "; ".join(part for part in parts if part)
    return [text[0].upper() + text[1:] + ".", *_untested(untested)]


def _against_best(
    settled: list[GroupLine], open_: list[GroupLine], chance: str, untested: int
) -> list[str]:
    which = "other group" if not untested else "group it could be tested against"
    if not settled:
        return [f"No {which} can be told from it: the differences are within {chance}."]
    if not open_:
        return [f"It is better than every {which}, beyond {chance}."]
    count = f"{len(settled)} other group{'s' if len(settled) > 1 else ''}"
    return [f"It is better than {count} beyond {chance}; not told apart from {_names(open_)}."]


def _untested(groups: list[GroupLine]) -> list[str]:
    return [f"Not tested: {_names(groups)}."] if groups else []


def _is_better(comparison: Comparison, group: GroupLine) -> bool:
    if comparison.metric is None or group.difference is None:
        return False
    return (group.difference.value > 0) == (comparison.metric.mode == "max")


def _names(groups: list[GroupLine]) -> str:
    names = ", ".join(group.label for group in groups[:_NAMED])
    more = len(groups) - _NAMED
    return f"{names} and {more} more" if more > 0 else names


def _across(comparison: Comparison) -> list[str]:
    if not comparison.protocol_differences:
        return []
    keys = ", ".join(d.key for d in comparison.protocol_differences)
    if comparison.across_protocols:
        return [f"The runs were evaluated by different protocols ({keys}): nothing was tested."]
    return [f"Every seed has its own protocol ({keys}): runs are paired within a seed."]


def _seeds(measured: list[GroupLine]) -> list[str]:
    if any(len(group.seeds) > 1 for group in measured):
        return []
    return ["One seed each: chance in training is not in the intervals."]


def _troubles(comparison: Comparison) -> list[str]:
    counts: dict[str, int] = {}
    for run in comparison.runs:
        if run.status != "finished":
            counts[run.status] = counts.get(run.status, 0) + 1
    if not counts:
        return []
    total = len(comparison.runs)
    listed = ", ".join(f"{count} {status}" for status, count in counts.items())
    return [f"Of {total} runs, {listed}."]
