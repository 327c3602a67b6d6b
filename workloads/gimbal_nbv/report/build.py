"""Assemble the report and write it as one file.

`gimbal.pages.one_file` says why the page can ask nothing of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gimbal.experiment.files import atomic_write_bytes
from gimbal.pages.markup import Html, el
from gimbal.pages.skeleton import Page, Section, render_page, section
from gimbal_nbv.pages.sphere_part import sphere_scripts, sphere_section

from . import hero, sections
from .figures import Figure, result_figures
from .multiview import multiview_tables
from .object_figures import object_figures
from .policies import ordered, policy
from .sphere import sphere_payload
from .tables import results_table
from .text import mapping
from .training_figures import training_figures
from .verdict import judge


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
    training = mapping(training)
    learning = training_figures(training)
    results, objects = result_figures(evaluation), object_figures(evaluation)
    sphere = sphere_payload(evaluation)
    plots = {plot.id: _drawing(plot) for plot in (*results, *objects, *learning)}
    body = [
        section("results", "Results", results_table(evaluation)),
        section("curves", "Curves", _legend(evaluation) if results else None, _grid(results)),
        section("objects-all", "Object by object", _grid(objects)),
        sphere_section(sphere),
        section(
            "training",
            "Training",
            _grid(learning, "grid thirds"),
            sections.gradient_table(training),
        ),
        section("multiview", "The multi-view model", *multiview_tables(evaluation)),
        *_closing_sections(evaluation, run),
    ]
    return render_page(
        Page(
            title=_title(run),
            overline=_overline(run),
            hero=(
                hero.verdict_block(judge(evaluation, run)),
                hero.gap_scale(evaluation),
                hero.key_numbers(evaluation),
            ),
            sections=body,
            figures=plots,
            data={"sphere": sphere},
            scripts=sphere_scripts(),
        )
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
        section("tables", "All objects", *objects),
        section("run", "The run", *record),
        section("method", "Method", el("div", method, class_="cards")),
    ]


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
