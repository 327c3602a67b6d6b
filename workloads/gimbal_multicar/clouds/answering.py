"""The parts of a moment's page that show a model's answer beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal.pages.markup import Html, el, join
from gimbal.pages.tables import plain_table
from gimbal_multicar.clouds.measuring import WORDS
from gimbal_multicar.clouds.moment import Car, Said
from gimbal_multicar.drawing import Bytes, FileKind, mask_picture, range_picture
from gimbal_multicar.error_drawing import (
    AGREEMENT,
    ERRORS,
    agreement_picture,
    error_picture,
    probability_picture,
)
from gimbal_multicar.report.pictures import colour_key, data_uri

_LEVELS = {"good": "as it should be", "note": "note", "bad": "look at it"}
_TONES = {"good": ("good", "✓"), "note": ("caution", "!"), "bad": ("bad", "✕")}
_WHOLE = "display:block;width:100%;border-radius:4px"
_PAIRS = "display:grid;grid-template-columns:1fr 1fr;gap:4px 6px;margin-top:6px"


def hero(summary: Mapping[str, Any]) -> Html | None:
    """Return the verdict on a model's answer; nothing where no model was asked."""
    if "answer" not in summary:
        return None
    levels = [one["level"] for one in summary["answer"]["readings"]]
    worst = next((level for level in ("bad", "note") if level in levels), "good")
    tone, icon = _TONES[worst]
    mark = el("span", icon, class_="icon", aria_hidden="true")
    shown = f"{WORDS[summary['pose_source']]} poses, {WORDS[summary['geometry']]} ranges"
    notes = el("ul", [el("li", note) for note in _notes(summary)], class_="notes")
    verdict = summary["verdict"]
    return el(
        "div",
        el("p", mark, f"Shown: {shown}", class_="badge"),
        el("h1", verdict[:1].upper() + verdict[1:]),
        notes,
        class_=f"verdict tone-{tone}",
    )


def _notes(summary: Mapping[str, Any]) -> list[str]:
    answer, checkpoint = summary["answer"], summary["checkpoint"]
    pose, depth = summary["pose_rmse"], answer["range"]["absrel"]
    notes = [f"{len(summary['cars'])} cars, {summary['points']:,} points"]
    if pose is not None:
        notes.append(f"poses {pose:.2f} m, {summary['pose_rmse_deg']:.1f} deg off (RMSE)")
    if summary["mean_pose_rmse"] is not None:
        notes.append(f"a constant pose {summary['mean_pose_rmse']:.2f} m off")
    if depth is not None:
        notes.append(f"ranges {depth:.1%} off")
    return [*notes, f"checkpoint of step {checkpoint['step']}"]


def answer_tables(summary: Mapping[str, Any]) -> Html | None:
    """Return what the numbers mean, and the same clouds at predicted and at true poses."""
    if "answer" not in summary:
        return None
    answer = summary["answer"]
    return join(_readings(answer["readings"]), _poses(summary["cars"]), _placements(answer))


def _readings(found: Sequence[Mapping[str, str]]) -> Html:
    rows = [(one["name"], _LEVELS[one["level"]], one["said"], one["next"] or "–") for one in found]
    return plain_table("What the numbers say", ("About", "", "Found", "Next"), rows)


def _poses(cars: Sequence[Mapping[str, Any]]) -> Html:
    rows = [(_car_name(car), *_pose_row(car["predicted"])) for car in cars]
    titles = ("Car", "Off, m", "Off, deg", "Said: right, down, ahead, m", "Ranges off",
              "Mask (true)")  # fmt: skip
    return plain_table("Cars, as the model sees them from the main one", titles, rows)


def _car_name(car: Mapping[str, Any]) -> str:
    return f"{car['agent_id']}{' (main)' if car['is_main'] else ''}"


def _pose_row(said: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{said['error_m']:.2f}",
        f"{said['error_deg']:.2f}",
        ", ".join(f"{value:.2f}" for value in said["translation_m"]),
        "–" if said["range_rel"] is None else f"{said['range_rel']:.1%}",
        f"{said['mask_mean']:.3f} ({said['true_mask_mean']:.3f})",
    )


def _placements(answer: Mapping[str, Any]) -> Html:
    names = {
        "chamfer_m": "Chamfer distance, m",
        "accuracy_m": "predicted to true, m",
        "completeness_m": "true to predicted, m",
        "f_score": "F-score at .5 m",
        "bev_iou": "overlap from above",
        "rel": "point error over distance",
    }
    placed = answer["points"]
    rows = [
        (words, _number(placed["pred_pose"][key]), _number(placed["gt_pose"][key]))
        for key, words in names.items()
    ]
    caption = "Predicted ranges at predicted and at true poses: what the first adds is the poses'"
    return plain_table(caption, ("", "Predicted poses", "True poses"), rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def comparison(car: Car, said: Said) -> Html:
    """Return a car's panorama, and its ranges and masks as they are and as they are said to be."""
    image = car.image
    error = error_picture(said.range_m, car.true_range_m)
    agreement = agreement_picture(said.mask, np.asarray(image.non_ambiguous))
    pairs: Sequence[tuple[str, Bytes, FileKind]] = (
        ("true range", range_picture(car.true_range_m), "JPEG"),
        ("predicted range", range_picture(said.range_m), "JPEG"),
        ("true mask", mask_picture(image), "PNG"),
        ("predicted mask, white is certain", probability_picture(said.mask_probability), "PNG"),
        ("range error", error, "PNG"),
        ("masks compared", agreement, "PNG"),
    )
    colours = el("img", src=data_uri(image.rgb, "JPEG"), alt=f"colours of {car.agent}",
                 style=_WHOLE)  # fmt: skip
    return el(
        "figure",
        colours,
        el("div", [_captioned(*pair) for pair in pairs], style=_PAIRS),
        el("figcaption", colour_key(ERRORS), colour_key(AGREEMENT)),
        style="margin:10px 0 22px",
    )


def _captioned(words: str, picture: Bytes, kind: FileKind) -> Html:
    image = el("img", src=data_uri(picture, kind), alt=words, style=_WHOLE)
    return el("div", image, el("small", words))
