"""Tables that scroll on their own, as `assets/base.css` draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gimbal.pages.markup import Child, Html, el


def scroller(caption: str, *parts: Html | Iterable[Html], class_: str = "") -> Html:
    """Wrap a table so that it scrolls sideways on its own and the keyboard can reach it."""
    table = el("table", el("caption", caption), *parts, class_=class_ or None)
    return el("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)


def plain_table(caption: str, titles: Sequence[str], rows: Iterable[Sequence[Child]]) -> Html:
    """Make a small table of text; the first column heads its row."""
    head = el("thead", el("tr", [el("th", title, scope="col") for title in titles]))
    body = [
        el("tr", el("th", row[0], scope="row"), [el("td", value) for value in row[1:]])
        for row in rows
    ]
    return scroller(caption, head, el("tbody", body), class_="plain")
