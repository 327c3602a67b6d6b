"""Draws what `asha_vs_random.py` found: the best result so far over the steps spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
COLOURS = {"random": "#8a8f98", "asha": "#1f6feb"}
LABELS = {"random": "random search", "asha": "ASHA"}


def draw_plot(
    path: Path, at: np.ndarray, lines: Mapping[str, Sequence[np.ndarray]], floor: float
) -> None:
    """Write a PNG.

    Args:
        path: The file.
        at: Steps spent.
        lines: By strategy, the best result at each of them for every search seed.
        floor: The best result of the whole pool.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    for name, of_seeds in lines.items():
        values = np.array(of_seeds)
        shown = np.isfinite(values).all(axis=0)  # a mean over some seeds only would jump
        low, middle, high = np.quantile(values[:, shown], [0.25, 0.5, 0.75], axis=0)
        axes.fill_between(at[shown], low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
        axes.plot(at[shown], middle, color=COLOURS[name], label=LABELS[name])
    axes.axhline(floor, color="#444", linewidth=0.8, linestyle=":", label="best of the pool")
    axes.set(xlabel="optimizer steps spent", ylabel="best validation regret (median, quartiles)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)
