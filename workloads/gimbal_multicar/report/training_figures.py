"""What a training learnt: errors in metres and degrees first, losses beside them.

A loss of this family says nothing in metres: it is a robust function of poses divided by the
scene's size (multicar.md A7). So both are drawn, and what sees nothing is drawn with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gimbal.pages.markup import plot_text
from gimbal_multicar.report.figures import Figure

Line = tuple[list[float], list[float]]
Series = Mapping[str, Line]
_COLOURS = tuple(
    f"var(--c-{name})"
    for name in (
        "policy", "farthest", "unknown_ray", "rear_side", "frontier", "cov_nbv", "ring",
        "completion",
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One line of a figure.

    Attributes:
        series: Its name in the log.
        label: As the key says it.
        colour: Number of its colour.
        dash: `solid`, `dash` for what sees nothing, `dot` for a constant or the training split.
    """

    series: str
    label: str
    colour: int
    dash: str = "solid"


POSES = {
    "metres": ("m", "pose_trans_m", "blind_m", "baseline_mean_pose_m", "Poses in metres"),
    "degrees": ("deg", "pose_rot_deg", "blind_rot_deg", "baseline_mean_pose_deg",
                "Poses in degrees"),
}  # fmt: skip
"""Unit, the model's number, its blind twin's, the constant's in an evaluation, title."""


def series_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Line]:
    """Return steps and values of every logged number.

    Args:
        records: As `gimbal.training.metrics.read_metrics` gives them.
    """
    found: dict[str, Line] = {}
    for record in records:
        for name, value in record["values"].items():
            if value is not None:
                steps, values = found.setdefault(name, ([], []))
                steps.append(float(record["step"]))
                values.append(float(value))
    return found


def training_figures(series: Series, headline: Mapping[str, Any]) -> dict[str, Figure]:
    """Return every figure for which there are numbers, by id.

    Args:
        series: See `series_of`.
        headline: Of the evaluation, for the constant pose; may be empty.
    """
    terms = [n for n in series if _is_term(n, series)]
    found = {
        **{f"learn-{key}": _pose_figure(key, series, headline) for key in POSES},
        "learn-ranges": _figure(series, _RANGES, "Ranges", _RANGE_WORDS, percent=True),
        "learn-masks": _figure(series, _MASKS, "Masks", _MASK_WORDS, percent=True),
        "learn-loss": _figure(
            series,
            _LOSSES,
            "Loss",
            "The weighted sum that is minimised; it has no unit.",
            log=True,
        ),
        "learn-terms": _figure(
            series,
            [Curve(series=n, label=n.removeprefix("val/"), colour=k) for k, n in enumerate(terms)],
            "Parts of the loss",
            "On the validation split, before their weights.",
            log=True,
        ),
        "learn-rate": _figure(
            series, [Curve(series="lr", label="rate", colour=0)], "Learning rate", "As applied."
        ),
    }
    return {key: figure for key, figure in found.items() if figure is not None}


_LOSSES = [
    Curve(series="train/loss", label="training", colour=0, dash="dot"),
    Curve(series="val/loss", label="validation", colour=0),
]
_RANGES = [
    Curve(series="val/depth_rel", label="validation", colour=0),
    Curve(series="train/loss/range_rel", label="training", colour=0, dash="dot"),
]
_RANGE_WORDS = "Mean error of ranges over the true range."
_MASKS = [
    Curve(series="val/pred_mask_mean", label="predicted mask", colour=0),
    Curve(series="val/gt_mask_mean", label="true mask", colour=0, dash="dash"),
    Curve(series="val/pred_valid_mask_ratio", label="predicted mask with a range", colour=1),
    Curve(series="val/valid_mask_ratio", label="true mask with a range", colour=1, dash="dash"),
]
_MASK_WORDS = (
    "Means over the validation split: a mask is alive when the predicted mean follows the true one."
)


def _is_term(name: str, series: Series) -> bool:
    """Whether a validation number is a part of the loss: those in units are drawn elsewhere."""
    known = ("_m", "_deg", "_mean", "_ratio", "_rel", "_log", "val/loss")
    wanted = name.startswith("val/") and "blind" not in name and not name.endswith(known)
    return wanted and f"train/loss/{name.removeprefix('val/')}" in series


def _pose_figure(key: str, series: Series, headline: Mapping[str, Any]) -> Figure | None:
    unit, mine, blind, constant, title = POSES[key]
    curves = [
        Curve(series=f"val/{mine}", label="the model, validation", colour=0),
        Curve(series=f"train/loss/{mine}", label="the model, training", colour=0, dash="dot"),
        Curve(series=f"val/{blind}", label="the blind twin, validation", colour=1, dash="dash"),
    ]
    rival = headline.get(constant)
    drawn = dict(series)
    if rival is not None and f"val/{mine}" in series:
        steps = series[f"val/{mine}"][0]
        drawn[constant] = ([0.0, steps[-1]], [rival, rival])
        curves.append(
            Curve(series=constant, label="a constant pose, judged split", colour=2, dash="dash")
        )
    words = "Mean error of partners. What sees nothing is dashed: a model that learns falls below."
    return _figure(drawn, curves, title, words, unit=unit)


def _figure(
    series: Series,
    curves: Sequence[Curve],
    title: str,
    caption: str,
    *,
    unit: str = "",
    percent: bool = False,
    log: bool = False,
) -> Figure | None:
    shown = [curve for curve in curves if curve.series in series]
    if not shown:
        return None
    y: dict[str, Any] = {"title": {"text": unit}}
    y |= {"type": "log"} if log else {"rangemode": "tozero"}
    y |= {"tickformat": ".0%"} if percent else {}
    layout = {
        "xaxis": {"title": {"text": "optimizer step"}, "rangemode": "tozero"},
        "yaxis": y,
        "showlegend": len(shown) > 1,
    }
    traces = [_trace(curve, series[curve.series]) for curve in shown]
    return title, caption, {"data": traces, "layout": layout, "height": 320}


def _trace(curve: Curve, line: Line) -> dict[str, Any]:
    steps, values = line
    colour = _COLOURS[curve.colour % len(_COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(steps) < 40 and curve.dash == "solid" else "lines",
        "name": plot_text(curve.label),
        "x": steps,
        "y": values,
        "line": {"color": colour, "width": 2, "dash": curve.dash},
        "marker": {"size": 5},
        "hovertemplate": "step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
    }
