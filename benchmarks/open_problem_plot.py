"""Draws what `open_problem.py` found: one panel a variant, all on the same axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
COLUMNS = 3
LOWEST = -1.0
"""Untrained heads begin anywhere down to -2; that would press all that follows into a line."""
DETACHED, TRUE, REFERENCE = "#b4552d", "#1f6feb", "#5f666f"


def draw_plot(
    path: Path,
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    labels: Mapping[str, str],
    antipode: float,
) -> None:
    """Write a PNG: the median over seeds, the band from the worst seed to the best.

    Args:
        path: The file.
        curves: By variant, one curve a seed.
        labels: What each panel is called.
        antipode: Gain of the view opposite the first.
    """
    from matplotlib import pyplot as plt

    rows = -(-len(curves) // COLUMNS)
    figure, grid = plt.subplots(
        rows,
        min(COLUMNS, len(curves)),
        figsize=(9.6, 2.2 * rows + 0.5),
        dpi=120,
        sharex=True,
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    for axes, (name, of_seeds) in zip(grid.flat, curves.items(), strict=False):
        at, gains = np.array(of_seeds[0]["steps"]), np.array([c["gain"] for c in of_seeds])
        colour = TRUE if name in ("map_ascent", "default") else DETACHED
        axes.fill_between(at, gains.min(0), gains.max(0), color=colour, alpha=0.2, linewidth=0)
        axes.plot(at, np.median(gains, axis=0), color=colour, linewidth=1.6)
        axes.axhline(antipode, color=REFERENCE, linewidth=0.8, linestyle="--")
        axes.axhline(0.0, color=REFERENCE, linewidth=0.8, linestyle=":")
        end = float(np.median(gains[:, -1]))
        axes.annotate(
            f"{end:.2f}", (at[-1], end), xytext=(2, 0), textcoords="offset points", color=colour
        )
        axes.set_title(labels[name], fontsize=8.5, loc="left", wrap=True)
        axes.set_ylim(LOWEST, 1.05)
        axes.spines[["top", "right"]].set_visible(False)
    for y, text in ((antipode, "opposite view"), (0.0, "mean candidate")):
        place = {"xytext": (0, 2), "textcoords": "offset points", "ha": "right"}
        grid.flat[0].annotate(text, (at[-1], y), fontsize=7, color=REFERENCE, **place)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    figure.supxlabel("optimizer steps", fontsize=9)
    figure.supylabel("gain of the greedy choice, 1 = best view", fontsize=9)
    figure.savefig(path)
