"""Stage `survey` and the page: right numbers from rows, and a gate that can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panorama_rows_support import stage_of, write_rows, write_set

from gimbal.data.reading import BlockReader
from gimbal.experiment.stage import StageOutput
from gimbal_multicar.config import LoaderSettings
from gimbal_multicar.report.page import render
from gimbal_multicar.stages.surveying import COVERAGE_GATE, SURVEY_FILE, SurveyStage, metrics_of
from gimbal_multicar.survey.numbers import car_distances
from gimbal_multicar.survey.rays import ray_numbers

Rows = tuple[dict[str, StageOutput], Path]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    folder = tmp_path_factory.mktemp("survey")
    _, inputs = write_rows(stage_of(write_set(folder / "opv2v")), folder / "rows")
    return inputs, folder


def surveyed(rows: Rows) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs, folder = rows
    out = folder / "survey"
    out.mkdir(exist_ok=True)
    stage = SurveyStage(name="survey", settings=LoaderSettings(max_distance_m=5.0))
    metrics = stage.run(inputs, out, lambda *_: None)
    return metrics, json.loads((out / SURVEY_FILE).read_text())


def test_numbers_of_a_split_are_those_of_its_rows(rows: Rows) -> None:
    metrics, survey = surveyed(rows)
    reader = BlockReader(rows[0]["panoramas"].path)
    train = survey["splits"]["train"]
    assert (train["rows"], train["cars"], train["scenarios"]) == (5, 2, 1)
    assert train["cars_per_moment"] == {"1": 1, "2": 2}
    assert train["distance_m"]["pairs"] == 2
    assert train["distance_m"]["p50"] == pytest.approx(10.0, abs=1e-6)
    assert train["partners"] == 0.0
    valid = np.stack([reader[i]["valid"] for i in range(5)])
    ranges = np.stack([reader[i]["range_m"] for i in range(5)])
    assert train["valid"] == pytest.approx(valid.mean())
    assert train["range_m"]["mean"] == pytest.approx(ranges[valid].mean(), rel=1e-6)
    assert train["range_m"]["p50"] == pytest.approx(np.median(ranges[valid]), rel=0.15)
    assert sum(train["histograms"]["range_m"]) == valid.sum()
    assert metrics["coverage"] == pytest.approx(metrics["expected_coverage"], abs=0.01)
    assert "histograms" not in metrics["splits"]["train"]


def test_the_gate_fails_where_coverage_is_not_what_calibration_says(rows: Rows) -> None:
    _, survey = surveyed(rows)
    assert COVERAGE_GATE.check(metrics_of(survey)).passed
    survey["splits"]["train"]["coverage_error"] = 0.02
    assert not COVERAGE_GATE.check(metrics_of(survey)).passed
    assert ".331" in COVERAGE_GATE.hint


def test_distances_are_between_cars_of_one_moment_only() -> None:
    light = {"scenario": ["a", "a", "a", "b"], "frame": ["1", "1", "2", "1"]}
    places = np.array([[0.0, 0, 0], [3.0, 0, 4], [100.0, 0, 0], [7.0, 0, 0]])
    assert car_distances(light, places).tolist() == [5.0]


def test_rays_tell_a_panorama_from_its_pinholes(rows: Rows) -> None:
    found = ray_numbers(BlockReader(rows[0]["panoramas"].path)[0])
    assert found["panorama"]["concentration"] < 0.1
    assert found["panorama"]["elevation_max_deg"] < 30.0
    front, right = found["cameras"]["camera0"], found["cameras"]["camera1"]
    assert front["azimuth_deg"] == pytest.approx(0.0, abs=0.01)
    assert right["azimuth_deg"] == pytest.approx(100.0, abs=0.01)
    assert front["concentration"] > 0.7


def test_the_page_holds_everything_and_asks_for_nothing(rows: Rows) -> None:
    _, survey = surveyed(rows)
    run = {"run_id": "<script>alert(1)</script>", "config_yaml": "a: <b>"}
    page = render(BlockReader(rows[0]["panoramas"].path), survey, run)
    assert "<script>alert" not in page
    assert page.count("data:image/") >= 9
    assert 'id="plot-moment-1"' in page and 'id="plot-range"' in page
