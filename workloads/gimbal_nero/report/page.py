"""The page of a run, one file: what was learnt and its worth first, then what it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gimbal.pages.markup import Html, el, join
from gimbal.pages.skeleton import Page, Section, render_page, section
from gimbal.pages.tables import plain_table
from gimbal_nero.judging.drawing import ERROR_FULL
from gimbal_nero.report.embedding import picture
from gimbal_nero.report.figures import (
    ray_figures,
    timeline_figures,
    training_figures,
    view_figures,
)
from gimbal_nero.report.material_sections import (
    MOST,
    cost_words,
    is_of_material,
    material_sections,
    review_figures,
)
from gimbal_nero.report.plotting import Figure, figure_grid
from gimbal_nero.report.told import Told
from gimbal_nero.watching.strips import LABELS

HEADLINE = {
    "chamfer": ("chamfer distance", "unit lengths", 4),
    "normal_deg": ("normal error", "degrees", 2),
    "psnr": ("PSNR", "dB, held-out views", 2),
    "ssim": ("SSIM", "held-out views", 3),
    "lpips": ("LPIPS", "held-out views", 3),
    "roughness_mae": ("roughness error", "perceptual, mean", 3),
    "metallic_mae": ("metallic error", "mean", 3),
    "albedo_mae": ("albedo error", "linear, one factor per channel", 3),
    "relit_psnr": ("relit PSNR", "dB, other lights, one factor", 2),
    "relit_ssim": ("relit SSIM", "other lights, one factor", 3),
}
"""Metrics of stage `evaluate` that stand on top: name, what beside it, digits."""


def render(told: Told) -> str:
    """Return the page as text."""
    groups = _figures(told)
    run = told.run
    viewer, scripts = _viewer(told)
    return render_page(
        Page(
            title=f"{_learnt(told)} · {run.get('run_id') or ''}",
            overline=_overline(run),
            hero=(_verdict(told), _facts(told.metrics.get("evaluate", {}))),
            sections=_sections(told, groups, viewer),
            figures={key: f for group in groups.values() for key, (_, _, f) in group.items()},
            scripts=scripts,
        )
    )


def _viewer(told: Told) -> tuple[Html | None, Sequence[str]]:
    """Return the exported object, and the scripts that a page with it must run."""
    folder = told.material.export_dir if told.material is not None else None
    if folder is None:
        return None, ()
    from gimbal_nero.report.viewer import viewer_scripts, viewer_section

    found = viewer_section(folder)
    return found, viewer_scripts() if found is not None else ()


def _figures(told: Told) -> dict[str, dict[str, Figure]]:
    watched, material = told.watched, told.material
    fitting = training_figures(material.training, "fit", "Material") if material else {}
    return {
        "rays": ray_figures(watched) if watched else {},
        "timeline": timeline_figures(watched) if watched else {},
        "training": training_figures(told.training, of="Shape" if material else "") | fitting,
        "views": view_figures(watched) if watched else {},
        "reviewed": review_figures(material.reviewed) if material else {},
    }


def _learnt(told: Told) -> str:
    if told.material is None:
        return "Shape"
    return "Shape and material" if "shape" in told.metrics else "Material"


def _sections(
    told: Told, groups: Mapping[str, Mapping[str, Figure]], viewer: Html | None
) -> list[Section]:
    shapes = [path for path in told.judged if not is_of_material(path)]
    return [
        *material_sections(told, viewer, figure_grid(groups["reviewed"])),
        section("looks", "Held-out views", _strips(told), _panel_words(told)),
        section("judged", "As judged", _pictures(shapes[:MOST])),
        section("rays", "Along single rays", figure_grid(groups["rays"]), _slices(told)),
        section("timeline", "How it came about", figure_grid(groups["timeline"]), _moments(told)),
        section("training", "Training", figure_grid(groups["training"])),
        section("views", "Training views", figure_grid(groups["views"])),
        section("gates", "Checks", _gates(told.run)),
        section("numbers", "All numbers", _numbers(told.metrics)),
        section("run", "The run", _record(told.run)),
    ]


def _overline(run: Mapping[str, Any]) -> list[str]:
    facts = [str(run[key]) for key in ("experiment", "run_id", "created") if run.get(key)]
    return ["Gimbal", "reflective objects", *facts]


def _verdict(told: Told) -> Html:
    gates = told.run.get("gates", [])
    failed = [gate for gate in gates if not gate["passed"]]
    badge = "A check failed" if failed else f"All {len(gates)} checks passed"
    words = f"{failed[0]['name']}: {failed[0]['message']}" if failed else _worth(told)
    tone, sign = ("bad", "✕") if failed else ("good", "✓")
    mark = el("span", sign, class_="icon", aria_hidden="true")
    return el("div", el("p", mark, badge, class_="badge"), el("h1", words),
              class_=f"verdict tone-{tone}")  # fmt: skip


def _worth(told: Told) -> str:
    judged, reviewed = told.metrics.get("evaluate", {}), told.metrics.get("review", {})
    said = [
        words.format(value)
        for words, value in (
            ("The shape is {:.4f} unit lengths from the true one.", judged.get("chamfer")),
            ("Roughness is off by {:.3f}.", judged.get("roughness_mae")),
            ("Under other lights it is rendered at {:.1f} dB.", judged.get("relit_psnr")),
        )
        if value is not None
    ]
    if said:
        return " ".join(said)
    for found in (reviewed, judged):
        if found.get("psnr") is not None:
            return f"Held-out photographs are rendered at {found['psnr']:.1f} dB."
    return f"The {_learnt(told).lower()} was not judged."


def _facts(judged: Mapping[str, Any]) -> Html | None:
    shown = [
        el("div", el("dt", name), el("dd", f"{judged[key]:.{digits}f}"),
           el("dd", beside, class_="beside"))
        for key, (name, beside, digits) in HEADLINE.items()
        if judged.get(key) is not None
    ]  # fmt: skip
    return el("dl", shown, class_="facts") if shown else None


def _strips(told: Told) -> Html | None:
    if told.watched is None or told.watch_dir is None:
        return None
    folder = told.watch_dir
    return join(
        [picture(folder / one["file"], f"View {one['view']}") for one in told.watched["strips"]]
    )


def _panel_words(told: Told) -> Html | None:
    if told.watched is None or not told.watched["strips"]:
        return None
    rows = [(name, LABELS[name]) for name in told.watched["strips"][0]["panels"]]
    return el("details", el("summary", "What each picture shows"),
              plain_table("Pictures of a strip", ("Picture", "Shows"), rows))  # fmt: skip


def _slices(told: Told) -> Html | None:
    if told.watched is None or told.watch_dir is None:
        return None
    words = (
        "Slices of the distance: orange within, blue outside, black the surface, grey the sphere"
    )
    return picture(told.watch_dir / told.watched["slices"]["file"], words)


def _moments(told: Told) -> Html | None:
    if told.watched is None or told.watch_dir is None:
        return None
    folder = told.watch_dir
    return join(
        [picture(folder / one["file"], f"Step {one['step']}") for one in told.watched["timeline"]]
    )


def _pictures(paths: Sequence[Path]) -> Html | None:
    return join([picture(path, picture_words(path.stem), 576) for path in paths]) if paths else None


def picture_words(stem: str) -> str:
    """Return what a picture that stage `evaluate` wrote shows."""
    if stem.startswith("surface-"):
        return (
            f"View {stem.removeprefix('surface-')}: normals of the mesh, of the truth where they "
            f"are known, and how far depths are apart (white: {ERROR_FULL} unit lengths)"
        )
    return f"View {stem}: photograph, render, and their difference"


def _gates(run: Mapping[str, Any]) -> Html | None:
    rows = [
        (gate["name"], gate["stage"], "passed" if gate["passed"] else "failed", gate["message"])
        for gate in run.get("gates", [])
    ]
    return plain_table("Checks of every stage", ("Check", "Stage", "", "Found"), rows)


def _numbers(metrics: Mapping[str, Mapping[str, Any]]) -> Html:
    rows = [
        (f"{stage}.{name}", f"{value:.5g}" if isinstance(value, float) else str(value))
        for stage, found in metrics.items()
        for name, value in flat(found)
    ]
    table = plain_table("What every stage returned", ("Number", "Value"), rows)
    return el("details", el("summary", f"{len(rows)} numbers"), table)


def flat(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested numbers by dotted names."""
    found: list[tuple[str, Any]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{prefix}{name}.")
        elif value is not None:
            found.append((f"{prefix}{name}", value))
    return found


def _record(run: Mapping[str, Any]) -> Html:
    stages = [
        (stage["name"], stage["status"], _seconds(stage["seconds"]))
        for stage in run.get("stages", [])
    ]
    names = ("run_id", "created", "commit", "dirty", "command")
    facts = [(name, str(run[name])) for name in names if run.get(name) is not None]
    config = el("pre", el("code", str(run.get("config_yaml", ""))), tabindex=0)
    cost = cost_words(run.get("stages", []))
    return join(
        plain_table("Time per stage", ("Stage", "State", "Seconds"), stages),
        el("p", cost) if cost else None,
        plain_table("What made it", ("Fact", "Value"), facts),
        el("details", el("summary", "Config as it ran"), config),
    )


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f}"
