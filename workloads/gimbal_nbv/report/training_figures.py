"""Figures of the training: losses, validation and learning rate, each with its blind twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gimbal.pages.markup import plot_text

from .figures import Figure, Trace
from .text import compact, floats, mapping

Series = dict[str, tuple[list[float], list[float]]]
COLOURS = ("var(--c-policy)", "var(--c-farthest)", "var(--c-unknown_ray)", "var(--c-rear_side)")


def training_figures(training: Mapping[str, Any]) -> list[Figure]:
    """Make loss, validation and learning-rate plots from the logged series."""
    steps = floats(training.get("steps"))
    series = _series(steps, mapping(training.get("values")))
    rates = _without_repeats({n: line for n, line in series.items() if "lr" in n.split("/")})
    losses = {name: line for name, line in series.items() if "loss" in name}
    parts = {name: line for name, line in losses.items() if len(name.split("/")) > 2}
    scores = {n: line for n, line in series.items() if "val" in n.split("/") and n not in losses}
    figures = (
        _figure(
            "losses",
            "Loss",
            "Training and validation loss; dashed lines are the blind "
            "control, trained alike without observations.",
            parts or losses,
        ),
        _figure(
            "validation",
            "Validation",
            "Measured on objects kept out of training; a gap to "
            "the dashed blind control is what seeing is worth.",
            scores,
        ),
        _figure("rates", "Learning rate", "As applied at each optimizer step.", rates),
    )
    return [figure for figure in figures if figure is not None]


def _series(steps: Sequence[float | None], values: Mapping[str, Any]) -> Series:
    """Pair every series with the steps at which it has a number."""
    series: Series = {}
    for name, raw in values.items():
        pairs = [
            (step, value)
            for step, value in zip(steps, floats(raw), strict=False)
            if step is not None and value is not None
        ]
        if pairs:
            series[str(name)] = ([step for step, _ in pairs], [value for _, value in pairs])
    return series


def _without_repeats(series: Series) -> Series:
    """Drop series that equal an earlier one, such as a rate that all groups share."""
    kept: Series = {}
    for name, line in series.items():
        if line not in kept.values():
            kept[name] = line
    return kept


def _pair(name: str) -> str:
    """Return what a series and its blind twin have in common, so that both share a colour."""
    return "/".join(part for part in name.split("/") if part not in {"policy", "blind"})


def _figure(key: str, title: str, caption: str, series: Series) -> Figure | None:
    if not series:
        return None
    common = set.intersection(*(set(name.split("/")) for name in series))
    shared = " ".join(part for part in next(iter(series)).split("/") if part in common)
    twins = list(dict.fromkeys(_pair(name) for name in series))
    last = "; ".join(f"{name} {compact(line[1][-1])}" for name, line in series.items())
    return Figure(
        id=key,
        title=title,
        caption=caption,
        alt=f"Last values: {last}.",
        data=[
            _trace(
                name, _label(name, common), COLOURS[twins.index(_pair(name)) % len(COLOURS)], line
            )
            for name, line in series.items()
        ],
        layout={
            "showlegend": len(series) > 1,
            "xaxis": {"title": {"text": "optimizer step"}, "rangemode": "tozero"},
            "yaxis": {"exponentformat": "power", "title": {"text": plot_text(shared)}},
        },
        height=320,
    )


def _label(name: str, common: set[str]) -> str:
    """Shorten a name by what all series of the plot share."""
    return " ".join(part for part in name.split("/") if part not in common) or name


def _trace(name: str, label: str, colour: str, line: tuple[list[float], list[float]]) -> Trace:
    steps, values = line
    blind = "blind" in name.split("/")
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(steps) < 40 else "lines",
        "name": plot_text(label),
        "x": steps,
        "y": values,
        "line": {"color": colour, "width": 2, "dash": "dash" if blind else "solid"},
        "marker": {"size": 5, "symbol": "circle-open" if blind else "circle"},
        "hovertemplate": "step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
    }
