"""The top of the page: the verdict, the gap every policy closes on one scale, and key numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gimbal.pages.markup import Html, el

from .object_figures import sources
from .policies import policy
from .statistics import gap_closed, gaps_of
from .text import (
    NARROW,
    duration,
    finite,
    floats,
    interval,
    mapping,
    number,
    numbers_in,
    percent,
    records,
)
from .verdict import Verdict

ICONS = {"good": "✓", "caution": "!", "bad": "✕", "unknown": "?"}
SCALE = (-0.3, 1.05)
"""What the gap scale shows; a marker beyond it sits at the edge with an arrow."""


def verdict_block(verdict: Verdict) -> Html:
    """Render the judgement: badge, headline and notes."""
    icon = el("span", ICONS[verdict.tone], class_="icon", aria_hidden="true")
    badge = el("p", icon, verdict.badge, class_="badge")
    alarms = [el("li", alarm, class_="alarm") for alarm in verdict.alarms]
    notes = el("ul", alarms, [el("li", note) for note in verdict.notes], class_="notes")
    headline = el("h1", verdict.headline)
    return el("div", badge, headline, notes, class_=f"verdict tone-{verdict.tone}")


def gap_scale(evaluation: Mapping[str, Any]) -> Html | None:
    """Draw the gap closed by each policy on one farthest → oracle axis, with intervals."""
    gaps = gaps_of(evaluation)
    ends = ("farthest", "oracle")
    rows = sorted((key for key in gaps if key not in ends), key=lambda key: -gaps[key][0])
    if not rows:
        return None
    axis = el(
        "div",
        el("span", "farthest", style=f"left:{_place(0.0):.2f}%"),
        el("span", "oracle", style=f"left:{_place(1.0):.2f}%"),
        class_="gap-axis",
        aria_hidden="true",
    )
    items = [_gap_row(key, *gaps[key]) for key in rows]
    title = el("figcaption", "Gap closed between farthest (0 %) and the oracle (100 %), 95 % CI")
    return el("figure", title, axis, el("ul", items), class_="gaps")


def _gap_row(key: str, value: float, ci95: Any) -> Html:
    look = policy(key)
    bounds = floats(ci95)
    low, high = (bounds[0], bounds[1]) if len(bounds) == 2 else (None, None)
    whisker = None
    if low is not None and high is not None:
        left, right = _place(low), _place(high)
        whisker = el("span", class_="whisker", style=f"left:{left:.2f}%;width:{right - left:.2f}%")
    beyond = "" if SCALE[0] <= value <= SCALE[1] else " beyond"
    dot = el("span", class_=f"dot{beyond}", style=f"left:{_place(value):.2f}%")
    marks = [el("i", class_="tick", style=f"left:{_place(at):.2f}%") for at in (0.0, 0.5, 1.0)]
    track = el("span", marks, whisker, dot, class_="track", aria_hidden="true")
    said = interval(ci95, digits=0, share=True)
    shown = el("span", el("b", percent(value)), " ", el("small", said), class_="value")
    name = el("span", look.label, class_="name")
    return el("li", name, track, shown, class_=f"role-{look.role}", style=f"--swatch:{look.colour}")


def _place(value: float) -> float:
    """Return the position on the scale, in percent of its width."""
    low, high = SCALE
    return 100 * (min(max(value, low), high) - low) / (high - low)


def key_numbers(evaluation: Mapping[str, Any]) -> Html | None:
    """List the few numbers worth remembering."""
    auc, views = numbers_in(evaluation.get("auc")), numbers_in(evaluation.get("views_to_90"))
    cost, protocol = mapping(evaluation.get("cost")), mapping(evaluation.get("protocol"))
    objects = records(evaluation.get("per_object"))
    facts: list[tuple[str, str, str]] = []
    if (count := finite(protocol.get("objects")) or len(objects)) > 0:
        facts.append((f"{count:.0f}", "held-out objects", _per_source(objects)))
    if "policy" in auc:
        beside = f"farthest {number(auc.get('farthest'))}, oracle {number(auc.get('oracle'))}"
        facts.append((number(auc["policy"]), "AUC of the policy", beside))
    if "policy" in views:
        beside = f"farthest {number(views.get('farthest'), 1)}"
        facts.append((number(views["policy"], 1), "views to 90 % coverage", beside))
    for key, label, scale in (
        ("decision_ms", "for one decision", 1e-3),
        ("train_cpu_s", "CPU time of training", 1.0),
        ("oracle_cpu_s_per_mesh", "CPU time of the oracle, per mesh", 1.0),
    ):
        if (value := finite(cost.get(key))) is not None:
            facts.append((duration(value * scale), label, ""))
    items = [
        el("div", el("dt", label), el("dd", big), el("dd", beside, class_="beside"))
        for big, label, beside in facts
    ]
    return el("dl", items, class_="facts") if items else None


def _per_source(objects: list[Mapping[str, Any]]) -> str:
    """Say the gap closed on folder meshes and procedural objects apart, when there are both."""
    parts = sources(objects)
    if len(parts) < 2:
        return parts[0][0] if parts else ""
    said = []
    for label, items in parts:
        gap = gap_closed(items)
        closed = f", gap {percent(gap.value)}" if gap else ""
        said.append(f"{len(items)}{NARROW}{label}{closed}")
    return "; ".join(said)
