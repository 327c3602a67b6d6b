"""An evaluation under noise as a diagnosis: its checks, its answer and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gimbal_nbv.diagnostics.finding import Check, Diagnosis, Table
from gimbal_nbv.gap import ONE_OBJECT, Interval
from gimbal_nbv.noise.plots import SHORT, distance_plot, f_plot, lead_plot, target_plot, written
from gimbal_nbv.noise.settings import AXES
from gimbal_nbv.noise.summary import EXPECTING, TOP, LevelNumbers, Summary
from gimbal_nbv.report.text import number, percent

_ALONE = "one object has no spread, and its interval no width: hold out two objects or more"


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
            *(plot(summary, axis) for axis in axes for plot in (lead_plot, distance_plot)),
            *(f_plot(summary, axis) for axis in axes),
            target_plot(summary),
        ),
    )


def _strongest(summary: Summary, axis: str) -> LevelNumbers:
    return summary.along(axis)[-1]


def _check(summary: Summary, axis: str) -> Check:
    level = _strongest(summary, axis)
    lead = level.over_farthest
    told = summary.has_intervals
    return Check(
        name=f"Lower end of the lead over farthest, {written(level)}",
        value=lead.low if told else None,
        op=">",
        threshold=0.0,
        hint=_hint(axis) if told else _ALONE,
        ci95=(lead.low, lead.high) if told else None,
    )


def _hint(axis: str) -> str:
    smeared = f"the policy sees a map that {SHORT[axis]} noise of this strength smears: "
    if axis == "depth":
        return (
            smeared + "train on noisy depth (oracle.depth_noise), or fuse with a more careful map"
        )
    return smeared + (
        "align the views before fusing them; no setting trains on wrong poses "
        "(oracle.depth_noise adds noise to depth alone)"
    )


def _answer(summary: Summary, axes: Sequence[str]) -> str:
    clean = summary.levels[0]
    kept = ", ".join(
        f"{_plus(_strongest(summary, axis).over_farthest)} at {written(_strongest(summary, axis))}"
        for axis in axes
    )
    saved = [one.cd_saved[summary.budget] for one in summary.levels]
    most = max(summary.levels[1:], key=lambda one: one.cd_saved[summary.budget].value)
    surely = sum(interval.low > 0 for interval in saved[1:])
    sure = (
        f", and surely something at {surely} of {len(saved) - 1} noisy levels"
        if summary.has_intervals
        else "; one object cannot tell how sure that is"
    )
    return (
        f"The policy leads farthest by {_plus(clean.over_farthest)} AUC without noise, and by "
        f"{kept}. Choosing by Chamfer distance instead of coverage saves "
        f"{percent(saved[0].value, 1)} of it without noise, at most "
        f"{percent(most.cd_saved[summary.budget].value, 1)} with it ({written(most)}){sure}."
    )


def _plus(interval: Interval) -> str:
    return number(interval.value, 3, sign=True)


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
                written(one),
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
        f"{summary.budget} views; paired bootstrap over objects."
        + ("" if summary.has_intervals else f" {ONE_OBJECT}"),
    )


def _all_policies(summary: Summary) -> Table:
    """A row a policy and level."""
    return Table(
        title="Every policy",
        columns=("Noise", "Policy", "AUC", "Gap closed", "CD x 1000", "CD saved", "F-score"),
        rows=tuple(
            (
                written(one),
                name,
                round(p.auc.value, 4),
                round(p.gap_closed.value, 3),
                round(p.cd_e3.value, 2),
                round(p.cd_saved.value, 4),
                round(p.f_score.value, 3),
            )
            for one in summary.levels
            for name, p in one.policies.items()
        ),
        caption=f"CD and F-score after {summary.budget} views, from noisy measurements; saved: "
        "share of farthest's CD.",
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
                written(one),
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
