"""The tables of the comparison page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gimbal.comparison.grouping import shown
from gimbal.comparison.model import Comparison, Difference, GroupLine, Measured, RunLine
from gimbal.comparison.verdict import number, numbers
from gimbal.pages.markup import Child, Html, el, join

COLOURS = 8
"""So many groups have a colour of their own; the others are grey."""
_SIDE_BY_SIDE = 5
_LINKS = 6


def results(comparison: Comparison, folder: Path) -> Html:
    """Return the table of groups, the best first.

    Args:
        comparison: The comparison.
        folder: Where the page stands, for links relative to it.
    """
    others = list(dict.fromkeys(path for group in comparison.groups for path in group.others))
    span = _span(comparison)
    rows = [_result(comparison, group, others, span, folder) for group in comparison.groups]
    return el(
        "div",
        el(
            "table",
            el("thead", el("tr", _heads(comparison, others))),
            el("tbody", rows),
            class_="results sortable",
        ),
        class_="scroll tall" if len(rows) > 25 else "scroll",
    )


def settings(comparison: Comparison) -> Html | None:
    """Return the settings that differ: side by side for a few groups, else the values in use."""
    if len(comparison.groups) < 2 or not comparison.axes:
        return None
    few = len(comparison.groups) <= _SIDE_BY_SIDE
    heads: list[Child] = [g.label for g in comparison.groups] if few else ["values"]
    rows = [_setting(comparison, key, few=few) for key in comparison.axes]
    head = el("tr", el("th", "setting"), [el("th", text) for text in heads])
    return el(
        "div", el("table", el("thead", head), el("tbody", rows), class_="plain"), class_="scroll"
    )


def protocol_warning(comparison: Comparison) -> Html | None:
    """Return what a page across protocols says before all else."""
    if not comparison.across_protocols:
        return None
    rows = [
        el("tr", el("th", d.key), el("td", [_value_of_run(run, value) for run, value in d.values]))
        for d in comparison.protocol_differences
    ]
    return el(
        "div",
        el("p", el("b", "Different evaluation protocols.")),
        el(
            "p",
            "These runs answered different questions. Their numbers stand side by side because "
            "somebody asked for it (--across-protocols); no test was made across protocols.",
        ),
        el("div", el("table", el("tbody", rows)), class_="sideways"),
        class_="warn across",
        role="alert",
    )


def protocol_box(comparison: Comparison) -> Html | None:
    """Return the protocol that all runs share."""
    if not comparison.protocol:
        return None
    rows = [
        el("tr", el("th", key), el("td", shown(value)))
        for key, value in comparison.protocol.items()
    ]
    return el(
        "details",
        el("summary", "Evaluation protocol of all runs"),
        el("div", el("table", el("tbody", rows), class_="plain"), class_="scroll"),
    )


def troubles(comparison: Comparison, folder: Path) -> Html | None:
    """Return the runs that did not finish, or that a reader should know something of."""
    odd = [run for run in comparison.runs if run.status != "finished" or run.notes or run.message]
    if not odd:
        return None
    head = el("tr", [el("th", text) for text in ("run", "state", "why")])
    rows = [
        el(
            "tr",
            el("th", _link(run.name, run.run_dir, folder)),
            el("td", el("span", run.status, class_=f"pill {_tone(run.status)}")),
            el("td", " · ".join([*filter(None, [run.message]), *run.notes]) or "–"),
        )
        for run in odd
    ]
    table = el("table", el("thead", head), el("tbody", rows), class_="plain")
    return el("div", table, class_="scroll")


def swatch(place: int) -> Html:
    """Return the colour of a group."""
    return el("span", class_="swatch", style=f"--swatch:{colour(place)}", aria_hidden="true")


def colour(place: int) -> str:
    """Return the CSS colour of the group at a place in the ranking."""
    return f"var(--g{place})" if place < COLOURS else "var(--g-rest)"


def _heads(comparison: Comparison, others: Sequence[str]) -> list[Html]:
    metric = comparison.metric
    unit = f" ({metric.unit})" if metric and metric.unit else ""
    heads = [_head("group", text=True)]
    if metric is not None:
        heads.append(_head(f"{metric.path}{unit}"))
        heads.append(el("th", "95 % interval", class_="forest-head"))
    if _tested(comparison):
        heads += [_head("difference"), _head("p (Holm)")]
    heads += [_head("seeds"), *(_head(path) for path in others), _head("seconds")]
    return [*heads, el("th", "reports")]


def _head(name: str, *, text: bool = False) -> Html:
    parts = [part for word in name.split(".") for part in (word, ".", el("wbr"))][:-2]
    button = el("button", parts, type="button")
    return el("th", button, class_=None if text else "num", scope="col")


def _result(
    comparison: Comparison,
    group: GroupLine,
    others: Sequence[str],
    span: tuple[float, float] | None,
    folder: Path,
) -> Html:
    cells = [
        el(
            "th",
            swatch(group.number),
            group.label,
            el("small", " reference") if group.number == comparison.reference else None,
            el("small", f" {group.note}", class_="note") if group.note else None,
            scope="row",
        )
    ]
    if comparison.metric is not None:
        cells += [_measured(group.measured), el("td", _forest(comparison, group, span))]
    if _tested(comparison):
        cells += _difference(group.difference)
    cells.append(_num(len(group.seeds), f"{len(group.seeds)}"))
    cells += [_measured(group.others.get(path)) for path in others]
    cells.append(_num(group.seconds, "–" if group.seconds is None else f"{group.seconds:,.0f}"))
    runs = [comparison.runs[i] for i in group.runs]
    cells.append(el("td", _reports(runs, folder), class_="links"))
    is_reference = group.number == comparison.reference
    return el("tr", cells, class_="reference" if is_reference else None, data_group=group.number)


def _measured(measured: Measured | None) -> Html:
    if measured is None:
        return _num(None, "–")
    if measured.low is None or measured.high is None:
        return _num(measured.value, el("b", number(measured.value)), title=measured.basis)
    value, low, high = numbers(measured.value, measured.low, measured.high)
    return _num(
        measured.value,
        el("b", value),
        el("span", f"{low} to {high}", class_="ci"),
        title=f"95 % interval over {measured.basis}",
    )


def _difference(gap: Difference | None) -> list[Html]:
    if gap is None:
        return [_num(None, "–"), _num(None, "–")]
    sign = "+" if gap.value > 0 else ""
    value, ends = number(gap.value), None
    if gap.low is not None and gap.high is not None:
        value, low, high = numbers(gap.value, gap.low, gap.high)
        ends = el("span", f"{low} to {high}", class_="ci")
    pairs = f"{gap.samples} pairs, interval over " if gap.samples else ""
    cell = _num(gap.value, sign + value, ends, title=pairs + gap.basis)
    if gap.p_corrected is None:
        return [cell, _num(None, "–", title=gap.basis)]
    shown_p = p_text(gap.p_corrected)
    raw = f"uncorrected: {p_text(gap.p or 0.0)}"
    mark = el("span", " settled", class_="settled") if gap.settled else None
    return [cell, _num(gap.p_corrected, shown_p, mark, title=raw)]


def p_text(p: float) -> str:
    """Return a p value as it is usually written."""
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def _forest(
    comparison: Comparison, group: GroupLine, span: tuple[float, float] | None
) -> Html | None:
    """Return the interval as a whisker, with a dot for the mean and a tick for each seed."""
    if span is None or group.measured is None:
        return None
    low, high = span

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    parts: list[Html] = []
    measured = group.measured
    if measured.low is not None and measured.high is not None:
        left, right = (min(max(place(v), 0.0), 100.0) for v in (measured.low, measured.high))
        style = f"left:{left}%;width:{round(right - left, 2)}%"
        parts.append(el("span", class_="whisker", style=style))
    seeds = [comparison.runs[i].value for i in group.runs]
    ticks = [value for value in seeds if value is not None] if len(group.seeds) > 1 else []
    parts += [el("span", class_="seed", style=f"left:{place(v)}%") for v in ticks]
    parts.append(el("span", class_="dot", style=f"left:{place(measured.value)}%"))
    return el("div", parts, class_="track", style=f"--swatch:{colour(group.number)}")


def _span(comparison: Comparison) -> tuple[float, float] | None:
    """Return what the whiskers' axis reaches over: every mean, and intervals up to a limit."""
    found = [group.measured for group in comparison.groups if group.measured]
    seeds = [run.value for run in comparison.runs if run.value is not None]
    values = [m.value for m in found] + seeds
    if not values:
        return None
    low, high = min(values), max(values)
    room = max(high - low, 1e-12) * 1.5
    ends = [end for m in found for end in (m.low, m.high) if end is not None]
    low = max(min([low, *ends]), low - room) if high > low else min([low, *ends])
    high = min(max([high, *ends]), high + room) if ends else high
    pad = 0.04 * (high - low) or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


def _reports(runs: Sequence[RunLine], folder: Path) -> Child | list[Any]:
    having = [run for run in runs if run.report]
    links = [
        _link("report" if len(having) == 1 else f"seed {run.seed}", run.report or "", folder)
        for run in having[:_LINKS]
    ]
    return join([part for link in links for part in (link, Html(" "))]) or "–"


def _link(text: str, target: str, folder: Path) -> Html:
    return el("a", text, href=Path(os.path.relpath(target, folder.absolute())).as_posix())


def _setting(comparison: Comparison, key: str, *, few: bool) -> Html:
    values = [shown(group.settings.get(key)) for group in comparison.groups]
    if few:
        return el("tr", el("th", key), [el("td", value) for value in values])
    kinds = {kind: values.count(kind) for kind in values}
    words = [kind if count == 1 else f"{kind} ({count} groups)" for kind, count in kinds.items()]
    return el("tr", el("th", key), el("td", ", ".join(words)))


def _value_of_run(run: str, value: Any) -> Html:
    return el("div", el("code", shown(value)), el("small", f" {run}"))


def _tested(comparison: Comparison) -> bool:
    return any(group.difference for group in comparison.groups)


def _num(value: float | None, *children: Child, title: str = "") -> Html:
    sort = "" if value is None else f"{value:.12g}"
    return el("td", *children, class_="num", data_sort=sort, title=title or None)


def _tone(status: str) -> str:
    return {"failed": "bad", "damaged": "bad", "finished": "good"}.get(status, "plain")
