"""The page of a run that trained: what is drawn is what was logged, judged and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coop_rows_support import SAMPLES, TINY, panoramas

from gimbal.data.reading import BlockReader
from gimbal.experiment.stage import StageOutput
from gimbal.pages.markup import join
from gimbal.training import checkpoints
from gimbal_multicar.learning.model import build_model
from gimbal_multicar.learning.settings import JudgeSettings
from gimbal_multicar.report.judgement import verdict
from gimbal_multicar.report.learnt import Learnt, open_learnt
from gimbal_multicar.report.page import figure_grid
from gimbal_multicar.report.training_figures import series_of, training_figures
from gimbal_multicar.stages.evaluating import EvaluateStage

LOGGED = [
    {"step": 2, "values": {"train/loss": 9.0, "train/loss/pose_trans_m": 8.0, "lr": 1e-3}},
    {"step": 2, "values": {"val/loss": 8.0, "val/pose_trans_m": 7.0, "val/blind_m": 7.5}},
    {"step": 4, "values": {"val/loss": 7.0, "val/pose_trans_m": 5.0, "val/blind_m": None}},
    {"step": 4, "values": {"train/loss": 6.0, "train/loss/mask": 0.4, "val/mask": 0.5}},
]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    train, judged = (tmp_path_factory.mktemp(name) for name in ("train", "evaluate"))
    torch.manual_seed(0)
    state = {"step": 1, "model": build_model(TINY, SAMPLES).state_dict()}
    checkpoints.save(train, state, card={}, metrics={})
    checkpoints.write_index(train, 1)
    lines = [json.dumps({**record, "time_s": 0.0}) for record in LOGGED]
    (train / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    folders = {"panoramas": panoramas(), "train": train}
    inputs = {
        name: StageOutput(name=name, path=Path(path), fingerprint="", metrics={})
        for name, path in folders.items()
    }
    settings = JudgeSettings(bootstrap=20, shown=1, cloud_points=200)
    stage = EvaluateStage(name="evaluate", settings=settings, samples=SAMPLES, model=TINY)
    stage.run(inputs, judged, lambda *_: None)
    return open_learnt(train, judged, BlockReader(panoramas()))


def by_name(figure: Any) -> dict[str, Any]:
    return {trace["name"]: trace for trace in figure[2]["data"]}


def test_metres_stand_beside_the_loss_with_what_sees_nothing_dashed() -> None:
    figures = training_figures(series_of(LOGGED), {"baseline_mean_pose_m": 6.5})
    metres = by_name(figures["learn-metres"])
    assert metres["the model, validation"]["y"] == [7.0, 5.0]
    assert metres["the model, validation"]["x"] == [2.0, 4.0]
    assert metres["the blind twin, validation"]["y"] == [7.5], "a missing number is no zero"
    constant = metres["a constant pose, judged split"]
    assert constant["y"] == [6.5, 6.5] and constant["x"] == [0.0, 4.0]
    for name in ("the blind twin, validation", "a constant pose, judged split"):
        assert metres[name]["line"]["dash"] == "dash"
    assert by_name(figures["learn-loss"])["validation"]["y"] == [8.0, 7.0]
    assert list(by_name(figures["learn-terms"])) == ["mask"], "metres are no parts of the loss"
    assert "learn-degrees" not in figures and training_figures({}, {}) == {}


def test_answers_are_drawn_in_the_world_where_the_model_says(learnt: Learnt) -> None:
    (sample,) = learnt.shown
    ((_, words, figure),) = learnt.poses.values()
    world = np.asarray(sample.rows[0]["world_from_car"])
    said = [t for t in figure["data"] if str(t.get("name", "")).endswith("as said")]
    arrows = [trace for trace in said if "marker" in trace]
    assert len(arrows) == len(sample.rows) - 1
    for car, arrow in enumerate(arrows, start=1):
        place = (world @ sample.main_from_car[car])[:3, 3]
        assert [arrow["x"][0], arrow["y"][0]] == pytest.approx([place[0], place[2]], abs=0.01)
        true = np.asarray(sample.rows[car]["world_from_car"])[:3, 3]
        off = np.linalg.norm(place - true)
        assert off == pytest.approx(sample.record["pose"]["trans_m"][car - 1], abs=1e-3)
        assert f"{off:.1f} m" in words


def test_the_page_tells_the_judgement(learnt: Learnt) -> None:
    text = join([html for _, _, html in learnt.sections(figure_grid)])
    numbers = learnt.evaluation["headline"]
    assert f"{numbers['pose_trans_m']:.2f}" in text and f"{numbers['blind_m']:.2f}" in text
    assert learnt.evaluation["contract"]["sha256"] in text
    assert text.count("predicted range") >= 2
    for key in learnt.figures:
        assert f'id="plot-{key}"' in text
    (_, _, marks) = learnt.distances["by-distance"]
    partners = sum(len(r["distances_m"]) for r in learnt.evaluation["per_sample"])
    assert len(marks["data"][0]["x"]) == partners


def test_the_verdict_asks_for_intervals_above_zero() -> None:
    numbers = {"samples": 9, "scenarios": 3, "pose_trans_m": 4.0, "pose_rot_deg": 3.0,
               "share_of_mean_pose": 0.5}  # fmt: skip
    for low, value, words in ((0.1, 1.0, "Beats"), (-0.1, 1.0, "Not beyond"), (-2, -1, "No bett")):
        rival = {"value": value, "ci_low": low, "ci_high": 3.0}
        told = numbers | {"over_mean_pose_m": rival, "over_blind_m": rival}
        assert words in verdict({"headline": told})
    alone = {"value": 1.0, "ci_low": None, "ci_high": None}
    assert "Not beyond" in verdict({"headline": numbers | {"over_blind_m": alone}})
