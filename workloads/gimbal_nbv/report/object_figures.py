"""Figures over single objects and families: where the policy wins, and where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gimbal.pages.markup import plot_text

from .figures import Figure, Trace, reference_line
from .policies import policy
from .statistics import Gap, by_family, gap_closed
from .text import interval, number, numbers_in, percent, plural, records

SOURCES = (("folder", "folder meshes"), ("procedural", "procedural"))
Row = tuple[Mapping[str, Any], dict[str, float]]


def object_figures(evaluation: Mapping[str, Any]) -> list[Figure]:
    """Make the figures the per-object results allow."""
    objects = records(evaluation.get("per_object"))
    figures = [_leads_by_object(objects), _gap_by_family(objects)]
    return [figure for figure in figures if figure is not None]


def sources(objects: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Split objects by where they come from, folder meshes first, empty parts left out."""
    parts = [(label, [item for item in objects if _source(item) == key]) for key, label in SOURCES]
    return [(label, items) for label, items in parts if items]


def _source(item: Mapping[str, Any]) -> str:
    return "folder" if item.get("source") == "folder" else "procedural"


def _leads_by_object(objects: Sequence[Mapping[str, Any]]) -> Figure | None:
    groups = [(label, _sorted_rows(items)) for label, items in sources(objects)]
    groups = [(label, rows) for label, rows in groups if rows]
    if not groups:
        return None
    xs: list[float] = []
    rows: list[Row] = []
    labels: list[dict[str, Any]] = []
    for label, part in groups:
        start = xs[-1] + 2.5 if xs else 0.0
        end = start + len(part) - 1
        labels.append(_group_label(label, len(part), end if xs else start, last=bool(xs)))
        xs += [start + index for index in range(len(part))]
        rows += part
    leads = [auc["policy"] - auc["farthest"] for _, auc in rows]
    wins = sum(lead > 0 for lead in leads)
    return Figure(
        id="objects",
        title="Lead over farthest, object by object",
        caption="Each stem runs from farthest (the zero line) to the learned policy on one "
        "object, sorted; the tick above is what the oracle could gain.",
        alt=f"The learned policy beats farthest on {wins} of {plural(len(rows), 'object')}; "
        f"leads run from {number(min(leads), 3, sign=True)} to "
        f"{number(max(leads), 3, sign=True)} AUC.",
        data=[*_stems(xs, leads), *_marks(xs, rows)],
        layout={
            "showlegend": True,
            "xaxis": {"visible": False, "range": [-1.2, xs[-1] + 1.2]},
            "yaxis": {"title": {"text": "AUC minus farthest's"}, "tickformat": "+.2~f"},
            "shapes": [reference_line(y=0.0)],
            "annotations": labels if len(labels) > 1 else [],
        },
        height=380,
        wide=True,
    )


def _sorted_rows(objects: Sequence[Mapping[str, Any]]) -> list[Row]:
    table = [(item, numbers_in(item.get("auc"))) for item in objects]
    rows = [(item, auc) for item, auc in table if "policy" in auc and "farthest" in auc]
    return sorted(rows, key=lambda row: row[1]["farthest"] - row[1]["policy"])


def _group_label(label: str, count: int, x: float, *, last: bool) -> dict[str, Any]:
    return {
        "text": f"<b>{label}</b> ({count})",
        "x": x,
        "y": 0.0,
        "yref": "paper",
        "xanchor": "right" if last else "left",
        "yanchor": "top",
        "showarrow": False,
    }


def _stems(xs: Sequence[float], leads: Sequence[float]) -> list[Trace]:
    """Draw wins and losses as two traces of separate segments."""
    traces: list[Trace] = []
    for won, colour in ((True, "var(--c-policy)"), (False, "var(--c-farthest)")):
        pairs = [(x, lead) for x, lead in zip(xs, leads, strict=True) if (lead > 0) == won]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [value for x, _ in pairs for value in (x, x, None)],
                "y": [value for _, lead in pairs for value in (0.0, lead, None)],
                "line": {"color": colour, "width": 2},
                "opacity": 0.55,
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return traces


def _marks(xs: Sequence[float], rows: Sequence[Row]) -> list[Trace]:
    symbols = {"oracle": "line-ew-open", "blind": "circle-open", "policy": "circle"}
    return [
        _mark(key, symbol, xs, rows)
        for key, symbol in symbols.items()
        if any(key in auc for _, auc in rows)
    ]


def _mark(key: str, symbol: str, xs: Sequence[float], rows: Sequence[Row]) -> Trace:
    look = policy(key)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": look.label,
        "x": list(xs),
        "y": [auc[key] - auc["farthest"] if key in auc else None for _, auc in rows],
        "marker": {
            "color": look.colour,
            "symbol": symbol,
            "size": 8 if key == "policy" else 7,
            "line": {"color": look.colour, "width": 1.8},
        },
        "text": [_hover(item, auc) for item, auc in rows],
        "hovertemplate": f"%{{text}}<br>{look.label}: %{{y:+.4f}}<extra></extra>",
    }


def _hover(item: Mapping[str, Any], auc: Mapping[str, float]) -> str:
    known = (key for key in ("policy", "blind", "farthest", "oracle") if key in auc)
    values = "<br>".join(f"{policy(key).label} {number(auc[key], 4)}" for key in known)
    name = plot_text(str(item.get("object_id", "unnamed"))[:80])
    return f"<b>{name}</b> ({plot_text(item.get('family') or _source(item))})<br>{values}"


def _gap_by_family(objects: Sequence[Mapping[str, Any]]) -> Figure | None:
    gaps = {family: gap_closed(items) for family, items in by_family(objects).items()}
    known = {family: gap for family, gap in gaps.items() if gap is not None}
    if len(known) < 2:
        return None
    names = sorted(known, key=lambda family: known[family].value)
    labels = [f"{plot_text(name[:40])} ({known[name].objects})" for name in names]
    return Figure(
        id="families",
        title="Gap closed, family by family",
        caption="Share of the farthest → oracle gap, with 95 % paired bootstrap intervals; the "
        "number of objects stands in brackets. Few objects make wide intervals.",
        alt="; ".join(f"{name} {_written(known[name])}" for name in reversed(names)) + ".",
        data=[_family_bars(labels, [known[name] for name in names])],
        layout={
            "xaxis": {"tickformat": ".0%", "range": _scale([known[name] for name in names])},
            "yaxis": {"automargin": True},
            "shapes": [reference_line(x=0.0), reference_line(x=1.0)],
            "bargap": 0.45,
        },
        height=max(220, 110 + 30 * len(names)),
        wide=True,
    )


def _scale(gaps: Sequence[Gap]) -> list[float]:
    """Show both references and every bar, but let no wild interval squash the rest."""
    values = [gap.value for gap in gaps]
    lows = [max(gap.ci95[0], -0.5) for gap in gaps if gap.ci95]
    highs = [min(gap.ci95[1], 1.5) for gap in gaps if gap.ci95]
    return [min([0.0, *values, *lows]) - 0.05, max([1.0, *values, *highs]) + 0.05]


def _written(gap: Gap) -> str:
    return f"{percent(gap.value)} {interval(gap.ci95, digits=0, share=True)}".strip()


def _family_bars(labels: Sequence[str], gaps: Sequence[Gap]) -> Trace:
    ends = [gap.ci95 or (gap.value, gap.value) for gap in gaps]
    return {
        "type": "bar",
        "orientation": "h",
        "x": [gap.value for gap in gaps],
        "y": list(labels),
        "marker": {
            "color": ["var(--c-policy)" if gap.value > 0 else "var(--c-farthest)" for gap in gaps],
            "opacity": 0.75,
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - gap.value for gap, (_, high) in zip(gaps, ends, strict=True)],
            "arrayminus": [gap.value - low for gap, (low, _) in zip(gaps, ends, strict=True)],
            "color": "var(--ink)",
            "thickness": 1.4,
            "width": 4,
        },
        "customdata": [_written(gap) for gap in gaps],
        "hovertemplate": "<b>%{y}</b><br>closes %{customdata}<extra></extra>",
    }
