"""Plotly traces as every diagnostic's page draws them; colours are names of the page's palette."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gimbal.pages.markup import plot_text

Trace = dict[str, Any]
Interval = tuple[float, float]


def line(
    name: str,
    colour: str,
    xs: Sequence[Any],
    ys: Sequence[float],
    ci95: Sequence[Interval | None] | None = None,
) -> Trace:
    """Return a line with markers, and error bars where intervals are given.

    Args:
        name: Name in the legend.
        colour: Variable of the palette, such as `--c-policy`.
        xs: Where.
        ys: How much.
        ci95: Interval of each value.
    """
    trace: Trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plot_text(name),
        "x": list(xs),
        "y": list(ys),
        "line": {"color": f"var({colour})", "width": 2.2},
        "marker": {"color": f"var({colour})", "size": 8},
        "hovertemplate": "<b>%{fullData.name}</b><br>%{y:.4g} at %{x}<extra></extra>",
    }
    if ci95 is not None:
        trace["error_y"] = error_bars(ys, ci95, colour)
    return trace


def bars(name: str, colour: str, xs: Sequence[Any], ys: Sequence[float]) -> Trace:
    """Return bars; see `line`."""
    return {
        "type": "bar",
        "name": plot_text(name),
        "x": [plot_text(x) if isinstance(x, str) else x for x in xs],
        "y": list(ys),
        "marker": {"color": f"var({colour})", "opacity": 0.8},
        "hovertemplate": "<b>%{fullData.name}</b><br>%{y:.4g} at %{x}<extra></extra>",
    }


def points(
    name: str, colour: str, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str]
) -> Trace:
    """Return dots with a name each; see `line`."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plot_text(name),
        "x": list(xs),
        "y": list(ys),
        "text": [plot_text(label[:80]) for label in labels],
        "marker": {"color": f"var({colour})", "size": 7, "opacity": 0.75},
        "hovertemplate": "<b>%{text}</b><br>%{x:.4g}, %{y:.4g}<extra></extra>",
    }


def error_bars(
    values: Sequence[float], ci95: Sequence[Interval | None], colour: str
) -> dict[str, Any]:
    """Return the error bars of values with intervals; none where an interval is missing."""
    ends = [
        (value, value) if bounds is None else bounds
        for value, bounds in zip(values, ci95, strict=True)
    ]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [value - low for value, (low, _) in zip(values, ends, strict=True)],
        "color": f"var({colour})",
        "thickness": 1.3,
    }


def threshold_line(y: float) -> dict[str, Any]:
    """Return a dashed line through the whole plot at one y."""
    return _across(y, {"color": "var(--bad)", "width": 1.2, "dash": "dash"})


def reference_line(y: float) -> dict[str, Any]:
    """Return a plain line through the whole plot at one y."""
    return _across(y, {"color": "var(--muted)", "width": 1})


def _across(y: float, style: dict[str, Any]) -> dict[str, Any]:
    across = {"x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y}
    return {"type": "line", "line": style, "layer": "below", **across}
