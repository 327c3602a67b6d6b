"""The histograms of a survey, as the page draws figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal.pages.markup import plot_text
from gimbal_multicar.report.bev import CAR_COLOURS
from gimbal_multicar.survey.numbers import DISTANCE_EDGES_M, ELEVATION_BANDS, RANGE_EDGES_M

Figure = tuple[str, str, dict[str, Any]]
"""Title, caption, and data, layout and height."""


def survey_figures(survey: Mapping[str, Any]) -> dict[str, Figure]:
    """Return every figure for which there are numbers, by id."""
    splits = survey["splits"]
    found = {
        "range": _ranges(splits),
        "bands": _bands(splits),
        "distance": _distances(splits),
        "cars": _cars(splits),
    }
    return {key: figure for key, figure in found.items() if figure is not None}


def _ranges(splits: Mapping[str, Any]) -> Figure | None:
    shown = {
        name: one["histograms"]["range_m"]
        for name, one in splits.items()
        if sum(one["histograms"]["range_m"])
    }
    if not shown:
        return None
    middle = np.sqrt(np.maximum(RANGE_EDGES_M[:-1], 0.5) * np.asarray(RANGE_EDGES_M[1:]))
    traces = [
        _line(name, middle.round(2).tolist(), _shares(counts), number, "%{y:.1%} near %{x:.0f} m")
        for number, (name, counts) in enumerate(shown.items())
    ]
    axes = {
        "xaxis": {"type": "log", "title": {"text": "range, m"}},
        "yaxis": {"tickformat": ".0%", "rangemode": "tozero"},
    }
    caption = "Share of the pixels of known range, in bins of equal ratio."
    return "How far surfaces are", caption, _figure(traces, axes)


def _bands(splits: Mapping[str, Any]) -> Figure | None:
    names = [f"{number + 1}" for number in range(ELEVATION_BANDS)]
    shown = {
        name: one["range_m"]["by_band"]
        for name, one in splits.items()
        if any(value is not None for value in one["range_m"]["by_band"])
    }
    if not shown:
        return None
    traces = [
        _line(name, names, values, number, "band %{x}: %{y:.1f} m")
        for number, (name, values) in enumerate(shown.items())
    ]
    axes = {
        "xaxis": {"title": {"text": "band of rows, 1 is the top"}, "type": "category"},
        "yaxis": {"title": {"text": "mean range, m"}, "rangemode": "tozero"},
    }
    caption = f"Mean range along the ray in {ELEVATION_BANDS} bands of rows of equal height."
    return "How far each height looks", caption, _figure(traces, axes)


def _distances(splits: Mapping[str, Any]) -> Figure | None:
    shown = {
        name: one["histograms"]["distance_m"]
        for name, one in splits.items()
        if sum(one["histograms"]["distance_m"])
    }
    if not shown:
        return None
    middle = (np.asarray(DISTANCE_EDGES_M[:-1]) + np.asarray(DISTANCE_EDGES_M[1:])) / 2
    traces = [
        _line(name, middle.tolist(), _shares(counts), number, "%{y:.1%} near %{x:.0f} m")
        for number, (name, counts) in enumerate(shown.items())
    ]
    axes = {
        "xaxis": {"title": {"text": "distance, m"}},
        "yaxis": {"tickformat": ".0%", "rangemode": "tozero"},
    }
    return "How far cars are apart", "Every two cars of one moment.", _figure(traces, axes)


def _cars(splits: Mapping[str, Any]) -> Figure:
    traces = [
        {
            "type": "bar",
            "name": plot_text(name),
            "x": list(one["cars_per_moment"]),
            "y": list(one["cars_per_moment"].values()),
            "marker": {"color": CAR_COLOURS[number % len(CAR_COLOURS)]},
            "hovertemplate": "%{y} moments of %{x} cars<extra>%{fullData.name}</extra>",
        }
        for number, (name, one) in enumerate(splits.items())
    ]
    axes = {
        "xaxis": {"title": {"text": "cars"}, "type": "category"},
        "yaxis": {"title": {"text": "moments"}, "rangemode": "tozero"},
    }
    return "Cars of a moment", "Moments with so many cars.", _figure(traces, axes)


def _line(
    name: str, x: Sequence[Any], y: Sequence[Any], number: int, template: str
) -> dict[str, Any]:
    colour = CAR_COLOURS[number % len(CAR_COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plot_text(name),
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 4},
        "hovertemplate": f"<b>%{{fullData.name}}</b><br>{template}<extra></extra>",
    }


def _shares(counts: Sequence[float]) -> list[float]:
    total = float(sum(counts))
    return [count / total for count in counts]


def _figure(traces: list[dict[str, Any]], axes: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": traces, "layout": {**axes, "showlegend": len(traces) > 1}, "height": 300}
