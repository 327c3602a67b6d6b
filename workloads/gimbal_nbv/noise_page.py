"""An evaluation under noise as a diagnosis: its checks, curves and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gimbal_nbv.diagnostics.drawing import error_bars, line
from gimbal_nbv.diagnostics.finding import Check, Diagnosis, Plot, Table
from gimbal_nbv.gap import Interval
from gimbal_nbv.noise_settings import AXES
from gimbal_nbv.noise_summary import EXPECTING, TOP, LevelNumbers, Summary

_AXIS_NAMES: Mapping[str, str] = {
    "depth": "depth noise (σ, diagonals)",
    "rotation_deg": "error of declared orientation (degrees)",
    "translation": "error of declared place (diagonals)",
}
_SHORT: Mapping[str, str] = {
    "depth": "depth",
    "rotation_deg": "rotation",
    "translation": "translation",
}
_SHOWN = ("policy", "blind", "farthest", "rear_side", "unknown_ray", "oracle_cd_expected", "oracle")
"""Policies whose curves are visible at once; the others can be switched on."""
_COLOURED = (
    "policy blind farthest unknown_ray rear_side frontier cov_nbv ring random oracle oracle_cd"
)


def diagnosis_of(summary: Summary) -> Diagnosis:
    """Return the answer with everything it rests on."""
    axes = [axis for axis in AXES if len(summary.along(axis)) > 1]
    return Diagnosis(
        name="noise",
        question="Does the policy keep its lead where depth and declared poses are noisy, and does "
        "choosing by Chamfer distance pay there?",
        answer=_answer(summary, axes),
        checks=tuple(_check(summary, axis) for axis in axes),
        numbers=_numbers(summary),
        tables=(_leads(summary), _all_policies(summary), _targets(summary)),
        plots=(
            *(_lead_plot(summary, axis) for axis in axes),
            *(_distance_plot(summary, axis) for axis in axes),
            *(_f_plot(summary, axis) for axis in axes),
            _target_plot(summary),
        ),
    )


def _strongest(summary: Summary, axis: str) -> LevelNumbers:
    return summary.along(axis)[-1]


def _check(summary: Summary, axis: str) -> Check:
    level = _strongest(summary, axis)
    lead = level.over_farthest
    return Check(
        name=f"Lower end of the lead over farthest, {_written(level)}",
        value=lead.low,
        op=">",
        threshold=0.0,
        hint=f"the policy reads voxels that {_SHORT[axis]} noise of this strength smears: train on "
        "noisy states (oracle.depth_noise), or fuse with a more careful map",
        ci95=(lead.low, lead.high),
    )


def _answer(summary: Summary, axes: Sequence[str]) -> str:
    clean = summary.levels[0]
    kept = "; ".join(
        f"{_plus(_strongest(summary, axis).over_farthest)} at {_written(_strongest(summary, axis))}"
        for axis in axes
    )
    saved = clean.cd_saved[summary.budget].value
    most = max(summary.levels[1:], key=lambda one: one.cd_saved[summary.budget].value)
    return (
        f"The policy leads farthest by {_plus(clean.over_farthest)} AUC without noise, and by "
        f"{kept}. "
        f"Choosing by Chamfer distance instead of coverage saves {saved:.1%} of it after "
        f"{summary.budget} views without noise and at most "
        f"{most.cd_saved[summary.budget].value:.1%} with ({_written(most)})."
    )


def _plus(interval: Interval) -> str:
    return f"{interval.value:+.4f}".replace("-", "−")


def _written(level: LevelNumbers) -> str:
    if level.axis == "clean":
        return "no noise"
    unit = "°" if level.axis == "rotation_deg" else ""
    return f"{_SHORT[level.axis]} {level.level:g}{unit}"


def _numbers(summary: Summary) -> dict[str, Any]:
    return {
        "objects": summary.objects,
        "first_views": summary.first_views,
        "budget": summary.budget,
        "levels": [
            {
                "label": one.label,
                "axis": one.axis,
                "level": one.level,
                "over_farthest": one.over_farthest.to_dict(),
                "over_unknown_ray": one.over_unknown_ray.to_dict(),
                "cd_saved": {str(k): v.to_dict() for k, v in one.cd_saved.items()},
                "cd_saved_lucky": one.cd_saved_lucky.to_dict(),
                "policies": {
                    name: {key: Interval(**value).to_dict() for key, value in asdict(p).items()}
                    for name, p in one.policies.items()
                },
            }
            for one in summary.levels
        ],
    }


def _leads(summary: Summary) -> Table:
    return Table(
        title="The learned policy at each level",
        columns=(
            "Noise",
            "AUC",
            "Over farthest",
            "95 %",
            "Over unknown-ray",
            "95 % ",
            "Gap closed",
        ),
        rows=tuple(
            (
                _written(one),
                round(one.policies["policy"].auc.value, 4),
                round(one.over_farthest.value, 4),
                _ends(one.over_farthest),
                round(one.over_unknown_ray.value, 4),
                _ends(one.over_unknown_ray),
                round(one.policies["policy"].gap_closed.value, 3),
            )
            for one in summary.levels
        ),
        caption=f"{summary.objects} held-out objects, {summary.first_views} first views each, "
        f"{summary.budget} views; paired bootstrap over objects.",
    )


def _all_policies(summary: Summary) -> Table:
    """A row a policy and level."""
    return Table(
        title="Every policy",
        columns=("Noise", "Policy", "AUC", "Gap closed", "CD x 1000", "F-score"),
        rows=tuple(
            (
                _written(one),
                name,
                round(p.auc.value, 4),
                round(p.gap_closed.value, 3),
                round(p.cd_e3.value, 2),
                round(p.f_score.value, 3),
            )
            for one in summary.levels
            for name, p in one.policies.items()
        ),
        caption=f"CD and F-score after {summary.budget} views, from noisy measurements.",
    )


def _targets(summary: Summary) -> Table:
    counts = sorted(summary.levels[0].cd_saved)
    heads = [(f"Saved after {views}", f"95 %, {views}") for views in counts]
    return Table(
        title="Chamfer distance as a target instead of coverage",
        columns=(
            "Noise",
            *(head for pair in heads for head in pair),
            "AUC lost",
            "Saved knowing the draw",
        ),
        rows=tuple(
            (
                _written(one),
                *(
                    cell
                    for views in counts
                    for cell in (
                        round(one.cd_saved[views].value, 4),
                        _ends(one.cd_saved[views]),
                    )
                ),
                round(one.policies[TOP].auc.value - one.policies[EXPECTING].auc.value, 4),
                round(one.cd_saved_lucky.value, 4),
            )
            for one in summary.levels
        ),
        caption="Both choose greedily and know the object; the one by Chamfer distance expects "
        "noise of this strength. What it saves is about the most that a policy could gain by "
        "learning the other target. Who knows the very draw picks the lucky measurements, which "
        "cannot be learnt.",
    )


def _ends(interval: Interval) -> str:
    return f"[{interval.low:.4f}, {interval.high:.4f}]".replace("-", "−")


def _lead_plot(summary: Summary, axis: str) -> Plot:
    return Plot(
        title=f"Coverage over farthest: {_SHORT[axis]}",
        data=_curves(summary, axis, "over_farthest"),
        layout=_layout(axis, "AUC minus farthest's", ".3f"),
        caption="Difference of AUC to farthest, paired over objects, with 95 % intervals. What a "
        "policy cannot see through the noise it loses here.",
    )


def _distance_plot(summary: Summary, axis: str) -> Plot:
    return Plot(
        title=f"Chamfer distance after {summary.budget} views: {_SHORT[axis]}",
        data=_curves(summary, axis, "cd_e3"),
        layout=_layout(axis, "CD, thousandths of a diagonal", ".1f"),
        caption="Of the reconstruction as noisy depth at declared poses gives it.",
    )


def _f_plot(summary: Summary, axis: str) -> Plot:
    return Plot(
        title=f"F-score after {summary.budget} views: {_SHORT[axis]}",
        data=_curves(summary, axis, "f_score"),
        layout=_layout(axis, "F-score", ".2f"),
        caption="At the protocol's distance.",
    )


def _target_plot(summary: Summary) -> Plot:
    names = [_written(one) for one in summary.levels]
    colours = ("--c-farthest", "--c-policy")
    data = []
    for views, colour in zip(sorted(summary.levels[0].cd_saved), colours, strict=False):
        found = [one.cd_saved[views] for one in summary.levels]
        trace = line(f"after {views} views", colour, names, [one.value for one in found])
        ends = [(one.low, one.high) for one in found]
        trace["error_y"] = error_bars([one.value for one in found], ends, colour)
        data.append(trace | {"mode": "markers"})
    return Plot(
        title="What choosing by Chamfer distance saves",
        data=tuple(data),
        layout={
            "yaxis": {"title": {"text": "share of CD saved"}, "tickformat": ".1%"},
            "xaxis": {"tickangle": -35},
            "showlegend": True,
            "height": 400,
        },
        caption="Greedy choice by the expected decrease of the Chamfer distance against greedy "
        "choice by coverage, both knowing the object; 95 % intervals over objects.",
    )


def _curves(summary: Summary, axis: str, number: str) -> tuple[dict[str, Any], ...]:
    levels = summary.along(axis)
    xs = [one.level for one in levels]
    traces = []
    for name in levels[0].policies:
        found: list[Interval] = [getattr(one.policies[name], number) for one in levels]
        colour = f"--c-{name}" if name in _COLOURED.split() else "--c-other"
        ys = [one.value for one in found]
        ends = [(one.low, one.high) for one in found] if name in _SHOWN else None
        trace = line(name, colour, xs, ys, ends)
        traces.append(trace if name in _SHOWN else trace | {"visible": "legendonly"})
    return tuple(traces)


def _layout(axis: str, title: str, ticks: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": _AXIS_NAMES[axis]}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": title}, "tickformat": ticks},
        "showlegend": True,
        "height": 380,
    }
