"""The numbers a run ends with, drawn from a whole evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RIVALS = {
    "mean_pose": "baseline_mean_pose",
    "blind": "blind",
    "shuffled": "shuffled",
}
"""Methods that see nothing of the scene, and how a run names their numbers."""


def headline(poses: Mapping[str, Any], scenes: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat numbers, always by the same names; null where there is no such number.

    No gate reads null as 0: it fails.

    Args:
        poses: See `pose_evaluation`.
        scenes: See `scene_evaluation`.
    """
    return {
        **_poses(poses),
        "auc_30": _at(poses, "pairs", "auc", "30"),
        "auc_30_folded": _at(poses, "pairs", "auc_folded", "30"),
        "depth_rel": _at(scenes, "range", "absrel", "mean"),
        "depth_rmse_m": _at(scenes, "range", "rmse_m", "mean"),
        "depth_delta_1.25": _at(scenes, "range", "delta_1.25", "mean"),
        "ray_deg": _at(scenes, "rays", "mean_deg", "mean"),
        "scale_ratio": _at(scenes, "scale", "ratio", "median"),
        "scale_abs_log": _at(scenes, "scale", "abs_log", "mean"),
        **_masks(scenes),
        **_clouds(scenes),
    }


def _poses(poses: Mapping[str, Any]) -> dict[str, Any]:
    ours, turned = poses["trans_m"]["ours"], poses["rot_deg"]["ours"]
    found = {
        "pose_trans_m": ours["mean"],
        "pose_trans_median_m": ours["median"],
        "pose_rot_deg": turned["mean"],
        "pose_rot_median_deg": turned["median"],
    }
    for method, name in RIVALS.items():
        found[f"{name}_m"] = _at(poses, "trans_m", method, "mean")
        found[f"{name}_deg"] = _at(poses, "rot_deg", method, "mean")
        found[f"over_{method}_m"] = poses.get(f"over_{method}_m")
        found[f"over_{method}_deg"] = poses.get(f"over_{method}_deg")
    baseline = found["baseline_mean_pose_m"]
    known = baseline and ours["mean"] is not None
    return {**found, "share_of_mean_pose": ours["mean"] / baseline if known else None}


def _masks(scenes: Mapping[str, Any]) -> dict[str, Any]:
    mask = scenes["mask"]
    predicted, true = mask["pred_mask_mean"]["mean"], mask["gt_mask_mean"]["mean"]
    return {
        "pred_mask_mean": predicted,
        "gt_mask_mean": true,
        "mask_gap": None if predicted is None or true is None else abs(predicted - true),
        "mask_iou": mask["iou"]["mean"],
        "mask_bce": mask["bce"]["mean"],
        "valid_mask_ratio": mask["valid_mask_ratio"]["mean"],
        "pred_valid_mask_ratio": mask["pred_valid_mask_ratio"]["mean"],
    }


def _clouds(scenes: Mapping[str, Any]) -> dict[str, Any]:
    names = {"chamfer_m": "chamfer_{}_m", "f_score": "f_score_{}", "bev_iou": "bev_iou_{}"}
    return {
        written.format(placement): numbers[name]["mean"]
        for placement, numbers in scenes["points"].items()
        for name, written in names.items()
    }


def _at(node: Mapping[str, Any], *path: str) -> Any:
    found: Any = node
    for part in path:
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found
