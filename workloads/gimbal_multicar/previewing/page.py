"""One panorama as a page: colours, range and mask, one below the other and zoomed together.

Three columns, as three square pictures would stand, would leave a panorama 60 pixels high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal.pages.markup import Html, el, join
from gimbal.pages.skeleton import Page, render_page, section
from gimbal.pages.tables import plain_table
from gimbal_multicar.drawing import FARTHEST_M, LAYERS, NEAREST_M, camera_picture, mask_layers
from gimbal_multicar.previewing.looking import Looked
from gimbal_multicar.report.pictures import data_uri

_STOPS = 24
_WIDTH_PX = 1060
"""Of a panel on a wide screen; only its proportions depend on it."""
_GAP = 0.05
_TURBO = (
    (48, 18, 59), (70, 107, 227), (40, 187, 236), (49, 242, 153), (162, 252, 60),
    (237, 208, 58), (251, 128, 34), (210, 49, 5), (122, 4, 3),
)  # fmt: skip
_AXES = ("", "2", "3")


def render(looked: Looked, facts: Mapping[str, Any]) -> str:
    """Return the page as text.

    Args:
        looked: What is shown.
        facts: See `facts.facts_of`.
    """
    height = _height(looked)
    plot = el(
        "div",
        class_="plot",
        id="plot-panels",
        style=f"min-height:{height}px",
        role="img",
        aria_label=f"Colours, range and mask of {looked.id}",
    )
    words = (
        "Drag to zoom, all three together; double-click to see all again. Ranges are along the "
        f"ray, in metres; warm is near, equal ratios are equal steps from {NEAREST_M:.0f} to "
        f"{FARTHEST_M:.0f} m."
    )
    panels = el("figure", plot, el("figcaption", el("p", words)))
    borders = camera_picture(looked.image, looked.rig)
    picture = el(
        "img", src=data_uri(borders, "PNG"), alt="Borders of the cameras", style="width:100%"
    )
    return render_page(
        Page(
            title=f"Panorama · {looked.id}",
            overline=["Gimbal", "panorama", str(looked.id), f"{looked.index} of {looked.count}"],
            hero=(el("h1", _headline(facts)),),
            sections=(
                section("panels", "Colours, range, mask", panels, _key()),
                section("cameras", "Which camera sees what", picture),
                section("facts", "Facts", _table("Measured", facts)),
                section("record", "What made it", _record(looked.record)),
            ),
            figures={"panels": {**_figure(looked), "height": height}},
        )
    )


def _headline(facts: Mapping[str, Any]) -> str:
    return (
        f"{facts['camera_model'].capitalize()}, covered {facts['coverage']:.3f} of "
        f"{facts['expected_coverage']:.3f} expected, range known of {facts['valid']:.1%}"
    )


def _figure(looked: Looked) -> dict[str, Any]:
    return {"data": _traces(looked), "layout": _layout(looked)}


def _traces(looked: Looked) -> list[dict[str, Any]]:
    image = looked.image
    ranges = np.where(image.valid, np.round(image.range_m.astype(np.float64), 2), np.nan)
    return [
        {
            "type": "image",
            "source": data_uri(image.rgb, "PNG"),
            "hovertemplate": "column %{x}, row %{y}<extra></extra>",
        },
        {
            "type": "heatmap",
            "z": [[None if np.isnan(v) else v for v in row] for row in ranges.tolist()],
            "zmin": NEAREST_M,
            "zmax": FARTHEST_M,
            "colorscale": _range_scale(),
            "showscale": False,
            "hoverongaps": False,
            "xaxis": "x2",
            "yaxis": "y2",
            "hovertemplate": "column %{x}, row %{y}<br><b>%{z:.2f} m</b><extra></extra>",
        },
        {
            "type": "heatmap",
            "z": mask_layers(image).tolist(),
            "zmin": -0.5,
            "zmax": len(LAYERS) - 0.5,
            "colorscale": _layer_scale(),
            "showscale": False,
            "xaxis": "x3",
            "yaxis": "y3",
            "hovertemplate": "column %{x}, row %{y}: layer %{z}<extra></extra>",
        },
    ]


def _layout(looked: Looked) -> dict[str, Any]:
    """Return three panels of equal height that share both axes."""
    camera = looked.image.camera
    share = (1.0 - 2 * _GAP) / 3
    layout: dict[str, Any] = {"margin": {"l": 46, "r": 8, "t": 8, "b": 34}, "dragmode": "zoom"}
    columns = [camera.width * (deg / 360.0 + 0.5) - 0.5 for deg in range(-180, 181, 45)]
    texts = ["behind" if abs(d) == 180 else "ahead" if d == 0 else f"{d}°" for d in _AZIMUTHS]
    rows = camera.cy - 0.5
    for number, axis in enumerate(_AXES):
        top = 1.0 - number * (share + _GAP)
        layout[f"xaxis{axis}"] = {
            "domain": [0.0, 1.0],
            "range": [-0.5, camera.width - 0.5],
            "anchor": f"y{axis}",
            "tickvals": columns,
            "ticktext": texts,
            "showgrid": False,
            "showticklabels": number == len(_AXES) - 1,
            "matches": "x" if number else None,
        }
        layout[f"yaxis{axis}"] = {
            "domain": [max(0.0, top - share), top],
            "range": [camera.height - 0.5, -0.5],
            "anchor": f"x{axis}",
            "tickvals": [rows],
            "ticktext": ["horizon"],
            "tickangle": -90,
            "showgrid": False,
            "matches": "y" if number else None,
            "scaleanchor": None,
        }
    return layout


_AZIMUTHS = tuple(range(-180, 181, 45))


def _height(looked: Looked) -> int:
    camera = looked.image.camera
    return round(3 * _WIDTH_PX * camera.height / camera.width / (1 - 2 * _GAP)) + 42


def _range_scale() -> list[list[Any]]:
    """Return stops that make equal ratios of ranges equal steps of colour; near is warm."""
    found: list[list[Any]] = []
    for step in np.linspace(0.0, 1.0, _STOPS):
        metres = NEAREST_M * (FARTHEST_M / NEAREST_M) ** step
        place = (metres - NEAREST_M) / (FARTHEST_M - NEAREST_M)
        found.append([round(float(place), 6), _turbo(1.0 - step)])
    found[0][0], found[-1][0] = 0.0, 1.0
    return found


def _turbo(share: float) -> str:
    colours = np.array(_TURBO, np.float64)
    at = np.linspace(0.0, 1.0, len(colours))
    mixed = [round(float(np.interp(share, at, colours[:, channel]))) for channel in range(3)]
    return f"rgb({mixed[0]},{mixed[1]},{mixed[2]})"


def _layer_scale() -> list[list[Any]]:
    """Return flat colours, one a layer."""
    count = len(LAYERS)
    scale: list[list[Any]] = []
    for number, colour in enumerate(LAYERS.values()):
        scale += [[number / count, f"rgb{colour}"], [(number + 1) / count, f"rgb{colour}"]]
    return scale


def _key() -> Html:
    chips: Sequence[Html] = [
        el("span", el("span", class_="swatch", style=f"--swatch:rgb{colour}"), f" {n}: {name} ")
        for n, (name, colour) in enumerate(LAYERS.items())
    ]
    return el("p", chips, class_="lead")


def _table(caption: str, values: Mapping[str, Any]) -> Html:
    rows = [(key.replace("_", " "), _text(value)) for key, value in values.items()]
    return plain_table(caption, ("Fact", "Value"), rows)


def _record(record: Mapping[str, Any]) -> Html:
    facts = {key: value for key, value in record.items() if key != "config_yaml"}
    config = el("pre", el("code", str(record.get("config_yaml", ""))), tabindex=0)
    return join(_table("Record", facts), el("details", el("summary", "Config"), config))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
