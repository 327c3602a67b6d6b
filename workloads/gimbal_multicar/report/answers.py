"""Some held-out samples: cars where they are and where the model says, ranges beside true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.pages.markup import Html, el, plot_text
from gimbal_multicar.drawing import range_picture
from gimbal_multicar.error_drawing import ERRORS, error_picture
from gimbal_multicar.report.bev import CAR_COLOURS, moment_figure
from gimbal_multicar.report.figures import Figure
from gimbal_multicar.report.pictures import colour_key, data_uri

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Row = Mapping[str, Any]
KEYS = ("split", "scenario", "frame", "agent_id")
_AHEAD_M, _MARGIN_M = 6.0, 12.0
_WHOLE = "display:block;width:100%;border-radius:4px"
_PAIR = "display:grid;grid-template-columns:1fr 1fr;gap:4px 6px;margin-top:4px"


@dataclass(frozen=True, eq=False, kw_only=True)
class Shown:
    """One sample that the evaluation kept whole.

    Attributes:
        record: Its numbers, of `per_sample`.
        rows: Of stage `panoramas`, the main car's first.
        main_from_car: [N, 4, 4] predicted poses.
        range_m: [V, H, W] predicted, one a view.
    """

    record: Mapping[str, Any]
    rows: Sequence[Row]
    main_from_car: Floats
    range_m: Floats

    @property
    def world_from_car(self) -> Floats:
        """[N, 4, 4] predicted poses in the data set's world, by the main car's true one."""
        world = np.asarray(self.rows[0]["world_from_car"], np.float64)
        placed: Floats = world @ np.asarray(self.main_from_car, np.float64)
        return placed

    @property
    def by_car(self) -> bool:
        """Whether each view is a car's panorama."""
        size = np.asarray(self.rows[0]["range_m"]).shape
        return bool(self.range_m.shape == (len(self.rows), *size))


def open_shown(evaluation: Mapping[str, Any], evaluate_dir: Path, rows: BlockReader) -> list[Shown]:
    """Read the samples that the evaluation kept.

    Args:
        evaluation: What stage `evaluate` wrote.
        evaluate_dir: Its folder.
        rows: Of stage `panoramas`.
    """
    keys = rows.fetch(range(len(rows)), KEYS)
    names = zip(*(keys[name] for name in KEYS), strict=True)
    place = {tuple(str(part) for part in key): row for row, key in enumerate(names)}
    records = {record["sample"]: record for record in evaluation["per_sample"]}
    found = []
    for one in evaluation["shown"]:
        record = records[one["sample"]]
        where = record["split"], record["scenario"], record["frame"]
        agents = (record["main"], *record["partners"])
        with np.load(evaluate_dir / one["file"]) as kept:
            found.append(
                Shown(
                    record=record,
                    rows=[rows[place[(*where, agent)]] for agent in agents],
                    main_from_car=kept["main_from_car"],
                    range_m=kept["range_m"],
                )
            )
    return found


def pose_figures(samples: Sequence[Shown]) -> dict[str, Figure]:
    """Return each sample from above: cars where they are, and where the model says."""
    found: dict[str, Figure] = {}
    for number, sample in enumerate(samples):
        figure = moment_figure(sample.rows)
        figure["data"] += [
            trace for car in range(1, len(sample.rows)) for trace in _answer(sample, car)
        ]
        figure["layout"] |= _around(figure["data"][1:], figure["layout"])
        errors = sample.record["pose"]
        said = ", ".join(f"{error:.1f} m" for error in errors["trans_m"]) or "no partner"
        words = f"Circles are cars, diamonds where the model says they are: {said} off."
        title = f"{sample.record['scenario']} / {sample.record['frame']}"
        found[f"answer-{number}"] = title, words, figure
    return found


def _around(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layout's axes drawn near to some traces: boxes far away are beside the point."""
    ends = {}
    for axis, name in (("xaxis", "x"), ("yaxis", "y")):
        values = np.concatenate([trace[name] for trace in traces])
        near = [float(values.min()) - _MARGIN_M, float(values.max()) + _MARGIN_M]
        ends[axis] = {**layout[axis], "range": near}
    return ends


def _answer(sample: Shown, car: int) -> list[dict[str, Any]]:
    """Return where a partner is said to be, and the way from where it is."""
    said = sample.world_from_car[car]
    true = np.asarray(sample.rows[car]["world_from_car"], np.float64)[:3, 3]
    here, ahead = said[:3, 3], said[:3, 3] + _AHEAD_M * said[:3, 2]
    colour = CAR_COLOURS[car % len(CAR_COLOURS)]
    name = plot_text(f"car {sample.rows[car]['agent_id']} as said")
    common = {"type": "scatter", "name": name, "legendgroup": name, "hoverinfo": "name"}
    return [
        {
            **common,
            "mode": "lines",
            "showlegend": False,
            "x": np.round([true[0], here[0]], 2).tolist(),
            "y": np.round([true[2], here[2]], 2).tolist(),
            "line": {"color": "var(--alarm)", "width": 1.5, "dash": "dot"},
        },
        {
            **common,
            "mode": "lines+markers",
            "x": np.round([here[0], ahead[0]], 2).tolist(),
            "y": np.round([here[2], ahead[2]], 2).tolist(),
            "line": {"color": colour, "width": 2, "dash": "dash"},
            "marker": {"color": colour, "size": [11, 5], "symbol": ["diamond-open", "diamond"]},
        },
    ]


def range_sheet(samples: Sequence[Shown]) -> Html | None:
    """Return predicted ranges beside true ones, of each sample's main car and first partner."""
    shown = [sample for sample in samples if sample.by_car]
    if not shown:
        return None
    parts = [_ranges(sample, car) for sample in shown for car in range(min(2, len(sample.rows)))]
    return el("div", colour_key(ERRORS), parts)


def _ranges(sample: Shown, car: int) -> Html:
    row, said = sample.rows[car], sample.range_m[car].astype(np.float32)
    true = np.where(np.asarray(row["valid"]), row["range_m"], np.float32(0))
    name = f"{row['scenario']} / {row['agent_id']} / {row['frame']}"
    pictures = (
        ("colours", data_uri(np.asarray(row["rgb"]), "JPEG")),
        ("range error", data_uri(error_picture(said, true), "PNG")),
        ("true range", data_uri(range_picture(true), "JPEG")),
        ("predicted range", data_uri(range_picture(said), "JPEG")),
    )
    drawn = [
        el("div", el("img", src=uri, alt=f"{words} of {name}", style=_WHOLE), el("small", words))
        for words, uri in pictures
    ]
    caption = el("figcaption", el("p", name))
    return el("figure", el("div", drawn, style=_PAIR), caption, style="margin:10px 0 22px")
