"""A diagnosis as a page of the report's family: the verdict, its checks, plots, tables, numbers.

Whatever a diagnostic finds is drawn alike, so that who has read one page can read all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gimbal.pages.markup import Html, el
from gimbal.pages.skeleton import Page, Section, render_page, section
from gimbal.pages.tables import plain_table, scroller
from gimbal_nbv.diagnostics.finding import Check, Diagnosis, Plot, Table, Verdict
from gimbal_nbv.diagnostics.registry import DIAGNOSTICS
from gimbal_nbv.pages.sphere_part import sphere_scripts, sphere_section
from gimbal_nbv.report.sphere import sphere_payload
from gimbal_nbv.report.tables import Cell, header
from gimbal_nbv.report.text import MISSING, compact, finite, interval, plural

PLOT_HEIGHT = 340
COLOURS = (
    "var(--c-policy)",
    "var(--c-farthest)",
    "var(--c-unknown_ray)",
    "var(--c-rear_side)",
    "var(--c-frontier)",
)
"""Of traces that name no colour, in this order."""
FOLDED_ROWS = 30
"""Longer tables are folded."""
_TONES = {
    Verdict.PASS: ("good", "✓"),
    Verdict.FAIL: ("bad", "✕"),
    Verdict.NOT_CHECKABLE: ("unknown", "?"),
}
_PILLS = {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.NOT_CHECKABLE: "none"}
_WORSE_FIRST = (Verdict.FAIL, Verdict.NOT_CHECKABLE, Verdict.PASS)


def render_diagnosis(diagnosis: Diagnosis, *, about: str = "", drift: Sequence[str] = ()) -> str:
    """Return the page as text.

    Args:
        diagnosis: What was found.
        about: What was examined, such as a run's id.
        drift: How what is here differs from what made the run.
    """
    plots = {f"{number}": plot for number, plot in enumerate(diagnosis.plots)}
    sphere = sphere_payload({"rollouts": diagnosis.spheres}, layers=diagnosis.layers)
    return render_page(
        Page(
            title=f"{diagnosis.name} · {diagnosis.verdict}",
            overline=["Gimbal", "next best view", diagnosis.name, *([about] if about else [])],
            hero=(_verdict(diagnosis, drift), _facts(diagnosis.checks)),
            sections=(
                section("checks", "Checks", _checks(diagnosis.checks)),
                section("plots", "What it looks like", _grid(plots)),
                sphere_section(sphere),
                section("tables", "Tables", *map(_table, diagnosis.tables)),
                _method(diagnosis),
                section("drift", "What differs", _drift(drift)),
            ),
            figures={key: _drawing(plot) for key, plot in plots.items()},
            data={"sphere": sphere},
            scripts=sphere_scripts(),
        )
    )


def written(value: float | None) -> str:
    """Write a check's value with three significant digits; a dash where there is none."""
    known = finite(value)
    return MISSING if known is None else f"{known:.3g}".replace("-", "−")


def wanted(check: Check) -> str:
    """Write what a check wants."""
    return _signs(f"{check.op} {check.threshold:g}")


def _signs(text: str) -> str:
    return text.replace(">=", "≥").replace("<=", "≤")


def _verdict(diagnosis: Diagnosis, drift: Sequence[str]) -> Html:
    tone, icon = _TONES[diagnosis.verdict]
    mark = el("span", icon, class_="icon", aria_hidden="true")
    alarm = (
        "The run was made with other code, settings or libraries than are here." if drift else ""
    )
    notes = el(
        "ul",
        el("li", alarm, class_="alarm") if alarm else None,
        el("li", diagnosis.question),
        class_="notes",
    )
    badge = el("p", mark, str(diagnosis.verdict), class_="badge")
    return el("div", badge, el("h1", diagnosis.answer), notes, class_=f"verdict tone-{tone}")


def _facts(checks: Sequence[Check]) -> Html | None:
    items = [
        el(
            "div",
            el("dt", check.name),
            el("dd", written(check.value)),
            el("dd", f"wanted {wanted(check)}", class_="beside"),
        )
        for check in checks[:6]
        if check.value is not None
    ]
    return el("dl", items, class_="facts") if items else None


def _checks(checks: Sequence[Check]) -> Html | None:
    if not checks:
        return None
    ordered = sorted(checks, key=lambda check: _WORSE_FIRST.index(check.verdict))
    rows = [
        (
            check.name,
            el("span", str(check.verdict), class_=f"pill {_PILLS[check.verdict]}"),
            f"{written(check.value)} {interval(check.ci95)}".strip(),
            wanted(check),
            "" if check.verdict is Verdict.PASS else check.hint,
        )
        for check in ordered
    ]
    titles = ("Check", "Result", "Found, 95 %", "Wanted", "What to do")
    return plain_table("One number against one threshold each; the worst come first.", titles, rows)


def _grid(plots: Mapping[str, Plot]) -> Html | None:
    if not plots:
        return None
    return el("div", [_figure(key, plot, len(plots)) for key, plot in plots.items()], class_="grid")


def _figure(key: str, plot: Plot, count: int) -> Html:
    drawing = el(
        "div",
        class_="plot",
        id=f"plot-{key}",
        style=f"min-height:{_height(plot)}px",
        role="img",
        aria_label=f"{plot.title}. {plot.caption}",
    )
    caption = el("figcaption", el("h3", plot.title), el("p", plot.caption))
    alone = count % 2 and int(key) == count - 1
    return el("figure", caption, drawing, class_="wide" if alone else None)


def _drawing(plot: Plot) -> dict[str, Any]:
    usual = {"showlegend": len(plot.data) > 1, "colorway": list(COLOURS)}
    layout = {**usual, **plot.layout}
    return {"data": list(plot.data), "layout": layout, "height": _height(plot)}


def _height(plot: Plot) -> int:
    return int(plot.layout.get("height", PLOT_HEIGHT))


def _table(table: Table) -> Html:
    """Make a table whose columns sort; a column of numbers is aligned as such."""
    numeric = [
        all(finite(row[column]) is not None or row[column] is None for row in table.rows)
        for column in range(len(table.columns))
    ]
    head = [
        header(title, numeric=number) for title, number in zip(table.columns, numeric, strict=True)
    ]
    body = [el("tr", _cells(row, numeric)) for row in table.rows]
    caption = _signs(f"{table.title}. {table.caption}" if table.caption else table.title)
    made = scroller(caption, el("thead", el("tr", head)), el("tbody", body), class_="sortable")
    if len(table.rows) <= FOLDED_ROWS:
        return made
    return el("details", el("summary", f"{table.title}: {len(table.rows)} rows"), made)


def _cells(row: Sequence[Any], numeric: Sequence[bool]) -> list[Html]:
    first = el("th", str(row[0]), scope="row", class_="num" if numeric[0] else None)
    if numeric[0]:
        first = el("th", compact(row[0]), scope="row", class_="num", data_sort=repr(row[0]))
    rest = [
        Cell(text=compact(value), value=finite(value)).html()
        if number
        else el("td", MISSING if value is None else str(value))
        for value, number in zip(row[1:], numeric[1:], strict=True)
    ]
    return [first, *rest]


def _drift(drift: Sequence[str]) -> Html | None:
    if not drift:
        return None
    rows = [item.split(": ", 1) if ": " in item else ["", item] for item in drift]
    caption = "Between what made the run and what is here"
    table = plain_table(caption, ("Stage", "Difference"), rows)
    return el("details", el("summary", plural(len(drift), "difference")), table)


def _method(diagnosis: Diagnosis) -> Section:
    entry = DIAGNOSTICS.get(diagnosis.name)
    passes = _signs(f"It passes when {entry.passes}") if entry else ""
    text = (
        f"{passes} A check that could not be made is NOT CHECKABLE and never counts as passed. "
        "Everything measured stands in diagnosis.json beside this page."
    )
    return section("method", "How to read this", el("p", text.strip(), class_="lead"))
