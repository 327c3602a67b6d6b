"""What the numbers of an evaluation mean, and what to look at next: sentences, not thresholds.

Thresholds are relative throughout: to the mask that is right, to the constant pose, to the blind
control (multicar.md F1, F2). Absolute bands hold for one rig and one loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["good", "note", "bad"]

MASK_BAND = 0.1
"""A predicted mask whose mean differs from the true one's by more than this is wrong."""
DEAD_MASK = 0.15
"""Below this share of the true mask's mean, the predicted mask is dead."""
MOST_OF_IT = 0.5
"""Where true poses remove at least this share of the clouds' distance, poses are the problem."""
OFF_SCALE = 0.1
"""A |log(s / g)| above this is a wrong scale: ten per cent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One sentence about a result.

    Attributes:
        name: What it is about, in one word.
        level: Whether it is as it should be.
        said: What was found.
        next: What to look at or change; empty where nothing is to be done.
    """

    name: str
    level: Level
    said: str
    next: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return plain values."""
        return asdict(self)


def readings(numbers: Mapping[str, Any]) -> list[Reading]:
    """Return what the headline numbers say, in the order in which to mend things.

    Args:
        numbers: See `headline`.
    """
    return [
        *_mask(numbers),
        *_rival(numbers, "mean_pose", "the constant pose", "train longer or on more scenarios"),
        *_rival(
            numbers,
            "blind",
            "the blind control",
            "what was learnt is where cars usually are; give it more scenarios, or larger images",
        ),
        *_rival(
            numbers,
            "shuffled",
            "its own answers about other scenes",
            "the answer hardly depends on the images: look at the masks and the learning rate",
        ),
        *_placement(numbers),
        *_scale(numbers),
    ]


def lines_of(found: Sequence[Reading]) -> list[str]:
    """Return the readings as a person reads them."""
    words = {"good": "ok  ", "note": "note", "bad": "LOOK"}
    return [
        f"{words[one.level]}  {one.name}: {one.said}" + (f"; {one.next}" if one.next else "")
        for one in found
    ]


def _mask(numbers: Mapping[str, Any]) -> list[Reading]:
    predicted, true = numbers.get("pred_mask_mean"), numbers.get("gt_mask_mean")
    if predicted is None or not true:
        return []
    said = f"mean {predicted:.3f}, true {true:.3f}"
    if predicted < DEAD_MASK * true:
        return [
            Reading(
                name="mask",
                level="bad",
                said=said,
                next="the mask is dead: raise loss.mask_pos_weight or loss.weights.mask",
            )
        ]
    if abs(predicted - true) > MASK_BAND:
        return [Reading(name="mask", level="note", said=said, next="the mask is not learnt yet")]
    return [Reading(name="mask", level="good", said=said)]


def _rival(numbers: Mapping[str, Any], rival: str, words: str, remedy: str) -> list[Reading]:
    over = numbers.get(f"over_{rival}_m")
    if over is None:
        return []
    value, low, high = over["value"], over["ci_low"], over["ci_high"]
    interval = "no interval: one scenario" if low is None else f"95 % [{low:+.2f}, {high:+.2f}]"
    said = f"{abs(value):.2f} m {'better' if value > 0 else 'worse'} than {words} ({interval})"
    if low is not None and low > 0:
        return [Reading(name="poses", level="good", said=said)]
    level: Level = "note" if value > 0 else "bad"
    return [Reading(name="poses", level=level, said=said, next=remedy)]


def _placement(numbers: Mapping[str, Any]) -> list[Reading]:
    mine, true = numbers.get("chamfer_pred_pose_m"), numbers.get("chamfer_gt_pose_m")
    if mine is None or true is None or not mine > 0:
        return []
    said = f"Chamfer distance {mine:.2f} m with predicted poses, {true:.2f} m with true ones"
    if true <= (1.0 - MOST_OF_IT) * mine:
        advice = "poses are the problem: loss.preset=pose_first, before anything about depth"
    else:
        advice = "geometry is the problem: look at depth_rel and the masks before the poses"
    return [Reading(name="clouds", level="note", said=said, next=advice)]


def _scale(numbers: Mapping[str, Any]) -> list[Reading]:
    log = numbers.get("scale_abs_log")
    if log is None:
        return []
    said = f"scenes are {numbers['scale_ratio']:.2f} times their size, |log| {log:.2f} on average"
    level: Level = "good" if log <= OFF_SCALE else "note"
    return [Reading(name="scale", level=level, said=said)]
