"""Figures of the training: losses, validation and learning rate, each with its blind twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .figures import Figure, Trace
from .markup import plot_text
from .text import compact, floats, mapping

Series = dict[str, tuple[list[float], list[float]]]
COLOURS = ("var(--c-policy)", "var(--c-farthest)", "var(--c-unknown_ray)", "var(--c-rear_side)")


def training_figures(training: Mapping[str, Any]) -> list[Figure]:
    """Make loss, validation and learning-rate plots from the logged series."""
    steps = floats(training.get("steps"))
    series = _series(steps, mapping(training.get("values")))
    rates = {name: line for name, line in series.items() if _leaf(name).startswith("lr")}
    losses = {name: line for name, line in series.items() if "loss" in _leaf(name)}
    scores = {
        name: line
        for name, line in series.items()
        if name.startswith(("val", "blind/val")) and name not in losses
    }
    figures = (
        _figure(
            "losses",
            "Loss",
            "Training and validation loss; dashed lines are the blind "
            "control, trained alike without observations.",
            losses,
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


def _leaf(name: str) -> str:
    return name.rsplit("/", 1)[-1].lower()


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


def _sighted(name: str) -> str:
    """Return the name of the sighted twin, so that both share a colour."""
    return name.replace("blind/", "").replace("_blind", "").replace("blind_", "")


def _figure(key: str, title: str, caption: str, series: Series) -> Figure | None:
    if not series:
        return None
    twins = list(dict.fromkeys(_sighted(name) for name in series))
    last = "; ".join(f"{name} {compact(line[1][-1])}" for name, line in series.items())
    return Figure(
        id=key,
        title=title,
        caption=caption,
        alt=f"Last values: {last}.",
        data=[
            _trace(name, COLOURS[twins.index(_sighted(name)) % len(COLOURS)], line)
            for name, line in series.items()
        ],
        layout={
            "showlegend": len(series) > 1,
            "xaxis": {"title": {"text": "optimizer step"}, "rangemode": "tozero"},
            "yaxis": {"exponentformat": "power"},
        },
        height=320,
    )


def _trace(name: str, colour: str, line: tuple[list[float], list[float]]) -> Trace:
    steps, values = line
    blind = "blind" in name
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(steps) < 40 else "lines",
        "name": plot_text(name),
        "x": steps,
        "y": values,
        "line": {"color": colour, "width": 2, "dash": "dash" if blind else "solid"},
        "marker": {"size": 5, "symbol": "circle-open" if blind else "circle"},
        "hovertemplate": "step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
    }
