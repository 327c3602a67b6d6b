"""Curves of every policy over noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gimbal_nbv.diagnostics.drawing import error_bars, line
from gimbal_nbv.diagnostics.finding import Plot
from gimbal_nbv.gap import Interval
from gimbal_nbv.noise.summary import EXPECTING, LevelNumbers, Summary
from gimbal_nbv.report.policies import policy

_AXIS_NAMES: Mapping[str, str] = {
    "depth": "depth noise (σ, diagonals)",
    "rotation_deg": "error of declared orientation (degrees)",
    "translation": "error of declared place (diagonals)",
}
SHORT: Mapping[str, str] = {
    "depth": "depth",
    "rotation_deg": "rotation",
    "translation": "translation",
}
"""Axes in a word."""
_SHOWN = (
    "policy",
    "blind",
    "farthest",
    "unknown_ray",
    "rear_side",
    "frontier",
    "first_frame",
    "oracle",
    EXPECTING,
)
"""Policies with a curve. Those far below farthest would flatten all others: they are tabled."""
_LABELS = {EXPECTING: "Oracle, expected Chamfer"}
_APART = 0.006
"""Distance of neighbouring curves as a share of the strongest level."""
_HEIGHT = 440


def written(level: LevelNumbers) -> str:
    """Return a level in words."""
    if level.axis == "clean":
        return "no noise"
    unit = "°" if level.axis == "rotation_deg" else ""
    return f"{SHORT[level.axis]} {level.level:g}{unit}"


def lead_plot(summary: Summary, axis: str) -> Plot:
    """Draw what each policy covers beyond farthest, along an axis of noise."""
    return Plot(
        title=f"Coverage against farthest: {SHORT[axis]}",
        data=_curves(summary, axis, "over_farthest"),
        layout=_layout(axis, "AUC minus farthest's", ".3f"),
        caption="Paired over objects, with 95 % intervals. Farthest and the blind control see "
        "nothing, so noise costs them nothing. Random, ring and Cov-NBV lie far below: see the "
        "table.",
    )


def distance_plot(summary: Summary, axis: str) -> Plot:
    """Draw what each policy saves of farthest's Chamfer distance."""
    return Plot(
        title=f"Chamfer distance against farthest: {SHORT[axis]}",
        data=_curves(summary, axis, "cd_saved"),
        layout=_layout(axis, f"share of CD saved, {summary.budget} views", ".0%"),
        caption="Of the reconstruction as noisy depth at declared poses gives it; above 0 is "
        "better than farthest.",
    )


def f_plot(summary: Summary, axis: str) -> Plot:
    """Draw the F-score of each policy."""
    return Plot(
        title=f"F-score: {SHORT[axis]}",
        data=_curves(summary, axis, "f_score"),
        layout=_layout(axis, f"F-score after {summary.budget} views", ".2f"),
        caption="Share of points and samples within the protocol's distance, both ways.",
    )


def target_plot(summary: Summary) -> Plot:
    """Draw what Chamfer distance as a target could win over coverage."""
    names = [written(one) for one in summary.levels]
    colours = ("--c-farthest", "--c-policy")
    data = []
    for views, colour in zip(sorted(summary.levels[0].cd_saved), colours, strict=False):
        found = [one.cd_saved[views] for one in summary.levels]
        values = [one.value for one in found]
        trace = line(f"after {views} views", colour, names, values)
        bars = error_bars(values, [(one.low, one.high) for one in found], colour)
        data.append(trace | {"mode": "markers", "error_y": bars})
    return Plot(
        title="What choosing by Chamfer distance saves",
        data=tuple(data),
        layout={
            "yaxis": {"title": {"text": "share of CD saved"}, "tickformat": ".0%"},
            "xaxis": {"tickangle": -35, "automargin": True},
            "showlegend": True,
            "height": _HEIGHT,
        },
        caption="Greedy choice by the expected decrease of the Chamfer distance against greedy "
        "choice by coverage, both knowing the object; 95 % intervals over objects.",
    )


def _curves(summary: Summary, axis: str, number: str) -> tuple[dict[str, Any], ...]:
    """Return a curve a policy; they stand a little apart, so that their bars can be told."""
    levels = summary.along(axis)
    apart = _APART * levels[-1].level
    traces = []
    for rank, name in enumerate(name for name in _SHOWN if name in levels[0].policies):
        found: list[Interval] = [getattr(one.policies[name], number) for one in levels]
        look = policy(name)
        xs = [one.level + (rank - (len(_SHOWN) - 1) / 2) * apart for one in levels]
        ends = [(one.low, one.high) for one in found]
        label = _LABELS.get(name, look.label)
        trace = line(label, "--c-other", xs, [one.value for one in found], ends)
        trace["line"] = {"color": look.colour, "width": look.width, "dash": look.dash}
        trace["marker"] = {"color": look.colour, "size": 7, "symbol": look.symbol}
        trace["error_y"] = trace["error_y"] | {"color": look.colour}
        traces.append(trace)
    return tuple(traces)


def _layout(axis: str, title: str, ticks: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": _AXIS_NAMES[axis]}},
        "yaxis": {"title": {"text": title}, "tickformat": ticks},
        "showlegend": True,
        "height": _HEIGHT,
    }
