"""A moment's cloud in a real browser: silent, offline, seen from where the buttons say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gimbal_multicar.clouds.gathering import cars_of
from gimbal_multicar.clouds.measuring import summary_of
from gimbal_multicar.clouds.moment import Car, Gathered, Prediction
from gimbal_multicar.clouds.page import render
from gimbal_multicar.clouds.predicted import boxes_of, with_prediction
from gimbal_multicar.cooperation import CoopRule, coop_moments
from gimbal_multicar.judging.contract import FrameId
from gimbal_multicar.judging.samples import JudgedSample, SamplePrediction, SampleTruth

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "<script>alert(1)</script>"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="Chromium is not installed"),
]
playwright = pytest.importorskip("playwright.sync_api")


def row(agent: str, ahead_m: float) -> dict[str, Any]:
    some = np.ones((12, 72), bool)
    pose = np.eye(4)
    pose[2, 3] = ahead_m
    return {
        "split": "train",
        "scenario": HOSTILE,
        "frame": "000068",
        "agent_id": agent,
        "label": f"s/{agent}",
        "source": "synthetic",
        "depth_source": "render",
        "rgb": np.full((12, 72, 3), 90, np.uint8),
        "range_m": np.full((12, 72), 8, np.float32),
        "coverage": some,
        "non_ambiguous": some,
        "valid": some,
        "camera_index": np.zeros((12, 72), np.uint8),
        "camera_model": "equirectangular",
        "virtual_camera": np.array([72 / (2 * np.pi), 12 / np.radians(60), 36, 6, 60.0]),
        "world_from_car": pose,
        "depth_density": 1.0,
        "moved_share": 0.0,
        "box_ids": "9",
        "boxes_car": np.array([CORNERS], np.float32),
    }


CORNERS = [[x, y, z] for x in (-1, 1) for y in (0, 2) for z in (3, 7)]


def moment_of_two() -> Gathered:
    rows = [row("207", 0.0), row(HOSTILE, 20.0)]
    (moment,) = coop_moments({key: [r[key] for r in rows] for key in rows[0]}, CoopRule())
    return Gathered(
        moment=moment,
        index=0,
        cars=cars_of(rows),
        pose_source="gt",
        rule=CoopRule(),
        unreadable=(),
        record={"run_id": HOSTILE, "config_yaml": HOSTILE},
    )


def truth_of(cars: Sequence[Car]) -> SampleTruth:
    views = [car.view for car in cars]
    poses = np.stack([car.true_main_from_car for car in cars])
    return SampleTruth(
        main_from_car=poses,
        main_from_view=poses,
        points_view=np.stack([view["pts3d_cam"] for view in views]),
        range_m=np.stack([car.true_range_m for car in cars]),
        valid=np.stack([view["valid_mask"] for view in views]),
        non_ambiguous=np.stack([view["non_ambiguous_mask"] for view in views]),
        rays=views[0]["ray_directions_cam"],
        solid_angle=cars[0].camera.solid_angle().astype(np.float32),
        boxes_car=tuple(boxes_of(car) for car in cars),
    )


def answered() -> Gathered:
    """Return the moment with a model's answer: the partner is said to be 3 m to the right."""
    gathered = moment_of_two()
    truth = truth_of(gathered.cars)
    poses = truth.main_from_car.copy()
    poses[1, 0, 3] += 3.0
    prediction = SamplePrediction(
        main_from_car=poses,
        main_from_view=poses,
        points_view=truth.points_view,
        range_m=truth.range_m,
        rays=np.stack([truth.rays] * 2),
        mask_logits=np.ones((2, 12, 72)),
        scale=1.0,
    )
    judged = JudgedSample(
        frame=FrameId.of(gathered.moment),
        truth=truth,
        prediction=prediction,
    )
    answer = Prediction(
        sample=judged,
        checkpoint={"path": HOSTILE, "step": 7, "sha256": "ab"},
        mean_pose=None,
        expected_coverage=1.0,
    )
    return with_prediction(gathered, answer, pose="pred", geometry="pred")


@pytest.fixture(scope="module", params=[moment_of_two, answered], ids=["truth", "answer"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, list[str]]]:
    gathered = request.param()
    path: Path = tmp_path_factory.mktemp("page") / "cloud.html"
    path.write_text(render(gathered, summary_of(gathered), max_points=300))
    problems: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        page = browser.new_page(viewport={"width": 900, "height": 700})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
        page.on(
            "console", lambda said: problems.append(said.text) if said.type == "error" else None
        )
        outside = (path.as_uri(), "data:", "blob:")
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(outside) else problems.append(asked.url),
        )
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        yield page, problems
        browser.close()


CAMERA = "() => document.getElementById('plot-cloud-3d').layout.scene.camera.eye"
STANDS = """() => document.getElementById('plot-cloud-3d').data
  .filter((trace) => ["circle", "diamond"].includes(trace.marker?.symbol))
  .map((trace) => [trace.marker.symbol, trace.x])"""
COLOUR = "() => document.getElementById('plot-cloud-3d').data[0].marker.color"


def test_the_cloud_is_seen_from_elsewhere_and_in_other_colours(
    opened: tuple[Any, list[str]],
) -> None:
    page, problems = opened
    if page.locator("#cloud-no-webgl").is_visible():
        assert page.locator("#cloud-no-webgl img").count() == 2, "still pictures take its place"
        return
    page.wait_for_selector("#plot-cloud-3d canvas")
    page.click(".cloud-views button[data-view=above]")
    above = page.evaluate(CAMERA)
    assert abs(above["x"]) < 0.01 and above["z"] > 3
    assert page.evaluate(COLOUR)[0] == "rgb(90,90,90)"
    page.select_option("#cloud-colour", "car")
    page.wait_for_function(f"() => typeof ({COLOUR})() === 'string'")
    assert page.evaluate(CAMERA) == above, "colours do not move the viewer"
    page.click(".cloud-views button[data-view=car1]")
    assert page.evaluate(CAMERA) != above
    stands = page.evaluate(STANDS)
    if stands:
        assert page.locator("#answer").is_visible()
        assert stands == [["circle", [0, 0]], ["diamond", [0, 3]]]
    assert page.locator(".cloud-views button[aria-pressed=true]").text_content() == (
        f"From car {HOSTILE}"
    )
    assert problems == []
