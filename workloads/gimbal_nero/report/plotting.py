"""Figures as the page draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gimbal.pages.markup import Html, el, plot_text

Figure = tuple[str, str, dict[str, Any]]
"""Title, caption, and data, layout and height."""
COLOURS = tuple(
    f"var(--c-{name})"
    for name in (
        "policy", "farthest", "unknown_ray", "rear_side", "frontier", "cov_nbv", "ring", "blind",
    )
)  # fmt: skip


def line(name: str, x: Sequence[Any], y: Sequence[Any], number: int, **more: Any) -> dict[str, Any]:
    """Return a line with marks where there are few points."""
    colour = COLOURS[number % len(COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) < 40 else "lines",
        "name": plot_text(name),
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 4},
        **more,
    }


def figure(traces: Sequence[dict[str, Any]], x: str, y: str, **axes: Any) -> dict[str, Any]:
    """Return data, layout and height.

    Args:
        traces: At least one.
        x: Title of the x axis.
        y: Title of the y axis.
        axes: More of the layout.
    """
    layout = {
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
        "showlegend": len(traces) > 1,
        **axes,
    }
    return {"data": list(traces), "layout": layout, "height": 300}


def figure_grid(figures: Mapping[str, Figure]) -> Html | None:
    """Return the places of figures, side by side; None where there are none."""
    if not figures:
        return None
    return el("div", [_place(*one) for one in figures.items()], class_="grid")


def _place(key: str, drawn: Figure) -> Html:
    title, caption, plotted = drawn
    return el(
        "figure",
        el("figcaption", el("h3", title), el("p", caption)),
        el(
            "div",
            class_="plot",
            id=f"plot-{key}",
            style=f"min-height:{plotted['height']}px",
            role="img",
            aria_label=f"{title}. {caption}",
        ),
    )
