"""The tables of the report, with real table semantics and sortable columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gimbal.pages.markup import Html, el
from gimbal.pages.tables import scroller

from .policies import Policy, ordered, policy
from .statistics import gaps_of
from .text import MISSING, finite, floats, interval, mapping, number, numbers_in, percent


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A number with the text that shows it and the value it sorts by."""

    text: str
    value: float | None = None
    extra: str = ""
    best: bool = False

    def html(self) -> Html:
        """Render as a numeric table cell."""
        shown = el("b", self.text) if self.best else self.text
        small = el("span", " ", self.extra, class_="ci") if self.extra else None
        sort = "" if self.value is None else repr(self.value)
        return el("td", shown, small, class_="num", data_sort=sort)


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One numeric column of the results: how to read and write a policy's value."""

    title: str
    hint: str
    read: Callable[[str], float | None]
    write: Callable[[float | None], str]
    bounds: Callable[[str], str] = lambda _: ""
    higher_is_better: bool = True


def results_table(evaluation: Mapping[str, Any]) -> Html | None:
    """Build the main table: one row a policy, oracles apart below, best of the others bold."""
    keys = ordered(mapping(evaluation.get("auc"))) or ordered(mapping(evaluation.get("coverage")))
    if not keys:
        return None
    columns = [
        column for column in _columns(evaluation) if any(column.read(k) is not None for k in keys)
    ]
    played = [key for key in keys if policy(key).role != "oracle"]
    oracles = [key for key in keys if policy(key).role == "oracle"]
    best = [_best(column, played) for column in columns]
    head = [header("Policy", numeric=False)]
    head += [header(column.title, hint=column.hint) for column in columns]
    bodies = [el("tbody", [_row(policy(key), columns, best) for key in played])]
    if oracles:
        span = el(
            "th",
            "Oracles: they know the answer, no policy can",
            colspan=len(head),
            scope="rowgroup",
        )
        rows = [_row(policy(key), columns, None) for key in oracles]
        bodies.append(el("tbody", el("tr", span, class_="group"), rows, data_fixed=True))
    caption = "Means over objects and first views; brackets are 95 % intervals, bold is best."
    return scroller(caption, el("thead", el("tr", head)), bodies, class_="sortable results")


def header(title: str, *, hint: str = "", numeric: bool = True) -> Html:
    """Make a column header whose button sorts the table."""
    button = el("button", title, type="button", title=hint or None)
    return el("th", button, scope="col", class_="num" if numeric else None)


def _row(look: Policy, columns: Sequence[Column], best: Sequence[str] | None) -> Html:
    swatch = el("span", class_="swatch", style=f"--swatch:{look.colour}", aria_hidden="true")
    name = el("th", swatch, look.label, scope="row", title=look.about or None)
    cells = []
    for index, column in enumerate(columns):
        value = column.read(look.key)
        text = column.write(value)
        leads = best is not None and text == best[index] and text != MISSING
        cells.append(Cell(text=text, value=value, extra=column.bounds(look.key), best=leads))
    return el("tr", name, [cell.html() for cell in cells], class_=f"role-{look.role}")


def _best(column: Column, keys: Sequence[str]) -> str:
    """Return the best value as written, so that ties at the shown precision are all bold.

    Where every policy shows the same number nothing is best.
    """
    values = [value for key in keys if (value := column.read(key)) is not None]
    if len({column.write(value) for value in values}) < 2:
        return ""
    return column.write(max(values) if column.higher_is_better else min(values))


def _columns(evaluation: Mapping[str, Any]) -> list[Column]:
    views = numbers_in(evaluation.get("views_to_90"))
    return [
        *_headline_columns(evaluation),
        *_coverage_columns(evaluation),
        *_chamfer_columns(evaluation),
        Column(
            title="RRI",
            hint="Mean relative improvement by a view",
            read=_mean_of(evaluation, "rri"),
            write=lambda v: percent(v, 1),
        ),
        Column(
            title="Regret",
            hint="Mean over the steps; 0 is the best candidate",
            read=_mean_of(evaluation, "regret"),
            write=number,
            higher_is_better=False,
        ),
        Column(
            title="Views to 90 %",
            hint="First view with coverage of at least 90 %; budget + 1 where it never is",
            read=views.get,
            write=lambda v: number(v, 2),
            higher_is_better=False,
        ),
    ]


def _headline_columns(evaluation: Mapping[str, Any]) -> list[Column]:
    auc, auc_ci = numbers_in(evaluation.get("auc")), mapping(evaluation.get("auc_ci95"))
    gaps = gaps_of(evaluation)
    return [
        Column(
            title="Gap closed",
            hint="Share of the farthest → oracle gap in AUC",
            read=lambda key: gaps[key][0] if key in gaps else None,
            write=percent,
            bounds=lambda key: interval(gaps[key][1], digits=0, share=True) if key in gaps else "",
        ),
        Column(
            title="AUC",
            hint="Mean coverage over the budget",
            read=auc.get,
            write=number,
            bounds=lambda key: interval(auc_ci.get(key)),
        ),
    ]


def _coverage_columns(evaluation: Mapping[str, Any]) -> list[Column]:
    curves = {k: floats(v) for k, v in mapping(evaluation.get("coverage")).items()}
    budget = max((len(values) for values in curves.values()), default=0)
    return [
        Column(
            title=f"C@{k}",
            hint=f"Coverage after {k} views, in percent",
            read=_at(curves, k - 1),
            write=lambda v: number(v and v * 100, 1),
        )
        for k in range(1, budget + 1)
    ]


def _chamfer_columns(evaluation: Mapping[str, Any]) -> list[Column]:
    curves = {k: floats(v) for k, v in mapping(evaluation.get("cd")).items()}
    budget = max((len(values) for values in curves.values()), default=0)
    floor = finite(evaluation.get("cd_floor"))
    beyond = "" if floor is None else f"; the floor is {number(floor, 1)}"
    return [
        Column(
            title=f"CD@{k}",
            hint=f"Chamfer distance, ×10⁻³ diagonals{beyond}",
            read=_at(curves, k - 1),
            write=lambda v: number(v, 1),
            higher_is_better=False,
        )
        for k in sorted({(budget + 1) // 2, budget} - {0})
    ]


def _at(curves: Mapping[str, list[float | None]], index: int) -> Callable[[str], float | None]:
    def read(key: str) -> float | None:
        values = curves.get(key, [])
        return values[index] if index < len(values) else None

    return read


def _mean_of(evaluation: Mapping[str, Any], name: str) -> Callable[[str], float | None]:
    curves = mapping(evaluation.get(name))

    def read(key: str) -> float | None:
        values = [value for value in floats(curves.get(key)) if value is not None]
        return sum(values) / len(values) if values else None

    return read
