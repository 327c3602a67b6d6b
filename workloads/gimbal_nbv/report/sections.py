"""The sections below the plots: objects, method, gates and where the run came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gimbal.pages.markup import Html, el, join
from gimbal.pages.tables import plain_table, scroller

from .object_figures import sources
from .policies import CATALOGUE
from .statistics import gap_closed
from .tables import Cell, header
from .text import (
    MISSING,
    compact,
    duration,
    finite,
    floats,
    interval,
    mapping,
    number,
    numbers_in,
    percent,
    plural,
    records,
)

DEFINITIONS: tuple[tuple[str, str], ...] = (
    (
        "Coverage@k",
        "Share of the coverable surface samples seen by at least one of the first k "
        "views; a sample is coverable if some direction around the object sees it.",
    ),
    ("AUC", "Mean of coverage@1 … coverage@K, K being the budget."),
    (
        "Gap closed",
        "(AUC − AUC of farthest) / (AUC of the oracle − AUC of farthest), as a ratio "
        "of means. 0 % is farthest, 100 % the oracle.",
    ),
    (
        "95 % interval",
        "Paired bootstrap: objects are redrawn with replacement, every policy on the same draw.",
    ),
    (
        "CD",
        "Chamfer distance: mean distance from the true surface to the fused cloud plus the "
        "mean distance back, in 10⁻³ bounding-box diagonals.",
    ),
    ("CD floor", "CD with all candidates fused: what depth and sampling resolution leave over."),
    ("RRI", "Relative reconstruction improvement: (CD before − CD after) / CD before."),
    (
        "Regret",
        "(best gain − chosen gain) / (best − worst gain) over the candidates of the state at hand.",
    ),
    ("Views to 90 %", "First view at which coverage reaches 90 %; budget + 1 where it never does."),
    (
        "Spearman, NDCG@5",
        "Rank agreement of a policy's scores with the true gains: over all "
        "candidates, and at the top five.",
    ),
    ("Gain", "Coverage that a candidate would add to the views so far."),
    (
        "Blind control",
        "The same kind of network, trained alike, that is told angles only and no pixel. If it "
        "does as well, the policy does not use what it sees.",
    ),
)

PROTOCOL_LABELS = {
    "name": "Protocol",
    "candidates": "Candidate views",
    "radius": "Camera distance",
    "fov_deg": "Field of view",
    "image_size": "Image size",
    "first_views": "First views per object",
    "budget": "Views in all",
    "objects": "Objects",
    "test_list_sha256": "Test list, SHA-256",
}
PROTOCOL_UNITS = {"radius": " diagonals", "fov_deg": "°", "image_size": " px"}


def object_tables(evaluation: Mapping[str, Any]) -> Html | None:
    """List every object, folder meshes and procedural objects apart."""
    parts = sources(records(evaluation.get("per_object")))
    if not parts:
        return None
    return join([_object_table(label, items) for label, items in parts])


def _object_table(label: str, items: Sequence[Mapping[str, Any]]) -> Html:
    gap = gap_closed(items)
    size = plural(len(items), "object")
    closed = ""
    if gap is not None:
        bounds = interval(gap.ci95, digits=0, share=True)
        closed = f": closes {percent(gap.value)} {bounds}".rstrip() + " of the gap"
    titles = ("Policy", "Blind", "Farthest", "Oracle", "Lead", "Gap closed", "Last coverage")
    head = [header("Object", numeric=False), header("Family", numeric=False)]
    head += [header(title) for title in titles]
    table = scroller(
        f"{label.capitalize()}, {size}{closed}. AUC per object.",
        el("thead", el("tr", head)),
        el("tbody", [_object_row(item) for item in items]),
        class_="sortable objects",
    )
    return el(
        "details",
        el("summary", f"{label.capitalize()}: {size}{closed}"),
        table,
        open=len(items) <= 40,
    )


def _object_row(item: Mapping[str, Any]) -> Html:
    auc = numbers_in(item.get("auc"))
    lead = auc["policy"] - auc["farthest"] if {"policy", "farthest"} <= auc.keys() else None
    last = next(iter(floats(mapping(item.get("coverage")).get("policy"))[-1:]), None)
    gap = finite(item.get("gap_closed"))
    cells = [
        Cell(text=number(auc.get(key), 3), value=auc.get(key))
        for key in ("policy", "blind", "farthest", "oracle")
    ]
    cells.append(Cell(text=number(lead, 3, sign=True), value=lead))
    cells.append(Cell(text=percent(gap), value=gap))
    cells.append(Cell(text=percent(last, 1), value=last))
    name = el("th", str(item.get("object_id", "unnamed")), scope="row")
    lost = "lost" if lead is not None and lead < 0 else None
    family = el("td", str(item.get("family") or MISSING))
    return el("tr", name, family, [cell.html() for cell in cells], class_=lost)


def skipped_table(evaluation: Mapping[str, Any]) -> Html | None:
    """List what could not be evaluated, why, and what to do about it."""
    rows = records(evaluation.get("skipped"))
    if not rows:
        return None
    return plain_table(
        f"{plural(len(rows), 'object')} skipped",
        ("Object", "Reason", "What to do"),
        [
            (str(row.get("id", MISSING)), str(row.get("reason", "")), str(row.get("remedy", "")))
            for row in rows
        ],
    )


def drift_table(evaluation: Mapping[str, Any]) -> Html | None:
    """List how the judging code, settings and libraries differ from the training's."""
    drift = evaluation.get("drift")
    if not isinstance(drift, list) or not drift:
        return None
    return plain_table(
        f"{plural(len(drift), 'difference')} between training and this evaluation",
        ("Stage", "Difference"),
        [tuple(str(item).split(": ", 1)) for item in drift],
    )


def protocol_box(evaluation: Mapping[str, Any]) -> Html | None:
    """Spell out the protocol, so that numbers are only compared with like ones."""
    protocol = mapping(evaluation.get("protocol"))
    if not protocol:
        return None
    keys = [key for key in PROTOCOL_LABELS if key in protocol]
    keys += [key for key in protocol if key not in PROTOCOL_LABELS]
    items = [
        el(
            "div",
            el("dt", PROTOCOL_LABELS.get(key, key.replace("_", " "))),
            el("dd", compact(protocol[key]) + PROTOCOL_UNITS.get(key, "")),
        )
        for key in keys
    ]
    note = el(
        "p",
        "Objects are scaled to a bounding-box diagonal of 1. AUC of other protocols "
        "(other meshes, budgets or definitions of coverage) is not comparable.",
    )
    return el(
        "div", el("h3", "Protocol"), el("dl", items, class_="pairs"), note, class_="card protocol"
    )


def definitions() -> Html:
    """Define every metric and every policy in a line each."""
    metrics = [el("div", el("dt", name), el("dd", text)) for name, text in DEFINITIONS]
    named = [el("div", el("dt", look.label), el("dd", look.about)) for look in CATALOGUE]
    return join(
        el("div", el("h3", "Metrics"), el("dl", metrics, class_="pairs"), class_="card metrics"),
        el("div", el("h3", "Policies"), el("dl", named, class_="pairs"), class_="card policies"),
    )


def gates_table(run: Mapping[str, Any]) -> Html | None:
    """List the gates with their findings; a failed one shows its hint."""
    rows = records(run.get("gates"))
    if not rows:
        return None
    body = []
    for row in rows:
        passed = bool(row.get("passed"))
        mark = el(
            "span", "passed" if passed else "failed", class_=f"pill {'pass' if passed else 'fail'}"
        )
        hint = "" if passed else str(row.get("hint", ""))
        body.append(
            (
                str(row.get("name", "")),
                mark,
                str(row.get("stage", "")),
                str(row.get("message", "")),
                hint,
            )
        )
    return plain_table("Gates", ("Gate", "Result", "Stage", "Found", "Hint"), body)


def stages_table(run: Mapping[str, Any]) -> Html | None:
    """List the stages with time and fingerprint."""
    rows = records(run.get("stages"))
    if not rows:
        return None
    return plain_table(
        "Stages",
        ("Stage", "Status", "Time", "Fingerprint"),
        [
            (
                str(row.get("name", "")),
                str(row.get("status", MISSING)),
                duration(row.get("seconds")),
                el("code", str(row.get("fingerprint") or "")[:16]),
            )
            for row in rows
        ],
    )


def gradient_table(training: Mapping[str, Any]) -> Html | None:
    """Show the gradient-flow report: a row a module, whatever numbers it holds."""
    modules = mapping(training.get("gradient"))
    rows = {str(name): mapping(values) for name, values in modules.items()}
    keys = list(dict.fromkeys(key for values in rows.values() for key in values))
    if not keys:
        return None
    table = plain_table(
        "Gradient flow by module",
        ("Module", *(key.replace("_", " ") for key in keys)),
        [(name, *(compact(values.get(key)) for key in keys)) for name, values in rows.items()],
    )
    return el("details", el("summary", "Gradient flow by module"), table)


def reproduce(run: Mapping[str, Any]) -> Html | None:
    """Give the commands that make this run again."""
    command = str(run.get("command") or "")
    if not command:
        return None
    commit = str(run.get("commit") or "")
    checkout = f"git checkout {commit}\n" if re.fullmatch(r"[0-9a-f]{7,64}", commit) else ""
    warning = None
    if run.get("dirty"):
        warning = el(
            "p",
            "The working tree had uncommitted changes; apply the diff kept in "
            "provenance.json of the run folder first.",
            class_="warn",
        )
    code = el("pre", el("code", f"{checkout}make setup\n{command}"), id="command", tabindex=0)
    button = el("button", "Copy", type="button", class_="copy", data_copy="command")
    return el(
        "div",
        el("h3", "Make this run again"),
        warning,
        el("div", code, button, class_="copybox"),
        class_="card",
    )


def provenance(run: Mapping[str, Any]) -> Html | None:
    """Show the facts of the run, its platform and its config, folded."""
    facts = [
        (key, run.get(key))
        for key in ("run_id", "experiment", "created", "seed", "commit", "dirty", "command")
        if run.get(key) is not None
    ]
    facts += [(f"platform: {key}", value) for key, value in mapping(run.get("platform")).items()]
    blocks: list[Html] = []
    if facts:
        rows = [(str(key).replace("_", " "), _fact(value)) for key, value in facts]
        table = plain_table("Provenance", ("Fact", "Value"), rows)
        blocks.append(el("details", el("summary", "Provenance"), table))
    if config := run.get("config_yaml"):
        code = el("pre", el("code", str(config)), tabindex=0)
        blocks.append(el("details", el("summary", "Config as it ran"), code))
    return join(blocks) if blocks else None


def _fact(value: object) -> str:
    """Write a fact exactly: a seed or a version is not a measurement to be rounded."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)
