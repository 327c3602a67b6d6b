"""A moment as a page: the cloud with its viewpoints, then each car's panorama, then all numbers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from gimbal.pages.markup import Html, el, join
from gimbal.pages.skeleton import Page, render_page, section
from gimbal.pages.tables import plain_table
from gimbal_multicar.clouds.answering import answer_tables, comparison, hero
from gimbal_multicar.clouds.measuring import WORDS
from gimbal_multicar.clouds.moment import Gathered
from gimbal_multicar.clouds.picturing import cloud_picture
from gimbal_multicar.clouds.traces import cloud_data
from gimbal_multicar.clouds.views import viewpoints
from gimbal_multicar.cooperation.consistency import SUSPECT_SHARE
from gimbal_multicar.report.pictures import data_uri, layer_key, panorama_figure

_COLOURS = (("seen", "what was seen"), ("car", "which car"), ("height", "height"))
_STILLS = ("behind", "above")


def render(gathered: Gathered, summary: Mapping[str, Any], max_points: int) -> str:
    """Return the page as text.

    Args:
        gathered: The moment.
        summary: See `measuring.summary_of`.
        max_points: The page shows no more.
    """
    cloud = cloud_data(gathered, max_points)
    return render_page(
        Page(
            title=f"Cloud · {gathered.title}",
            overline=["Gimbal", "cooperating cars", gathered.title, gathered.name],
            hero=(hero(summary) or el("h1", _headline(summary)),),
            sections=(
                section("cloud", "The moment", _style(), _cloud(cloud), _stills(gathered)),
                section("answer", "What the model says", answer_tables(summary)),
                section("cars", "What each car sees", layer_key(), _panoramas(gathered)),
                section("numbers", "Numbers", _cars_table(summary), _facts_table(summary)),
                section("record", "What made it", _record(summary["made_by"])),
            ),
            data={"cloud": cloud},
            scripts=(_asset("cloud.js"),),
        )
    )


def _headline(summary: Mapping[str, Any]) -> str:
    cars, apart = len(summary["cars"]), summary["mean_distance_m"]
    poses = "their true poses" if summary["pose_source"] == "gt" else "predicted poses"
    distance = f", {apart:.1f} m from the main one on average" if apart is not None else ""
    return f"{cars} cars at {poses}{distance}: {summary['points']:,} points"


def _cloud(cloud: Mapping[str, Any]) -> Html:
    words = (
        f"{cloud['shown']:,} of {cloud['points']:,} points. Drag to turn, scroll to come closer, "
        "click a car in the key to hide its points. Axes are metres from the main car's panorama, "
        "turned for the eye from OpenCV's (x right, y down, z forward) to right, ahead, up; the "
        "arrays and the PLY keep OpenCV's. An arrow points where a car drives."
    )
    if cloud["answers"]:
        words += (
            " A circle is where a car is, a diamond where the model says it is, the dashed line "
            "between them the error. Boxes stand at the true poses."
        )
    buttons = [
        el("button", view["name"], type="button", data_view=key, aria_pressed="false")
        for key, view in cloud["views"].items()
    ]
    return el(
        "figure",
        el("div", _controls(), el("div", buttons, class_="cloud-views"), _plot(), id="cloud-frame"),
        el("figcaption", el("p", words)),
    )


def _controls() -> Html:
    choices = [el("option", text, value=value) for value, text in _COLOURS]
    size = el(
        "input", type="range", id="cloud-size", min="1", max="6", step=".5", value="2",
        aria_label="Size of points",
    )  # fmt: skip
    return el(
        "div",
        el("label", "Colour by ", el("select", choices, id="cloud-colour")),
        el("label", "Size of points ", size),
        el("button", "Full screen", type="button", id="cloud-full"),
        class_="controls",
    )


def _plot() -> Html:
    return el(
        "div", class_="plot", id="plot-cloud-3d", role="img", aria_label="Point cloud of all cars"
    )


def _stills(gathered: Gathered) -> Html:
    """Return pictures for browsers without WebGL."""
    points = np.concatenate([car.points_main for car in gathered.cars])
    colours = np.concatenate([car.colours for car in gathered.cars])
    views = viewpoints(gathered.cars)
    drawn = [
        el(
            "img",
            src=data_uri(cloud_picture(points, colours, views[key]), "JPEG"),
            alt=f"The cloud: {views[key].name.lower()}",
        )
        for key in _STILLS
    ]
    words = "The view in space needs WebGL, which this browser does not offer. Still pictures:"
    return el(
        "div", el("p", words, class_="warn"), drawn, id="cloud-no-webgl", class_="cloud-stills",
        hidden=True,
    )  # fmt: skip


def _panoramas(gathered: Gathered) -> Html:
    parts = []
    for number, car in enumerate(gathered.cars):
        parts.append(el("h3", f"Car {car.agent}" + ("" if number else " (main)")))
        parts.append(panorama_figure(car.row) if car.said is None else comparison(car, car.said))
    return el("div", parts)


def _cars_table(summary: Mapping[str, Any]) -> Html:
    titles = (
        "Car", "Distance, m", "Right, down, ahead, m", "Turned, deg", "Range (5 to 95 %), m",
        "Not sky", "Range known", "Points", "In thin air",
    )  # fmt: skip
    return plain_table("Cars, against the main one", titles, map(_car_row, summary["cars"]))


def _car_row(car: Mapping[str, Any]) -> list[str]:
    known, air = car["range_m"], car["main_sees_through_it"]
    share = None if air is None else air["share"]
    return [
        car["agent_id"] + (" (main)" if car["is_main"] else ""),
        f"{car['distance_m']:.2f}",
        ", ".join(f"{value:.2f}" for value in car["translation_m"]),
        f"{car['rotation_deg']:.2f}",
        f"{known['median']:.1f} ({known['q05']:.1f} to {known['q95']:.1f})" if known else "–",
        f"{car['non_ambiguous']:.3f}",
        f"{car['valid']:.3f}",
        f"{car['points']:,}",
        "–" if share is None else f"{share:.1%}",
    ]


def _facts_table(summary: Mapping[str, Any]) -> Html:
    box, boxes = summary["bounds_m"], summary["boxes"]
    rows = [
        ("pose source", WORDS[summary["pose_source"]]),
        ("ranges and masks", WORDS[summary["geometry"]]),
        ("frame", summary["frame"]),
        ("bounds", f"{box['min']} to {box['max']}" if box else "no point"),
        ("not sky, mean of cars", f"{summary['non_ambiguous']:.4f}"),
        ("range known, mean of cars", f"{summary['valid']:.4f}"),
        ("boxes that hold points", f"{boxes['with_points']} of {boxes['count']}"),
        ("points in boxes", f"{boxes['points']:,}"),
        ("in thin air", "of a car's points within 60 m that the main car looks at, those behind "
         f"which it sees farther; true poses leave few, above {SUSPECT_SHARE:.0%} is suspect"),
    ]  # fmt: skip
    return plain_table("The moment", ("Fact", "Value"), rows)


def _record(record: Mapping[str, Any]) -> Html:
    facts = [(k.replace("_", " "), str(v)) for k, v in record.items() if k != "config_yaml"]
    config = el("pre", el("code", str(record.get("config_yaml", ""))), tabindex=0)
    table = plain_table("Record", ("Fact", "Value"), facts)
    return join(table, el("details", el("summary", "Config"), config))


def _style() -> Html:
    return Html(f"<style>{_asset('cloud.css')}</style>")


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")
