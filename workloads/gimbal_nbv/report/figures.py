"""Plotly figures of the results, as plain dictionaries the page draws.

Each figure carries a caption and a text alternative; each trace names its policy in `meta` so
that one key of policies can switch lines on and off in every plot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gimbal.pages.markup import plot_text

from .policies import ordered, policy
from .text import floats, mapping, number, numbers_in, percent

Trace = dict[str, Any]
MUTED = "var(--muted)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One plot of the page.

    Attributes:
        id: Element id, unique on the page.
        title: Heading above the plot.
        caption: One sentence that tells what to look for.
        alt: Text alternative with the main numbers.
        data: Plotly traces.
        layout: Plotly layout on top of the page's own template.
        height: Pixels.
        wide: Whether it takes the whole row.
    """

    id: str
    title: str
    caption: str
    alt: str
    data: list[Trace]
    layout: dict[str, Any] = field(default_factory=dict)
    height: int = 340
    wide: bool = False


def result_figures(evaluation: Mapping[str, Any]) -> list[Figure]:
    """Make every figure for which the evaluation has numbers."""
    makers = (_coverage, _lead, _chamfer, _regret, _rri, _ranking)
    figures = [maker(evaluation) for maker in makers]
    return [figure for figure in figures if figure is not None]


def curves(evaluation: Mapping[str, Any], name: str) -> dict[str, list[float | None]]:
    """Return `policy → values` of one curve, in the catalogue's order, empty ones left out."""
    table = {key: floats(values) for key, values in mapping(evaluation.get(name)).items()}
    return {key: table[key] for key in ordered(table) if any(v is not None for v in table[key])}


def _line(key: str, first: int, values: Sequence[float | None], template: str) -> Trace:
    look = policy(key)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plot_text(look.label),
        "meta": {"policy": key},
        "x": list(range(first, first + len(values))),
        "y": list(values),
        "line": {"color": look.colour, "width": look.width, "dash": look.dash},
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 5 + look.width},
        "hovertemplate": f"<b>%{{fullData.name}}</b><br>{template}<extra></extra>",
    }


def _emphasis(lines: Mapping[str, Sequence[float | None]]) -> list[str]:
    """Draw the lines that matter last, so that nothing covers them."""
    rank = {"baseline": 0, "oracle": 1, "control": 2, "learned": 3}
    return sorted(lines, key=lambda key: (rank[policy(key).role], key == "farthest"))


def _traces(lines: Mapping[str, Sequence[float | None]], first: int, template: str) -> list[Trace]:
    return [_line(key, first, lines[key], template) for key in _emphasis(lines)]


def _views_axis(first: int, last: int) -> dict[str, Any]:
    return {
        "title": {"text": "views taken"},
        "tickvals": list(range(first, last + 1)),
        "range": [first - 0.15, last + 0.15],
    }


def _last_values(
    lines: Mapping[str, Sequence[float | None]], write: Callable[[float | None], str]
) -> str:
    """Say the last value of every line, for readers who do not see the plot."""
    said = (f"{policy(key).label} {write(values[-1])}" for key, values in lines.items())
    return "; ".join(said)


def _coverage(evaluation: Mapping[str, Any]) -> Figure | None:
    lines = curves(evaluation, "coverage")
    if not lines:
        return None
    last = max(len(values) for values in lines.values())
    return Figure(
        id="coverage",
        title="Coverage against views",
        caption="Mean share of the coverable surface seen after each view.",
        alt=f"Coverage after {last} views: {_last_values(lines, lambda v: percent(v, 1))}.",
        data=_traces(lines, 1, "%{y:.1%} after %{x} views"),
        layout={"xaxis": _views_axis(1, last), "yaxis": {"tickformat": ".0%"}},
    )


def _lead(evaluation: Mapping[str, Any]) -> Figure | None:
    lines = curves(evaluation, "coverage")
    base = lines.get("farthest")
    if base is None or len(lines) < 2:
        return None
    leads = {
        key: [
            None if value is None or at is None else (value - at) * 100
            for value, at in zip(values, base, strict=False)
        ][1:]
        for key, values in lines.items()
    }
    best = {key: [max(filter(None, values), default=None)] for key, values in leads.items()}
    seen = [value for key in ("policy", "oracle") for value in leads.get(key, []) if value]
    top = max([*seen, 1.0])
    return Figure(
        id="lead",
        title="Lead over farthest",
        caption="Coverage minus farthest's, in percentage points. Zero is the bar to beat; "
        "weak baselines leave the frame (double-click to see them).",
        alt=f"Best lead in percentage points: {_last_values(best, _points)}.",
        data=_traces(leads, 2, "%{y:+.2f} points after %{x} views"),
        layout={
            "xaxis": _views_axis(2, len(base)),
            "yaxis": {"ticksuffix": " pp", "range": [-0.6 * top, 1.15 * top]},
            "shapes": [reference_line(y=0.0)],
        },
    )


def reference_line(*, x: float | None = None, y: float | None = None) -> dict[str, Any]:
    """Return a reference line through the whole plot at one x or one y."""
    across = (
        {"x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y}
        if x is None
        else {"y0": 0, "y1": 1, "yref": "paper", "x0": x, "x1": x}
    )
    return {"type": "line", "line": {"color": MUTED, "width": 1}, "layer": "below", **across}


def _points(value: float | None) -> str:
    return number(value, 1, sign=True)


def _chamfer(evaluation: Mapping[str, Any]) -> Figure | None:
    lines = curves(evaluation, "cd")
    if not lines:
        return None
    floor = numbers_in(evaluation).get("cd_floor")
    above = {
        key: [None if v is None else (v - (floor or 0.0)) or None for v in values]
        for key, values in lines.items()
    }
    positive = {k: [v if v and v > 0 else None for v in values] for k, values in above.items()}
    last = max(len(values) for values in lines.values())
    known = floor is not None
    return Figure(
        id="chamfer",
        title="Chamfer distance above its floor" if known else "Chamfer distance",
        caption="×10⁻³ bounding-box diagonals, logarithmic; lower is better."
        + (f" Floor, all candidates fused: {number(floor, 1)}." if known else ""),
        alt=f"After {last} views: {_last_values(positive, lambda v: number(v, 2))}.",
        data=_traces(positive, 1, "%{y:.2f} after %{x} views"),
        layout={
            "xaxis": _views_axis(1, last),
            "yaxis": {"type": "log", "dtick": "D2", "tickformat": "~g"},
        },
    )


def _regret(evaluation: Mapping[str, Any]) -> Figure | None:
    lines = curves(evaluation, "regret")
    if not lines:
        return None
    last = 1 + max(len(values) for values in lines.values())
    return Figure(
        id="regret",
        title="Regret of each choice",
        caption="0 is the best candidate of the state at hand, 1 the worst; lower is better.",
        alt=f"Regret at view {last}: {_last_values(lines, lambda v: number(v, 2))}.",
        data=_traces(lines, 2, "regret %{y:.3f} choosing view %{x}"),
        layout={"xaxis": _views_axis(2, last), "yaxis": {"rangemode": "tozero"}},
    )


def _rri(evaluation: Mapping[str, Any]) -> Figure | None:
    lines = curves(evaluation, "rri")
    if not lines:
        return None
    last = 1 + max(len(values) for values in lines.values())
    first = {key: values[:1] for key, values in lines.items()}
    return Figure(
        id="rri",
        title="Relative improvement by each view",
        caption="RRI: the share of the Chamfer distance that each new view removes.",
        alt=f"RRI of view 2: {_last_values(first, percent)}.",
        data=_traces(lines, 2, "RRI %{y:.1%} by view %{x}"),
        layout={"xaxis": _views_axis(2, last), "yaxis": {"tickformat": ".0%"}},
    )


def _ranking(evaluation: Mapping[str, Any]) -> Figure | None:
    measures = (("spearman", "Spearman", "circle"), ("ndcg5", "NDCG@5", "diamond-open"))
    tables = {name: numbers_in(evaluation.get(name)) for name, _, _ in measures}
    main = tables["spearman"] or tables["ndcg5"]
    if not main:
        return None
    keys = sorted(main, key=lambda key: main[key])
    shown = [value for table in tables.values() for value in table.values()]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label,
            "x": [tables[name].get(key) for key in keys],
            "y": [plot_text(policy(key).label) for key in keys],
            "marker": {
                "color": [policy(key).colour for key in keys],
                "symbol": symbol,
                "size": 10,
                "line": {"width": 1.5, "color": [policy(key).colour for key in keys]},
            },
            "hovertemplate": f"<b>%{{y}}</b><br>{label} %{{x:.3f}}<extra></extra>",
        }
        for name, label, symbol in measures
        if tables[name]
    ]
    return Figure(
        id="ranking",
        title="Ranking of all candidates",
        caption="How well a policy's scores order the candidates by true gain; 1 is perfect.",
        alt="; ".join(f"{policy(k).label} {number(main[k], 2)}" for k in reversed(keys)) + ".",
        data=data,
        layout={
            "showlegend": True,
            "yaxis": {"automargin": True},
            "xaxis": {"range": [min([-0.02, *shown]) - 0.04, 1.05]},
            "shapes": [reference_line(x=0.0)],
        },
    )
