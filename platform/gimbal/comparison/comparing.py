"""Compare stored runs: from their folders to one `Comparison`.

The reference is the best group unless one is named. Whoever is picked by the numbers is tested
against everybody it was picked from: p values are then corrected for all pairs of groups, not only
for those shown, or the best of many equals would look better than some of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gimbal.comparison import protocols
from gimbal.comparison.grouping import Group, group_runs
from gimbal.comparison.measuring import difference, measure, pairs
from gimbal.comparison.metrics import Metric, choose_metric, further_metrics, lacking
from gimbal.comparison.model import (
    Comparison,
    Difference,
    GroupLine,
    Measured,
    MetricLine,
    Mode,
    ProtocolDifference,
)
from gimbal.comparison.records import RunRecord, load_run
from gimbal.comparison.seed_rows import Pairs, SeedRow, seed_rows
from gimbal.comparison.side_by_side import best_so_far, detail, run_lines
from gimbal.comparison.testing import corrected, p_values
from gimbal.comparison.verdict import verdict
from gimbal.errors import ConfigError

NO_COMMON_SEED = "no seed in common with the reference, and every seed has its own protocol"
NO_SAMPLES = "no samples: no interval"
OTHER_PROTOCOL = "another protocol than the reference's: not tested"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is asked of the runs.

    Attributes:
        title: Heading of the page.
        metric: Dotted path of a final number, or `stage.name` of a sampled one; None: the headline.
        mode: Whether the largest or the smallest is best; None: as the samples say.
        baseline: A run whose group is the reference; None: the best group.
        across_protocols: Show runs of different protocols side by side, untested.
        axes: Settings shown first.
    """

    title: str = ""
    metric: str | None = None
    mode: Mode | None = None
    baseline: Path | None = None
    across_protocols: bool = False
    axes: tuple[str, ...] = ()


def compare(folders: Sequence[Path], question: Question | None = None) -> Comparison:
    """Compare runs.

    Args:
        folders: Their folders; one named twice counts once.
        question: What to ask; none: how they rank by their headline number.

    Raises:
        ConfigError: There is nothing to compare, the metric is unknown, or the protocols differ.
    """
    paths = list(dict.fromkeys(path.absolute() for path in folders))
    if not paths:
        raise ConfigError("there are no runs to compare", "name runs, or --sweep NAME")
    return compare_records([load_run(path) for path in paths], question or Question())


def compare_records(runs: Sequence[RunRecord], question: Question) -> Comparison:
    """Compare runs that were read; see `compare`."""
    groups = group_runs(runs, question.axes)
    found, across = _checked(runs, groups, question)
    metric = choose_metric(runs, question.metric, question.mode)
    prints = [protocols.fingerprint(run) for run in runs]
    rows = [seed_rows(runs, group.runs, metric, prints) if metric else [] for group in groups]
    order = _ranked(rows, metric)
    groups, rows = [groups[i] for i in order], [rows[i] for i in order]
    reference = _reference(runs, groups, rows, question)
    tests = _family(rows, question)
    line = _metric_line(metric, runs)
    others = further_metrics(runs, metric) if metric else []
    lines = [
        _line(number, group, rows[number], runs, sampled=bool(line and line.sample)).model_copy(
            update={"others": _others(runs, group, others, prints)}
        )
        for number, group in enumerate(groups)
    ]
    swaps = _swaps(rows, reference)
    if reference is not None:
        lines = _with_differences(lines, rows, reference, swaps, tests)
    result = Comparison(
        title=question.title or _title(runs),
        verdict=(),
        metric=line,
        reference=reference,
        chosen="named" if question.baseline else "best",
        tests=tests,
        axes=tuple(groups[0].settings) if groups else (),
        groups=tuple(lines),
        runs=run_lines(runs, groups, metric),
        protocol=_common_protocol(runs),
        protocol_differences=found,
        across_protocols=across,
        best_so_far=best_so_far(runs, metric),
        notes=tuple(lacking(runs, metric)) if metric else (),
        detail=detail(runs, swaps),
    )
    return result.model_copy(update={"verdict": verdict(result)})


def _checked(
    runs: Sequence[RunRecord], groups: Sequence[Group], question: Question
) -> tuple[tuple[ProtocolDifference, ...], bool]:
    """Return the keys of the protocol that differ, and whether the seed does not explain them.

    Raises:
        ConfigError: They differ in more than the seed decides, and nobody said to go on.
    """
    found = protocols.differences(runs)
    members = {i: [runs[k] for k in group.runs] for i, group in enumerate(groups)}
    fair = protocols.decided_by_seed(runs, members)
    if found and not fair and not question.across_protocols:
        raise protocols.refuse(found)
    return found, bool(found) and not fair


def _family(rows: Sequence[Sequence[SeedRow]], question: Question) -> int:
    """Return how many tests p values are corrected for."""
    measured = sum(1 for group in rows if group)
    return max(measured - 1, 0) if question.baseline else measured * (measured - 1) // 2


def _ranked(rows: Sequence[Sequence[SeedRow]], metric: Metric | None) -> list[int]:
    def key(number: int) -> float:
        measured = [row.value for row in rows[number]]
        if metric is None or not measured:
            return math.inf
        return -metric.sign * sum(measured) / len(measured)

    return sorted(range(len(rows)), key=key)


def _reference(
    runs: Sequence[RunRecord],
    groups: Sequence[Group],
    rows: Sequence[Sequence[SeedRow]],
    question: Question,
) -> int | None:
    if question.baseline is None:
        return 0 if rows and rows[0] else None
    wanted = question.baseline.absolute()
    for number, group in enumerate(groups):
        if any(runs[i].path.absolute() == wanted for i in group.runs):
            return number if rows[number] else None
    raise ConfigError(
        f"the baseline {wanted.name} is not among the runs compared", "name it as a run as well"
    )


def _line(
    number: int,
    group: Group,
    rows: Sequence[SeedRow],
    runs: Sequence[RunRecord],
    *,
    sampled: bool,
) -> GroupLine:
    seconds = [s for i in group.runs if (s := runs[i].seconds) is not None]
    stands = dict.fromkeys(str(runs[i].status) for i in group.runs)
    return GroupLine(
        number=number,
        label=group.label,
        settings=dict(group.settings),
        seeds=tuple(row.seed for row in rows),
        runs=group.runs,
        measured=measure(rows),
        seconds=sum(seconds) / len(seconds) if seconds else None,
        note=_no_samples(rows, sampled=sampled) if rows else f"no number yet: {', '.join(stands)}",
    )


def _no_samples(rows: Sequence[SeedRow], *, sampled: bool) -> str:
    """Return what a group's interval lacks where other runs have samples and some of its do not."""
    bare = [str(row.seed) for row in rows if row.table is None]
    if not sampled or not bare:
        return ""
    if len(rows) == 1:
        return NO_SAMPLES
    return f"no samples of seed {', '.join(bare)}: interval over seeds alone"


def _others(
    runs: Sequence[RunRecord], group: Group, others: Sequence[Metric], prints: Sequence[str]
) -> dict[str, Measured]:
    found = {m.path: measure(seed_rows(runs, group.runs, m, prints)) for m in others}
    return {path: measured for path, measured in found.items() if measured is not None}


def _with_differences(
    lines: Sequence[GroupLine],
    rows: Sequence[list[SeedRow]],
    reference: int,
    swaps: Mapping[int, Pairs],
    tests: int,
) -> list[GroupLine]:
    base = rows[reference]
    found: dict[int, Difference] = {}
    notes: dict[int, str] = {}
    for number, group in enumerate(rows):
        if number == reference or not group:
            continue
        gap = difference(group, base)
        if gap is None:
            alone = {row.seed for row in group} & {row.seed for row in base}
            notes[number] = OTHER_PROTOCOL if alone else NO_COMMON_SEED
        else:
            found[number] = gap
    found = corrected(found, p_values(swaps), tests)
    return [
        line.model_copy(update={"difference": found.get(i), "note": line.note or notes.get(i, "")})
        for i, line in enumerate(lines)
    ]


def _swaps(rows: Sequence[list[SeedRow]], reference: int | None) -> dict[int, Pairs]:
    """Return what the paired tests swap, for every group that may be tested."""
    if reference is None:
        return {}
    others = {n: group for n, group in enumerate(rows) if group and n != reference}
    found = {n: pairs(group, rows[reference]) for n, group in others.items()}
    return {n: swap for n, swap in found.items() if swap is not None}


def _metric_line(metric: Metric | None, runs: Sequence[RunRecord]) -> MetricLine | None:
    if metric is None:
        return None
    sampled = any(metric.measured(run) is not None for run in runs)
    return MetricLine(
        path=metric.path,
        mode=metric.mode,
        unit=metric.unit,
        sample=metric.sample if sampled else "",
    )


def _common_protocol(runs: Sequence[RunRecord]) -> dict[str, object]:
    found = [protocols.protocol_of(run) for run in runs if run.samples]
    if not found:
        return {}
    return {k: v for k, v in found[0].items() if all(k in p and p[k] == v for p in found)}


def _title(runs: Sequence[RunRecord]) -> str:
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    return " · ".join(experiments[:3]) + (" …" if len(experiments) > 3 else "")
