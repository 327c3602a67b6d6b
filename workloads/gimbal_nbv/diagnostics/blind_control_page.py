"""Table and plots of the blind control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gimbal_nbv.diagnostics.drawing import Interval, line, points, reference_line
from gimbal_nbv.diagnostics.finding import Plot, Table
from gimbal_nbv.diagnostics.statistics import Mean

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.blind_control import Played


def table(played: Sequence[Played]) -> Table:
    """Return a row an object."""
    return Table(
        title="AUC by object",
        columns=("Object", "Sighted", "Blind", "Lead", "Other's images", "Lost", "Whose images"),
        rows=tuple(
            (
                one.object_id,
                one.sighted,
                one.blind,
                one.sighted - one.blind,
                one.other,
                None if one.other is None else one.sighted - one.other,
                one.other_id,
            )
            for one in played
        ),
        caption="Averaged over first views.",
    )


def plots(played: Sequence[Played]) -> tuple[Plot, ...]:
    """Draw both drops object by object, and the lead over the views taken."""
    order = sorted(played, key=lambda one: one.blind - one.sighted)
    names = [one.object_id for one in order]
    xs = [float(place) for place in range(len(order))]
    lead = [one.sighted - one.blind for one in order]
    lost = [0.0 if one.other is None else one.sighted - one.other for one in order]
    return (
        Plot(
            title="What seeing is worth, object by object",
            data=(
                points("sighted − blind", "--c-policy", xs, lead, names),
                points("lost with another's images", "--c-blind", xs, lost, names),
            ),
            layout={
                "showlegend": True,
                "xaxis": {"visible": False},
                "yaxis": {"title": {"text": "AUC"}, "tickformat": "+.2~f"},
                "shapes": [reference_line(0.0)],
            },
            caption="Objects sorted by the lead. Dots above the line are objects on which seeing "
            "pays.",
        ),
        _by_views(played),
    )


def _by_views(played: Sequence[Played]) -> Plot:
    leads = np.array([one.by_views for one in played])
    means = [Mean.of(column) for column in leads.T]
    bounds: list[Interval | None] = [mean.ci95 for mean in means]
    views = list(range(1, len(means) + 1))
    return Plot(
        title="Lead over the blind twin by views taken",
        data=(
            line("sighted − blind", "--c-policy", views, [mean.value for mean in means], bounds),
        ),
        layout={
            "xaxis": {"title": {"text": "views taken"}, "dtick": 1},
            "yaxis": {"title": {"text": "coverage"}, "tickformat": "+.1%"},
            "shapes": [reference_line(0.0)],
        },
        caption="Mean over objects with Student's 95 % intervals. Both start from the same view, "
        "so the first is 0.",
    )
