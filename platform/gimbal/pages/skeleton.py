"""One page as one file: its parts in, its text out.

Reports and pages of all workloads are a family, so the skeleton, the palette and the script that
draws plots and sorts tables stand here once; what a workload adds (a sphere, pictures) it hands
over. `gimbal.pages.one_file` says why a page can ask nothing of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from string import Template
from typing import Any

from gimbal.pages.markup import Html, el, join, script_json
from gimbal.pages.one_file import content_policy, script_safe

Section = tuple[str, str, Html | None]
"""Key, title and markup of a section; None where it has nothing to say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What stands on a page.

    Attributes:
        title: Title of the browser's tab.
        overline: Facts above the headline.
        hero: What comes first: a verdict, then what supports it.
        sections: In reading order; those without markup are left out.
        figures: `id → {data, layout, height}` of every element `plot-<id>`.
        data: What scripts of the workload's own read from `window.gimbalReport.data`.
        scripts: Their text, run in order after the page's own.
        style: Rules after those that all pages share; None: those of reports.
    """

    title: str
    overline: Sequence[str]
    hero: Sequence[Html | None]
    sections: Sequence[Section]
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    scripts: Sequence[str] = ()
    style: str | None = None


def render_page(page: Page) -> str:
    """Return the page as text."""
    # Importing plotly costs every `gimbal` command 30 ms; only this line needs it.
    from plotly.offline import get_plotlyjs

    scripts = [script_safe(text) for text in (get_plotlyjs(), _asset("page.js"), *page.scripts)]
    return Template(_asset("page.html")).substitute(
        title=join(page.title),
        policy=content_policy(scripts),
        style=_asset("base.css") + (_asset("style.css") if page.style is None else page.style),
        overline=join(" · ".join(page.overline)),
        nav=join([el("a", title, href=f"#{key}") for key, title, html in page.sections if html]),
        hero=Html("\n").join(join(part) for part in page.hero if part),
        body=join([html for _, _, html in page.sections]),
        data=script_json({"figures": dict(page.figures), **page.data}),
        scripts=join([Html(f"<script>{text}</script>\n") for text in scripts]),
    )


def section(key: str, title: str, *parts: Html | None) -> Section:
    """Make a section, or nothing where all its parts are missing."""
    if not any(parts):
        return key, title, None
    heading = el("h2", title, id=f"{key}-title")
    return key, title, el("section", heading, parts, id=key, aria_labelledby=f"{key}-title")


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")
