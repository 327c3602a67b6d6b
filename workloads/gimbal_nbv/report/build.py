"""Assemble the report and write it as one file.

`gimbal.pages.one_file` says why the page can ask nothing of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from gimbal.experiment.files import atomic_write_bytes
from gimbal.pages.markup import Html, el, join, script_json
from gimbal.pages.one_file import content_policy, script_safe

from . import hero, sections
from .figures import Figure, result_figures
from .object_figures import object_figures
from .policies import ordered, policy
from .sphere import sphere_payload
from .tables import results_table
from .text import mapping
from .training_figures import training_figures
from .verdict import judge

Section = tuple[str, str, Html | None]
"""Key, title and markup of a section; None where it has nothing to say."""


def write_report(
    evaluation: Mapping[str, Any],
    run: Mapping[str, Any],
    training: Mapping[str, Any] | None,
    out: Path,
) -> Path:
    """Write the report of a next-best-view run.

    Args:
        evaluation: Result of the protocol; whatever part of it is missing is left out.
        run: Provenance, stages, gates and config of the run.
        training: Logged series and the gradient report; None if nothing was trained.
        out: An HTML file, or a folder that gets `report.html`.

    Returns:
        The file written.

    Raises:
        gimbal.errors.StorageError: If the file cannot be written.
    """
    path = out if out.suffix == ".html" else out / "report.html"
    atomic_write_bytes(path, render(evaluation, run, training).encode())
    return path


def render(
    evaluation: Mapping[str, Any], run: Mapping[str, Any], training: Mapping[str, Any] | None
) -> str:
    """Return the whole page as text."""
    # Importing plotly costs every `gimbal` command 30 ms; only this line needs it.
    from plotly.offline import get_plotlyjs

    training = mapping(training)
    learning = training_figures(training)
    results, objects = result_figures(evaluation), object_figures(evaluation)
    sphere = sphere_payload(evaluation)
    plots = {plot.id: _drawing(plot) for plot in (*results, *objects, *learning)}
    own = [_asset(name) for name in ("page.js", "sphere_geometry.js", "sphere.js")]
    scripts = [script_safe(text) for text in (get_plotlyjs(), *own)]
    body = [
        _section("results", "Results", results_table(evaluation)),
        _section("curves", "Curves", _legend(evaluation) if results else None, _grid(results)),
        _section("objects-all", "Object by object", _grid(objects)),
        _section("sphere", "The sphere", Html(_asset("sphere.html")) if sphere else None),
        _section(
            "training",
            "Training",
            _grid(learning, "grid thirds"),
            sections.gradient_table(training),
        ),
        *_closing_sections(evaluation, run),
    ]
    return Template(_asset("page.html")).substitute(
        title=join(_title(run)),
        policy=content_policy(scripts),
        style=_asset("style.css"),
        overline=join(" · ".join(_overline(run))),
        nav=_navigation(body),
        verdict=hero.verdict_block(judge(evaluation, run)),
        gaps=join(hero.gap_scale(evaluation)),
        facts=join(hero.key_numbers(evaluation)),
        body=join([html for _, _, html in body]),
        data=script_json({"figures": plots, "sphere": sphere}),
        scripts=join([Html(f"<script>{text}</script>\n") for text in scripts]),
    )


def _closing_sections(evaluation: Mapping[str, Any], run: Mapping[str, Any]) -> list[Section]:
    objects = (sections.object_tables(evaluation), sections.skipped_table(evaluation))
    method = (sections.protocol_box(evaluation), sections.definitions())
    record = (
        sections.drift_table(evaluation),
        sections.gates_table(run),
        sections.stages_table(run),
        sections.reproduce(run),
        sections.provenance(run),
    )
    return [
        _section("tables", "All objects", *objects),
        _section("run", "The run", *record),
        _section("method", "Method", el("div", method, class_="cards")),
    ]


def _section(key: str, title: str, *parts: Html | None) -> Section:
    """Make a section, or nothing where all its parts are missing."""
    if not any(parts):
        return key, title, None
    heading = el("h2", title, id=f"{key}-title")
    return key, title, el("section", heading, parts, id=key, aria_labelledby=f"{key}-title")


def _navigation(body: Sequence[Section]) -> Html:
    return join([el("a", title, href=f"#{key}") for key, title, html in body if html])


def _drawing(figure: Figure) -> dict[str, Any]:
    return {"data": figure.data, "layout": figure.layout, "height": figure.height}


def _grid(figures: Sequence[Figure], class_: str = "grid") -> Html | None:
    if not figures:
        return None
    return el("div", [_figure_markup(figure) for figure in figures], class_=class_)


def _figure_markup(figure: Figure) -> Html:
    plot = el(
        "div",
        class_="plot",
        id=f"plot-{figure.id}",
        style=f"min-height:{figure.height}px",
        role="img",
        aria_label=f"{figure.title}. {figure.alt}",
    )
    caption = el("figcaption", el("h3", figure.title), el("p", figure.caption))
    return el("figure", caption, plot, class_="wide" if figure.wide else None)


def _legend(evaluation: Mapping[str, Any]) -> Html | None:
    """Make the one key of all curves: each chip switches its policy on and off everywhere."""
    keys = ordered(mapping(evaluation.get("coverage")) or mapping(evaluation.get("cd")))
    chips = [
        el(
            "button",
            el("span", class_=f"swatch {policy(key).dash}", aria_hidden="true"),
            policy(key).label,
            type="button",
            aria_pressed="true",
            data_policy=key,
            title=policy(key).about or None,
            style=f"--swatch:{policy(key).colour}",
        )
        for key in keys
    ]
    return el("div", chips, class_="chips", role="group", aria_label="Show or hide policies")


def _title(run: Mapping[str, Any]) -> str:
    name = run.get("run_id") or run.get("experiment")
    return f"Next best view · {name}" if name else "Next best view"


def _overline(run: Mapping[str, Any]) -> list[str]:
    facts = ["Gimbal", "next best view"]
    facts += [str(run[key]) for key in ("experiment", "run_id", "created") if run.get(key)]
    return facts


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
