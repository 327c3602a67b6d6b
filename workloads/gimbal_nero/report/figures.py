"""The curves of a page: rays, the course over checkpoints, the training's log, the views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal.pages.markup import plot_text
from gimbal_nero.report.plotting import COLOURS, Figure, figure, line

_PIECES = 64
_COURSES = {
    "psnr": ("PSNR of held-out pixels", "dB", ("psnr",)),
    "weight": (
        "Weight near the surface",
        "share",
        ("weight_near", "hit_share", "background_opacity"),
    ),
    "spread": ("How wide weights lie along rays", "unit lengths", ("weight_spread", "peak_miss")),
    "material": (
        "Material and occlusion, means of the surface",
        "",
        ("roughness", "metallic", "albedo", "occlusion"),
    ),
}
_WORDS = {
    "psnr": "The same pixels at every kept checkpoint. It should rise.",
    "weight": "Weight within .1 of the surface, share of rays that enter the shape, and weight in "
    "the sphere where rays stay clear of the shape. The first rises, the last falls to nothing.",
    "spread": "Standard deviation of weights, and how far their peak is from the surface. Both "
    "fall as opacity stops being flat.",
    "material": "They should settle within (0, 1) and not at its ends.",
}


def ray_figures(watched: Mapping[str, Any]) -> dict[str, Figure]:
    """Return weights and distance along the chosen rays of each drawn view."""
    found = {}
    for number, strip in enumerate(watched["strips"]):
        for name, ray in strip["rays"].items():
            title = f"View {strip['view']}: a ray at the {name}"
            words = f"Pixel {ray['pixel']}: weight in 64 pieces, and the signed distance."
            found[f"ray-{number}-{name}"] = title, words, _ray(ray)
    return found


def _ray(ray: Mapping[str, Any]) -> dict[str, Any]:
    traces = [
        line("weight", *binned(ray["distance"], ray["weight"]), 0),
        line("signed distance", ray["distance"], ray["sdf"], 1, yaxis="y2"),
    ]
    shapes = []
    if ray["surface"] is not None:
        place = ray["surface"]
        shapes = [{"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "paper",
                   "line": {"color": "var(--muted)", "width": 1, "dash": "dot"}}]  # fmt: skip
    more = {
        "yaxis2": {"overlaying": "y", "side": "right", "title": {"text": "distance"}},
        "margin": {"r": 64},
        "shapes": shapes,
    }
    return figure(traces, "along the ray, unit lengths", "weight", **more)


def binned(distances: Sequence[float], weights: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the middles of equal pieces of a ray, and the weight in each.

    Samples crowd at the surface, so their own weights would be jagged where they are densest.
    """
    if not distances:
        return [], []
    sums, edges = np.histogram(distances, _PIECES, weights=weights)
    return (0.5 * (edges[1:] + edges[:-1])).round(4).tolist(), sums.round(5).tolist()


def timeline_figures(watched: Mapping[str, Any]) -> dict[str, Figure]:
    """Return numbers over checkpoints, and one ray at each of them."""
    moments = watched["timeline"]
    steps = [moment["step"] for moment in moments]
    found: dict[str, Figure] = {}
    for key, (title, unit, names) in _COURSES.items():
        traces = [
            line(name.replace("_", " "), steps, _course(moments, name), number)
            for number, name in enumerate(names)
            if name in moments[-1]["numbers"]
        ]
        if traces:
            found[f"time-{key}"] = title, _WORDS[key], figure(traces, "step", unit)
    rays = [
        line(
            f"step {m['step']}",
            *binned(m["ray"]["distance"], m["ray"]["weight"]),
            number,
            mode="lines",
        )
        for number, m in enumerate(moments)
        if m["ray"] is not None
    ]
    if rays:
        words = "Weights along the middle ray of a held-out view: flat early, one peak late."
        drawn = figure(rays, "along the ray, unit lengths", "weight")
        found["time-ray"] = "One ray over time", words, drawn
    return found


def _course(moments: Sequence[Mapping[str, Any]], name: str) -> list[float | None]:
    return [moment["numbers"].get(name) for moment in moments]


def training_figures(
    training: Sequence[Mapping[str, Any]], key: str = "learn", of: str = ""
) -> dict[str, Figure]:
    """Return the log of a training: the loss and its parts, and validation.

    Args:
        training: Its lines.
        key: What names of figures begin with; each training of a page has its own.
        of: What was trained, as titles say it; empty: nothing else was.
    """
    series: dict[str, tuple[list[int], list[float]]] = {}
    for record in training:
        for name, value in record["values"].items():
            if value is not None:
                steps, values = series.setdefault(name, ([], []))
                steps.append(record["step"])
                values.append(value)
    losses = [name for name in series if name == "train/loss" or name.startswith("train/loss/")]
    shown: dict[str, tuple[str, list[str], str]] = {
        "loss": ("Loss and its parts", losses, "log"),
        "psnr": ("Validation: PSNR, dB", [n for n in ("val/psnr",) if n in series], "-"),
        "ssim": (
            "Validation: SSIM and opacity",
            [n for n in ("val/ssim", "val/opacity") if n in series],
            "-",
        ),
    }
    return {
        f"{key}-{name}": (
            f"{of}: {title}" if of else title,
            "As logged while training.",
            _log(series, names, kind),
        )
        for name, (title, names, kind) in shown.items()
        if names
    }


def _log(series: Mapping[str, Any], names: Sequence[str], kind: str) -> dict[str, Any]:
    traces = [
        line(name, series[name][0], series[name][1], number) for number, name in enumerate(names)
    ]
    return figure(traces, "step", "", yaxis={"type": kind, "title": {"text": ""}})


def view_figures(watched: Mapping[str, Any]) -> dict[str, Figure]:
    """Return how well each training view is explained, and how its exposure differs."""
    views = watched["views"]
    names = [plot_text(view["name"]) for view in views]
    shown = {
        "gap_db": ("How much worse than the median view", "dB", "Highlights cost much, too."),
        "pose_gain_db": (
            "How much better from a turned pose",
            "dB",
            "A wrong pose stands out; tried for the views that are explained worst.",
        ),
        "exposure_ev": ("Brighter than the shape says", "stops", "A drift shows as a slope."),
        "outline_miss": (
            "Outline against the mask",
            "share of pixels",
            "Where opacity and mask disagree; a wrong pose or mask stands out.",
        ),
    }
    found: dict[str, Figure] = {}
    for number, (key, (title, unit, words)) in enumerate(shown.items()):
        values = [view.get(key) for view in views]
        if all(value is None for value in values):
            continue
        bars = {"type": "bar", "x": names, "y": values, "marker": {"color": COLOURS[number]}}
        drawn = figure([bars], "view", unit, xaxis={"type": "category"})
        found[f"view-{key}"] = title, words, drawn
    return found
