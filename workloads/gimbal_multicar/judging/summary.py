"""The table that the command line prints after a run, and the gates of a judgement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gimbal.experiment.stage import Gate
from gimbal_multicar.judging.intervals import FEWEST
from gimbal_multicar.judging.readings import MASK_BAND

_METHODS = {
    "ours": "the model, images only",
    "mean_pose": "best constant pose of the training split",
    "blind": "blind control",
    "shuffled": "the model, shown another scene",
}


def summary_table(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return title, columns and rows: every method's poses, the model's first."""
    poses, numbers = result["poses"], result["headline"]
    rows = [
        [
            words,
            _number(poses["trans_m"][name]["mean"], "m"),
            _number(poses["trans_m"][name]["median"], "m"),
            _number(poses["rot_deg"][name]["mean"], "deg"),
            "" if name == "ours" else _difference(poses[f"over_{name}_m"]),
        ]
        for name, words in _METHODS.items()
        if name in poses["trans_m"]
    ]
    return {
        "title": f"{numbers['samples']} held-out samples of {numbers['scenarios']} scenarios",
        "columns": [
            "poses of partners by",
            "translation",
            "median",
            "rotation",
            "the model is better by [95 % CI]",
        ],
        "rows": rows,
        "caption": "; ".join([_caption(numbers), *missing_words(numbers)]),
    }


def missing_words(numbers: Mapping[str, Any]) -> list[str]:
    """Return which numbers are of fewer samples than there are, or of none, and why.

    Args:
        numbers: See `headline`.
    """
    from gimbal_multicar.judging.points import REACH_M

    samples = numbers["samples"]
    said = {
        "missing_poses": "have no finite poses and are left out of the means of poses",
        "missing_ranges": "have no finite ranges and are left out of the means of ranges",
        "missing_clouds": f"show no points, which counts as {REACH_M:g} m each way",
    }
    words = [
        f"ANSWERS ARE MISSING: {numbers[name]} of {samples} samples {why}"
        for name, why in said.items()
        if numbers.get(name)
    ]
    if numbers.get("partners") == 0:
        return [*words, "no sample has a partner, so there are no numbers of poses"]
    if numbers.get("baseline_mean_pose_m") is None:
        words.append("the training split has no partner, so there is no constant pose")
    return words


def gates_of(*, require_better: bool) -> tuple[Gate, ...]:
    """Return the checks of a judgement.

    Numbers that are not finite always end a run. Whether it has learnt is asked where a config
    says so, and then against its rivals and the true mask, never against a fixed number.
    """
    finite = Gate(
        name="finite",
        metric="finite_share",
        op=">=",
        threshold=1.0,
        hint="some predictions are not finite: lower train.lr, and look for a jump of the loss",
    )
    if not require_better:
        return (finite,)
    return (
        finite,
        Gate(
            name="mask",
            metric="mask_gap",
            op="<=",
            threshold=MASK_BAND,
            hint="the predicted mask covers another share than the true one: raise "
            "loss.mask_pos_weight or loss.weights.mask, or train longer; mend this before poses",
        ),
        Gate(
            name="over_mean_pose",
            metric="over_mean_pose_m.ci_low",
            op=">",
            threshold=0.0,
            hint="poses are not beyond doubt better than a constant: compare chamfer_pred_pose_m "
            "with chamfer_gt_pose_m (is it the poses?), then train longer or on more scenarios",
        ),
        Gate(
            name="over_blind",
            metric="over_blind_m.ci_low",
            op=">",
            threshold=0.0,
            hint="the blind control is as good: what was learnt is where cars usually are; give "
            "it more scenarios, larger panoramas, or loss.preset=pose_first",
        ),
    )


def _caption(numbers: Mapping[str, Any]) -> str:
    parts = [
        f"AUC@30 {_plain(numbers.get('auc_30'))}",
        f"ranges off by {_share(numbers.get('depth_rel'))}",
        f"scale {_plain(numbers.get('scale_ratio'))}",
        f"mask {_plain(numbers.get('pred_mask_mean'))} of {_plain(numbers.get('gt_mask_mean'))}",
        f"Chamfer {_number(numbers.get('chamfer_pred_pose_m'), 'm')} with predicted and "
        f"{_number(numbers.get('chamfer_gt_pose_m'), 'm')} with true poses",
    ]
    few = (
        f"; intervals over {numbers['scenarios']} scenarios are too narrow: judge on {FEWEST} or "
        "more"
    )
    return ", ".join(parts) + (few if numbers["scenarios"] < FEWEST else "")


def _difference(interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return "-"
    if interval["ci_low"] is None:
        return f"{interval['value']:+.2f} m [one scenario: no interval]"
    return f"{interval['value']:+.2f} m [{interval['ci_low']:+.2f}, {interval['ci_high']:+.2f}]"


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.2f} {unit}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
