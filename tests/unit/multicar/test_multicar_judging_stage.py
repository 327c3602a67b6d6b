"""Stage `evaluate` on made streets: what it writes, and that its numbers are validation's."""

from __future__ import annotations

import functools
import io
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coop_rows_support import SAMPLES, TINY, panoramas, task

from gimbal.experiment.samples import read_samples
from gimbal.experiment.stage import StageOutput
from gimbal.training import checkpoints
from gimbal_multicar.judging.summary import gates_of
from gimbal_multicar.learning.car_poses import nearest_rotation
from gimbal_multicar.learning.judged import input_use
from gimbal_multicar.learning.model import build_model
from gimbal_multicar.learning.settings import JudgeSettings
from gimbal_multicar.stages.evaluating import EvaluateStage, shown_samples


@functools.cache
def trained() -> Path:
    """Return a finished stage `train`: random weights are as good as any here."""
    folder = Path(tempfile.mkdtemp(prefix="judged-"))
    torch.manual_seed(0)
    state = {"step": 1, "model": build_model(TINY, SAMPLES).state_dict()}
    checkpoints.save(folder, state, card={}, metrics={})
    checkpoints.write_index(folder, 1)
    return folder


def inputs() -> dict[str, StageOutput]:
    folders = {"panoramas": panoramas(), "train": trained()}
    return {
        name: StageOutput(name=name, path=path, fingerprint="", metrics={})
        for name, path in folders.items()
    }


def stage(split: str = "test", **changes: Any) -> EvaluateStage:
    settings = JudgeSettings(split=split, bootstrap=50, shown=1, **changes)  # type: ignore[arg-type]
    return EvaluateStage(name="evaluate", settings=settings, samples=SAMPLES, model=TINY)


@functools.cache
def judged(split: str = "test") -> tuple[Mapping[str, Any], Path]:
    folder = Path(tempfile.mkdtemp(prefix="judged-"))
    told = ("pose",) if split == "test" else ()
    return stage(split, told=told).run(inputs(), folder, lambda *_: None), folder


def test_the_numbers_are_those_of_validation() -> None:
    """Judged on the validation split, poses and blind control are what training reported."""
    metrics, _ = judged("validate")
    torch.manual_seed(0)
    twins = build_model(TINY, SAMPLES).eval()
    made = task()
    pairs = made.validate(twins, made.source("val"))
    for mine, theirs in {
        "pose_trans_m": "pose_trans_m",
        "pose_rot_deg": "pose_rot_deg",
        "blind_m": "blind_m",
        "pred_mask_mean": "pred_mask_mean",
        "gt_mask_mean": "gt_mask_mean",
    }.items():
        total, count = pairs[theirs]
        assert metrics[mine] == pytest.approx(total / count, rel=1e-4), mine


def test_a_run_gets_its_promised_numbers_and_files() -> None:
    metrics, folder = judged()
    for name in (
        "pose_trans_m", "pose_rot_deg", "baseline_mean_pose_m", "blind_m", "depth_rel",
        "coverage", "chamfer_gt_pose_m", "auc_30", "scale_ratio", "mask_gap",
    ):  # fmt: skip
        assert math.isfinite(metrics[name]), name
    assert metrics["coverage"] > 0.9 and metrics["finite_share"] == 1.0
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["protocol"]["contract_sha256"] == evaluation["contract"]["sha256"]
    assert set(evaluation["told"]) == {"images", "pose"}
    assert evaluation["told"]["pose"] != evaluation["told"]["images"]
    samples = read_samples(folder)
    assert samples is not None and next(iter(samples.metrics)) == "pose_trans_m"
    assert json.loads((folder / "summary.json").read_text())["rows"][0][0].startswith("the model")
    boxes = [record["boxes"]["boxes"] for record in evaluation["per_sample"]]
    assert sum(boxes) > 0


def test_a_picture_that_says_nothing_does_not_stop_the_reading_of_the_others() -> None:
    broken = torch.stack([torch.full((3, 3), torch.nan), 0.4 * torch.eye(3)])
    found = nearest_rotation(broken)
    assert found[0].isnan().all()
    torch.testing.assert_close(found[1], torch.eye(3))


def test_kept_answers_are_the_judged_ones() -> None:
    _, folder = judged()
    evaluation = json.loads((folder / "evaluation.json").read_text())
    (shown,) = evaluation["shown"]
    arrays = np.load(io.BytesIO((folder / shown["file"]).read_bytes()))
    record = evaluation["per_sample"][shown["index"]]
    offset = arrays["main_from_car"][1:, :3, 3] - arrays["true_main_from_car"][1:, :3, 3]
    np.testing.assert_allclose(np.linalg.norm(offset, axis=1), record["pose"]["trans_m"])


def test_how_many_samples_go_through_at_once_changes_nothing() -> None:
    one = EvaluateStage(
        name="evaluate",
        settings=JudgeSettings(bootstrap=50, shown=0),
        samples=SAMPLES,
        model=TINY,
        max_views_per_worker=SAMPLES.max_cars,
    )
    metrics = one.run(inputs(), Path(tempfile.mkdtemp(prefix="judged-")), lambda *_: None)
    for name in ("pose_trans_m", "depth_rel", "blind_m"):
        assert metrics[name] == pytest.approx(judged()[0][name], rel=1e-4), name


def test_only_numbers_that_are_not_finite_fail_a_run_unless_more_is_asked() -> None:
    metrics, _ = judged()
    (finite,) = gates_of(require_better=False)
    assert finite.check(metrics).passed
    assert not finite.check({**metrics, "finite_share": 0.99}).passed
    strict = {gate.name: gate for gate in gates_of(require_better=True)}
    assert not strict["over_blind"].check(metrics).passed, "one scenario proves nothing"
    sure = {"ci_low": 0.1}
    good = {**metrics, "over_mean_pose_m": sure, "over_blind_m": sure, "mask_gap": 0.02}
    assert all(gate.check(good).passed for gate in strict.values())


def test_shown_samples_go_from_the_best_to_the_worst() -> None:
    records = [{"pose": {"trans_m": [error]}} for error in (3.0, 1.0, 9.0, 5.0, 7.0)]
    assert shown_samples(records, 3) == [1, 3, 2]
    assert shown_samples(records, 0) == []
    assert shown_samples(records[:1], 4) == [0]


def test_telling_one_thing_tells_nothing_else_and_no_padding() -> None:
    present = torch.tensor([[True, True, False]])
    use = input_use("depth", present)
    assert use.depth.tolist() == present.tolist()
    assert not use.rays.any() and not use.pose.any() and not use.sparse_depth.any()
    assert all(getattr(input_use("all", present), key).sum() == 2 for key in ("rays", "pose"))
