"""The page of a run: what the panoramas look like, what they hold, where cars stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.pages.markup import Html, el, join
from gimbal.pages.skeleton import Page, render_page, section
from gimbal.pages.tables import plain_table
from gimbal_multicar.report.bev import moment_figure
from gimbal_multicar.report.figures import Figure, survey_figures
from gimbal_multicar.report.learnt import Learnt
from gimbal_multicar.report.pictures import contact_sheet
from gimbal_multicar.spreading import spread

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader

MOMENTS = 4
COVERAGE_TOLERANCE = 0.01
_SHOWN_SKIPPED = 50


def render(
    rows: BlockReader,
    survey: Mapping[str, Any],
    run: Mapping[str, Any],
    learnt: Learnt | None = None,
) -> str:
    """Return the page as text.

    Args:
        rows: Of stage `panoramas`.
        survey: What stage `survey` wrote.
        run: See `gimbal.experiment.run_description`.
        learnt: The run's training and its judgement; none: it trains nothing.
    """
    names = np.asarray(rows.column("split"), dtype=str)
    splits = {name: np.flatnonzero(names == name).tolist() for name in survey["splits"]}
    figures = survey_figures(survey)
    moments = moment_figures(rows, splits)
    learning = learnt.figures if learnt else {}
    drawn = {**figures, **moments, **learning}
    sections = (
        *(learnt.sections(figure_grid) if learnt else ()),
        section("panoramas", "Panoramas", contact_sheet(rows, splits)),
        section("numbers", "Numbers", figure_grid(figures), _split_table(survey)),
        section("above", "From above", figure_grid(moments)),
        section("rays", "Rays", _rays_table(survey)),
        section("skipped", "Left out", _skipped(rows)),
        section("run", "The run", _record(run)),
    )
    return render_page(
        Page(
            title=f"{'Cooperating cars' if learnt else 'Panoramas'} · {run.get('run_id') or ''}",
            overline=_overline(run, "cooperating cars" if learnt else "multi-car panoramas"),
            hero=(*_hero(survey, learnt), _facts(survey)),
            sections=sections,
            figures={key: figure for key, (_, _, figure) in drawn.items()},
        )
    )


def moment_figures(rows: BlockReader, splits: Mapping[str, Sequence[int]]) -> dict[str, Figure]:
    """Return some moments of each split from above, those with the most cars first."""
    light = rows.fetch(range(len(rows)), ["scenario", "frame"])
    found: dict[str, Figure] = {}
    for split, members in splits.items():
        moments: dict[tuple[str, str], list[int]] = {}
        for index in members:
            moments.setdefault((light["scenario"][index], light["frame"][index]), []).append(index)
        most = max(len(cars) for cars in moments.values())
        full = [key for key, cars in moments.items() if len(cars) == most]
        for place in spread(range(len(full)), MOMENTS // 2):
            scenario, frame = full[place]
            cars = [rows[index] for index in moments[full[place]]]
            title = f"{split}: {scenario} / {frame}"
            caption = f"{len(cars)} cars with panoramas, and the boxes they report."
            found[f"moment-{len(found)}"] = title, caption, moment_figure(cars)
    return found


def _hero(survey: Mapping[str, Any], learnt: Learnt | None) -> tuple[Html, ...]:
    """Return what was learnt first, and the panoramas' coverage where it is news."""
    if learnt is None:
        return (_verdict(survey),)
    return (learnt.verdict,) if _as_calibrated(survey) else (learnt.verdict, _verdict(survey))


def _as_calibrated(survey: Mapping[str, Any]) -> bool:
    return bool(_coverage_error(survey) <= COVERAGE_TOLERANCE)


def _coverage_error(survey: Mapping[str, Any]) -> float:
    return float(max(one["coverage_error"] for one in survey["splits"].values()))


def _verdict(survey: Mapping[str, Any]) -> Html:
    error, coverage = _coverage_error(survey), _mean(survey, "coverage")
    good = _as_calibrated(survey)
    words = (
        f"{_rows(survey)} panoramas cover {coverage:.3f} of their pixels, as calibration says."
        if good
        else f"Coverage is off by up to {error:.3f} from what calibration says."
    )
    mark = el("span", "✓" if good else "✕", class_="icon", aria_hidden="true")
    badge = el("p", mark, "As calibrated" if good else "Not as calibrated", class_="badge")
    tone = "good" if good else "bad"
    return el("div", badge, el("h1", words), class_=f"verdict tone-{tone}")


def _facts(survey: Mapping[str, Any]) -> Html:
    splits = survey["splits"].values()
    facts = (
        ("scenarios", sum(one["scenarios"] for one in splits), ""),
        ("cars", sum(one["cars"] for one in splits), ""),
        ("no sky", f"{_mean(survey, 'non_ambiguous'):.3f}", "share of all pixels"),
        ("range known", f"{_mean(survey, 'valid'):.3f}", "share of all pixels"),
        ("moved by depth", f"{_mean(survey, 'moved_share'):.1%}", "colours, by more than 4 pixels"),
        ("left out", survey["skipped"], "car-frames with a broken or missing file"),
    )
    return el(
        "dl",
        [
            el("div", el("dt", name), el("dd", value), el("dd", beside, class_="beside"))
            for name, value, beside in facts
        ],
        class_="facts",
    )


def _rows(survey: Mapping[str, Any]) -> int:
    return sum(one["rows"] for one in survey["splits"].values())


def _mean(survey: Mapping[str, Any], name: str) -> float:
    splits = survey["splits"].values()
    return float(np.average([s[name] for s in splits], weights=[s["rows"] for s in splits]))


def _split_table(survey: Mapping[str, Any]) -> Html:
    rows = [
        (
            name,
            one["rows"],
            one["cars"],
            f"{one['coverage']:.4f}",
            f"{one['expected_coverage']:.4f}",
            f"{one['non_ambiguous']:.3f}",
            f"{one['valid']:.3f}",
            _number(one["range_m"]["mean"], 1),
            _number(one["distance_m"]["p50"], 1),
            _number(one["distance_m"]["max"], 1),
            ", ".join(f"{source} {count}" for source, count in one["depth_sources"].items()),
            f"{one['depth_density']:.3f}",
        )
        for name, one in survey["splits"].items()
    ]
    titles = (
        "Split",
        "Rows",
        "Cars",
        "Coverage",
        "Expected",
        "No sky",
        "Range known",
        "Mean range, m",
        "Cars apart, m",
        "At most, m",
        "Depth from",
        "Density",
    )
    caption = "Coverage expected from calibration alone; cars apart: median of two of one moment"
    return plain_table(caption, titles, rows)


def _rays_table(survey: Mapping[str, Any]) -> Html:
    rays = survey["rays"]
    looked = {"panorama": rays["panorama"], **rays["cameras"]}
    rows = [
        (
            name,
            one["pixels"],
            f"{one['steradians']:.2f}",
            _heading(one) if one["concentration"] > 0.2 else "all around",
            f"{one['elevation_min_deg']:.1f} to {one['elevation_max_deg']:.1f}",
            f"{one['elevation_mean_deg']:.2f}",
        )
        for name, one in looked.items()
    ]
    titles = ("Image", "Pixels", "Steradians", "Looks to, deg", "Elevation, deg", "Mean, deg")
    return plain_table("Rays of the first row: its cameras, and the panorama", titles, rows)


def _heading(one: Mapping[str, float]) -> str:
    """Return whole degrees to the right, -179 to 180."""
    degrees = round(one["azimuth_deg"])
    return str(180 if degrees == -180 else degrees)


def _skipped(rows: BlockReader) -> Html | None:
    skipped = rows.manifest.skipped
    if not skipped:
        return None
    shown = [(item.id, item.message, item.remedy) for item in skipped[:_SHOWN_SKIPPED]]
    more = len(skipped) - len(shown)
    rest = f" The first {len(shown)}; {more} more stand in manifest.json." if more else ""
    return plain_table(f"Car-frames without a row.{rest}", ("What", "Why", "What to do"), shown)


def figure_grid(figures: Mapping[str, Figure]) -> Html | None:
    """Return the places of figures, side by side; nothing where there are none."""
    if not figures:
        return None
    drawn = [
        el(
            "figure",
            el("figcaption", el("h3", title), el("p", caption)),
            el(
                "div",
                class_="plot",
                id=f"plot-{key}",
                style=f"min-height:{figure['height']}px",
                role="img",
                aria_label=f"{title}. {caption}",
            ),
            class_="wide" if len(figures) == 1 else None,
        )
        for key, (title, caption, figure) in figures.items()
    ]
    return el("div", drawn, class_="grid", style="margin:14px 0")


def _record(run: Mapping[str, Any]) -> Html:
    facts = [
        (name, str(run[name]))
        for name in ("run_id", "experiment", "created", "commit", "dirty", "command")
        if run.get(name) is not None
    ]
    config = el("pre", el("code", str(run.get("config_yaml", ""))), tabindex=0)
    return join(
        plain_table("What made it", ("Fact", "Value"), facts),
        el("details", el("summary", "Config as it ran"), config),
    )


def _overline(run: Mapping[str, Any], what: str) -> list[str]:
    facts = ["Gimbal", what]
    return facts + [str(run[key]) for key in ("experiment", "run_id", "created") if run.get(key)]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
