"""Table and plots of the output modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_nbv.diagnostics.drawing import bars, line
from gimbal_nbv.diagnostics.finding import Plot, Table

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.output_modes import Modes, Values

Stage = Mapping[str, Any]
_SHOWN = 1500
"""Dots on the map of directions."""


def table(stages: Sequence[Stage]) -> Table:
    """Return a row for each number of views taken."""
    keys = ("target_seam", "choice_seam", "target_pole", "choice_pole", "apart", "utility")
    return Table(
        title="By number of views",
        columns=(
            "Views taken",
            "States",
            "Best near seam",
            "Chosen near seam",
            "Best near pole",
            "Chosen near pole",
            "Good views apart",
            "Utility of the choice",
        ),
        rows=tuple((s["views"], s["states"], *(s[key] for key in keys)) for s in stages),
        caption="Near the seam: azimuth within 30° of the first view's. Near a pole: elevation "
        "beyond 60°. Good views: utility above .9; apart: more than 90°.",
    )


def plots(modes: Modes, stages: Sequence[Stage], head: str) -> tuple[Plot, ...]:
    """Draw where best views and choices lie, how often at bad places, and the head's numbers."""
    return (_directions(modes), _places(stages), *_numbers(modes, head))


def _directions(modes: Modes) -> Plot:
    shown = slice(None, None, max(len(modes.views) // _SHOWN, 1))
    traces = (
        _dots("best view", "--c-farthest", "circle-open", modes.target[shown]),
        _dots("choice", "--c-policy", "circle", modes.choice[shown]),
    )
    heights = [-90, -60, -30, 0, 30, 60, 90]
    return Plot(
        title="Where best views and choices lie",
        data=traces,
        layout={
            "showlegend": True,
            "xaxis": {
                "title": {"text": "azimuth from the first view"},
                "range": [0, 360],
                "tickvals": list(range(0, 361, 60)),
                "ticksuffix": "°",
            },
            "yaxis": {
                "title": {"text": "elevation"},
                "range": [-1.02, 1.02],
                "tickvals": [round(float(np.sin(np.radians(h))), 4) for h in heights],
                "ticktext": [f"{h}°".replace("-", "−") for h in heights],
            },
            "shapes": [_band(0, 30), _band(330, 360)],
        },
        caption="Equal-area: the height is the sine of the elevation. Shaded: within 30° of the "
        "seam. The antipode is in the middle.",
    )


def _dots(name: str, colour: str, symbol: str, angles: Values) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": np.round(angles[:, 0], 1).tolist(),
        "y": np.round(np.sin(np.radians(angles[:, 1])), 4).tolist(),
        "customdata": np.round(angles[:, 1], 1).tolist(),
        "marker": {"color": f"var({colour})", "symbol": symbol, "size": 6, "opacity": 0.6},
        "hovertemplate": f"{name}<br>azimuth %{{x}}°, elevation %{{customdata}}°<extra></extra>",
    }


def _band(low: float, high: float) -> dict[str, Any]:
    return {
        "type": "rect",
        "x0": low,
        "x1": high,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "fillcolor": "var(--rule)",
        "opacity": 0.5,
        "line": {"width": 0},
        "layer": "below",
    }


def _places(stages: Sequence[Stage]) -> Plot:
    views = [stage["views"] for stage in stages]
    series = (
        ("best near seam", "--c-farthest", "target_seam"),
        ("chosen near seam", "--c-policy", "choice_seam"),
        ("best near pole", "--c-unknown_ray", "target_pole"),
        ("chosen near pole", "--c-frontier", "choice_pole"),
        ("good views apart", "--c-random", "apart"),
    )
    return Plot(
        title="How often, by views taken",
        data=tuple(
            line(name, colour, views, [stage[key] for stage in stages])
            for name, colour, key in series
        ),
        layout={
            "showlegend": True,
            "xaxis": {"title": {"text": "views taken"}, "dtick": 1},
            "yaxis": {"tickformat": ".0%", "rangemode": "tozero"},
        },
        caption="A head that can point everywhere chooses bad places as often as best views are "
        "there.",
    )


def _numbers(modes: Modes, head: str) -> tuple[Plot, ...]:
    """Draw a histogram of what a continuous head's last layer said."""
    if modes.raw is None:
        return ()
    if head == "unit_vector" or head == "cartesian":
        values, title = np.linalg.norm(modes.raw, axis=1), "Length of the vector said"
        caption = "Near 0 the direction is noise."
    else:
        values, title = np.tanh(modes.raw).ravel(), "tanh of the numbers said"
        caption = "Beyond ±.95 the gradient is nearly dead."
    counts, edges = np.histogram(values, bins=40)
    centres = np.round((edges[1:] + edges[:-1]) / 2, 4).tolist()
    trace = bars("states", "--c-policy", centres, counts.tolist())
    layout = {"bargap": 0.05, "yaxis": {"title": {"text": "count"}}}
    return (Plot(title=title, data=(trace,), layout=layout, caption=caption),)
