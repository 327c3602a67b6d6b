"""The judgement of a run as parts of its page: what beats what, where, and what to mend first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gimbal.pages.markup import Html, el, plot_text
from gimbal.pages.tables import plain_table
from gimbal_multicar.judging.summary import missing_words
from gimbal_multicar.report.bev import CAR_COLOURS
from gimbal_multicar.report.figures import Figure

METHODS = {
    "ours": "the model, images only",
    "mean_pose": "best constant pose of the training split",
    "blind": "blind twin",
    "shuffled": "the model, shown another scene",
}
SHORT = {"ours": "model", "mean_pose": "constant", "blind": "blind", "shuffled": "other scene"}
_LEVELS = {"good": "as it should be", "note": "note", "bad": "look at it"}
_ICONS = {"good": "✓", "caution": "!", "bad": "✕"}


def verdict(evaluation: Mapping[str, Any]) -> Html:
    """Return the judgement: whether the model beats what sees nothing, beyond doubt."""
    numbers = evaluation["headline"]
    tone, badge, words = _judged(numbers)
    mark = el("span", _ICONS[tone], class_="icon", aria_hidden="true")
    notes = [el("li", note) for note in _notes(numbers)]
    return el(
        "div",
        el("p", mark, badge, class_="badge"),
        el("h1", words),
        el("ul", notes, class_="notes"),
        class_=f"verdict tone-{tone}",
    )


def _judged(numbers: Mapping[str, Any]) -> tuple[str, str, str]:
    mine = numbers.get("pose_trans_m")
    if mine is None:
        return "caution", "No partner", "No held-out sample has a partner to judge poses by."
    words = f"Partners are placed {mine:.2f} m and {numbers['pose_rot_deg']:.1f} degrees off"
    share = numbers.get("share_of_mean_pose")
    if share is not None:
        words += f", {share:.0%} of a constant pose's error"
    lows = [numbers.get(f"over_{rival}_m") for rival in ("mean_pose", "blind")]
    known = [low for low in lows if low is not None]
    if known and all(low["ci_low"] is not None and low["ci_low"] > 0 for low in known):
        return "good", "Beats what sees nothing", words
    if any(low["value"] <= 0 for low in known):
        return "bad", "No better than what sees nothing", words
    return "caution", "Not beyond doubt better than what sees nothing", words


def _notes(numbers: Mapping[str, Any]) -> list[str]:
    notes = [f"{numbers['samples']} samples of {numbers['scenarios']} scenarios never seen"]
    if numbers.get("blind_m") is not None:
        notes.append(f"the blind twin is {numbers['blind_m']:.2f} m off")
    if numbers.get("depth_rel") is not None:
        notes.append(f"ranges are {numbers['depth_rel']:.0%} off")
    if None not in (numbers.get("pred_mask_mean"), numbers.get("gt_mask_mean")):
        notes.append(
            f"mask mean {numbers['pred_mask_mean']:.3f}, true {numbers['gt_mask_mean']:.3f}"
        )
    return [*notes, *missing_words(numbers)]


def pose_table(poses: Mapping[str, Any]) -> Html:
    """Return every method's poses, the model's first."""
    rows = [
        (
            words,
            *(_number(poses["trans_m"][name][key]) for key in ("mean", "median", "p90")),
            *(_number(poses["rot_deg"][name][key]) for key in ("mean", "median")),
            "–" if name == "ours" else _interval(poses.get(f"over_{name}_m")),
        )
        for name, words in METHODS.items()
        if name in poses["trans_m"]
    ]
    titles = ("Poses by", "Mean, m", "Median, m", "90 %, m", "Mean, deg", "Median, deg",
              "The model is better by, m [95 % CI]")  # fmt: skip
    caption = "Poses of partners in the main car's frame; nothing is aligned"
    return plain_table(caption, titles, rows)


def bucket_table(poses: Mapping[str, Any]) -> Html:
    """Return the methods by the partner's distance, and by the number of cars."""
    shown = [name for name in METHODS if name in poses["trans_m"]]
    rows = [
        (words, part["ours_m"]["count"], *(_number(part[f"{name}_m"]["mean"]) for name in shown),
         _number(part["ours_deg"]["mean"]))
        for words, part in [
            *((_reach(part), part) for part in poses["by_distance"]),
            *((f"{part['cars']} cars", part) for part in poses["by_cars"]),
        ]
    ]  # fmt: skip
    titles = ("Partners", "Number", *(f"{SHORT[name]}, m" for name in shown), "model, deg")
    return plain_table("By distance from the main car, and by cars of the sample", titles, rows)


def scene_table(evaluation: Mapping[str, Any]) -> Html:
    """Return ranges, scale, masks, and the clouds at predicted and at true poses."""
    numbers, placed = evaluation["headline"], evaluation["scenes"]["points"]
    ours = (
        ("ranges: mean error over range", "depth_rel"),
        ("ranges: RMSE, m", "depth_rmse_m"),
        ("ranges within a factor of 1.25", "depth_delta_1.25"),
        ("rays, deg", "ray_deg"),
        ("scene's size, predicted over true (median)", "scale_ratio"),
        ("|log| of that (mean)", "scale_abs_log"),
        ("pairs of cars: AUC at 30 degrees", "auc_30"),
        ("predicted mask, mean", "pred_mask_mean"),
        ("true mask, mean", "gt_mask_mean"),
        ("masks: overlap", "mask_iou"),
    )
    rows: list[tuple[str, str]] = [
        (words, _number(numbers[key], 3)) for words, key in ours if numbers.get(key) is not None
    ]
    clouds = (("Chamfer distance, m", "chamfer_m"), ("F-score at .5 m", "f_score"),
              ("overlap from above", "bev_iou"))  # fmt: skip
    for words, key in clouds:
        pair = (_number(placed[name][key]["mean"], 3) for name in ("pred_pose", "gt_pose"))
        rows.append((f"clouds: {words}, predicted | true poses", " | ".join(pair)))
    return plain_table("Ranges, scale, masks and clouds", ("What", "Mean over samples"), rows)


def baseline_table(poses: Mapping[str, Any]) -> Html | None:
    """Return all constants that were fitted, and which is the rival."""
    found = poses["baselines"]
    if not found["variants"]:
        return None
    rows = [
        (one["name"].replace("_", " ") + (" (the rival)" if one["name"] == found["best"] else ""),
         _number(one["train_m"]), _number(one["held_out_m"]), _number(one["held_out_deg"]))
        for one in found["variants"]
    ]  # fmt: skip
    caption = f"Constant poses; the rival is chosen by {found['chosen_by']}"
    return plain_table(caption, ("Constant", "Training, m", "Held out, m", "Held out, deg"), rows)


def readings_table(found: Sequence[Mapping[str, str]]) -> Html:
    """Return what the numbers say, in the order in which to mend things."""
    rows = [(one["name"], _LEVELS[one["level"]], one["said"], one["next"] or "–") for one in found]
    return plain_table("What the numbers say", ("About", "", "Found", "Next"), rows)


def told_table(told: Mapping[str, Mapping[str, float | None]]) -> Html | None:
    """Return how the numbers change when the model is told more than images."""
    if len(told) < 2:
        return None
    rows = [
        (name.replace("_", " "), *(_number(one.get(key), 3) for key in _TOLD))
        for name, one in told.items()
    ]
    titles = ("Told", "Poses, m", "Poses, deg", "Ranges, off by")
    return plain_table("What telling the model more than images is worth", titles, rows)


_TOLD = ("pose_trans_m", "pose_rot_deg", "depth_rel")


def distance_figures(evaluation: Mapping[str, Any]) -> dict[str, Figure]:
    """Return errors of partners by their distance, one mark a partner, and each method's mean."""
    points = [
        (distance, error, record["sample"])
        for record in evaluation["per_sample"]
        for distance, error in zip(record["distances_m"], record["pose"]["trans_m"], strict=True)
    ]
    if not points:
        return {}
    x, y, names = zip(*points, strict=True)
    marks = {
        "type": "scatter", "mode": "markers", "name": "each partner, the model", "x": x, "y": y,
        "text": [plot_text(name) for name in names],
        "marker": {"color": "var(--muted)", "size": 5, "opacity": 0.55},
        "hovertemplate": "%{text}<br>%{x:.1f} m away, %{y:.2f} m off<extra></extra>",
    }  # fmt: skip
    buckets = evaluation["poses"]["by_distance"]
    lines = [
        _bucket_line(words, number, name, buckets, max(x))
        for number, (name, words) in enumerate(METHODS.items())
        if buckets and f"{name}_m" in buckets[0]
    ]
    layout = {
        "xaxis": {"title": {"text": "true distance, m"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "error of the place, m"}, "rangemode": "tozero"},
        "showlegend": True,
    }
    caption = "Each mark is one partner of one sample; steps are each method's means by distance."
    figure = {"data": [marks, *lines], "layout": layout, "height": 380}
    return {"by-distance": ("Error by distance", caption, figure)}


def _bucket_line(
    words: str, number: int, name: str, buckets: Sequence[Mapping[str, Any]], farthest: float
) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    for part in buckets:
        end = farthest if part["to_m"] is None else min(part["to_m"], max(farthest, part["from_m"]))
        x += [part["from_m"], end, None]
        y += [part[f"{name}_m"]["mean"]] * 2 + [None]
    return {
        "type": "scatter", "mode": "lines", "name": plot_text(words), "x": x, "y": y,
        "line": {"color": CAR_COLOURS[number], "width": 3 if name == "ours" else 2,
                 "dash": "solid" if name == "ours" else "dash"},
        "hovertemplate": "%{y:.2f} m<extra>%{fullData.name}</extra>",
    }  # fmt: skip


def _reach(part: Mapping[str, Any]) -> str:
    end = "" if part["to_m"] is None else f" to {part['to_m']:g} m"
    return f"{part['from_m']:g}{end or ' m and more'}"


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    if found["ci_low"] is None:
        return f"{found['value']:+.2f} [one scenario]"
    return f"{found['value']:+.2f} [{found['ci_low']:+.2f}, {found['ci_high']:+.2f}]"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
