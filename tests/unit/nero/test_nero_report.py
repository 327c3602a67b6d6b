"""The page of a run: all that was seen is on it, names are escaped, and nothing is asked for."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from nero_ball import ball_capture
from test_nero_watch_pictures import SMALL, at_step

from gimbal.experiment.stage import StageOutput
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.judging.settings import JudgeSettings
from gimbal_nero.report.page import flat, render
from gimbal_nero.report.told import read_told
from gimbal_nero.stages.judging import judge_gates
from gimbal_nero.stages.reporting import checked_numbers, report_stage
from gimbal_nero.stages.watching import watch_gates
from gimbal_nero.watching.watch import Watched, watch

RUN = {
    "run_id": "r-1",
    "experiment": "ball",
    "created": "now",
    "stages": [{"name": "shape", "status": "done", "seconds": 12.25}],
    "gates": [{"stage": "watch", "name": "has_a_shape", "passed": True, "message": "fine"}],
    "config_yaml": "workload: nero",
}
EVIL = "<b>v5</b>"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    out = tmp_path_factory.mktemp("stages")
    for name in ("prepare", "shape", "watch", "evaluate"):
        (out / name).mkdir()
    capture = ball_capture()
    views = (*capture.views[:5], replace(capture.views[5], name=EVIL))
    shape = Watched(
        capture=replace(capture, views=views), open_step=at_step, steps=[10, 20], best=20, seed=0
    )
    some = SMALL.model_copy(update={"doubted_views": 2})
    seen = watch(shape, some, out / "watch", lambda *_: None)
    log = '{"step": 10, "time_s": 1, "values": {"train/loss": 0.5, "val/psnr": 20.0}}\n'
    (out / "shape" / "metrics.jsonl").write_text(log)
    (out / "evaluate" / "a.png").write_bytes((out / "watch" / "slices.png").read_bytes())
    metrics = {
        "prepare": {"views": 6},
        "shape": {},
        "watch": seen,
        "evaluate": {"chamfer": 0.0123, "psnr": 21.5, "ssim": 0.9},
    }
    return {
        name: StageOutput(name=name, path=out / name, fingerprint="", metrics=found)
        for name, found in metrics.items()
    }


def test_the_page_shows_what_was_seen_and_asks_nothing_of_the_network(inputs):
    page = render(read_told(inputs, RUN))
    assert "0.0123" in page and "12.2" in page and "has_a_shape" in page
    for key in ("plot-ray-0-centre", "plot-time-psnr", "plot-learn-loss", "plot-view-pose_gain_db"):
        assert f'id="{key}"' in page
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert body.count("data:image/png;base64,") == 1 + 1 + 2 + 1
    assert not re.search(r'(src|href)="(https?:)?//', body)
    assert EVIL not in page


def test_a_failed_check_stands_on_top(inputs):
    bad = {"stage": "watch", "name": "poses_agree", "passed": False, "message": "9 dB"}
    page = render(read_told(inputs, RUN | {"gates": [*RUN["gates"], bad]}))
    assert "A check failed" in page
    assert "poses_agree: 9 dB" in page
    assert "checks passed" not in page


def test_checks_are_asked_of_numbers_as_their_stages_reported_them(inputs):
    """The page comes first, then the run ends: whoever fails a check wants to look."""
    gates = {
        "watch": watch_gates(SMALL, ModelSettings(mode="radiance")),
        "evaluate": judge_gates(JudgeSettings(max_chamfer=0.01, max_normal_deg=5.0), None),
    }
    asked = report_stage(tuple(inputs), gates).gates
    found = checked_numbers(asked, inputs)
    results = {gate.name: gate.check(found) for gate in asked}
    assert results["poses_agree"].passed
    assert not results["shape_close"].passed and "0.0123" in results["shape_close"].message
    assert results["normals_close"].message == "evaluate.normal_deg was not reported"


def test_truth_is_not_asked_for_where_there_is_none(tmp_path):
    settings = JudgeSettings(max_chamfer=0.01, max_normal_deg=5.0)

    def asked():
        return [gate.name for gate in judge_gates(settings, tmp_path)]

    assert asked() == []
    for name in ("7-depth.png", "7-camera.pkl", "8-camera.pkl"):
        (tmp_path / name).touch()
    assert asked() == [], "view 8 has no depth image"
    (tmp_path / "8-depth.png").touch()
    assert asked() == ["shape_close"], "depth images have no normals"
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "mesh.ply").touch()
    assert asked() == ["shape_close", "normals_close"]


def test_a_run_that_was_not_watched_or_judged_has_a_page(inputs):
    page = render(read_told({"prepare": inputs["prepare"]}, RUN))
    assert "The shape was not judged." in page
    assert 'id="looks"' not in page


def test_nested_numbers_get_dotted_names():
    assert flat({"a": {"b": 1, "c": {"d": 2.0}}, "e": None}) == [("a.b", 1), ("a.c.d", 2.0)]
