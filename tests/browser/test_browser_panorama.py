"""A preview in a real browser: silent, offline, three panels that zoom together."""

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.previewing.facts import facts_of, points_of
from gimbal_multicar.previewing.looking import Looked
from gimbal_multicar.previewing.page import render
from gimbal_vision.cameras import Equirectangular
from gimbal_vision.panoramas.model import PanoramaImage

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "<script>alert(1)</script>"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="Chromium is not installed"),
]
playwright = pytest.importorskip("playwright.sync_api")


def looked() -> Looked:
    camera = Equirectangular.from_vfov(12, 72, 60.0)
    covered = np.ones((12, 72), bool)
    surface = covered & (np.arange(12) > 3)[:, None]
    image = PanoramaImage(
        camera=camera,
        rgb=np.random.default_rng(0).integers(0, 256, (12, 72, 3), np.uint8),
        range_m=np.where(surface, np.float32(7.25), np.float32(0)),
        coverage=covered,
        non_ambiguous=surface,
        valid=surface,
        camera_index=np.zeros((12, 72), np.uint8),
        moved_share=0.0,
    )
    return Looked(
        id=CarFrameId("train", HOSTILE, "207", "000068"),
        index=0,
        count=1,
        image=image,
        rig=nominal_opv2v_rig(),
        facts={"source": "synthetic", "depth_source": "render", "depth_density": 1.0},
        min_cos=0.05,
        record={"run_id": HOSTILE, "config_yaml": HOSTILE},
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, list[str]]]:
    shown = looked()
    path = tmp_path_factory.mktemp("page") / "preview.html"
    path.write_text(render(shown, facts_of(shown, points_of(shown))))
    problems: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
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
        page.wait_for_selector("#plot-panels .main-svg")
        yield page, problems
        browser.close()


RANGES = """() => { const shown = document.getElementById('plot-panels')._fullLayout;
    return ['xaxis', 'xaxis2', 'xaxis3'].map((name) => shown[name].range); }"""


def middle_panel(page: Any) -> dict[str, float]:
    box: dict[str, float] = page.locator("#plot-panels [data-subplot=x2y2]").first.bounding_box()
    return box


def test_three_panels_zoom_together_in_silence(opened: tuple[Any, list[str]]) -> None:
    page, problems = opened
    assert page.evaluate(RANGES) == [[-0.5, 71.5]] * 3
    box = middle_panel(page)
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_function(f"() => ({RANGES})().every((r) => r[1] - r[0] < 60)")
    first, second, third = page.evaluate(RANGES)
    assert first == second == third
    assert first[0] < 18 and first[1] > 35, "what was dragged over is shown, undistorted"
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_function(f"() => ({RANGES})().every((r) => r[1] - r[0] === 72)")
    assert page.locator("#plot-panels .im image").count() == 1
    assert problems == []


def test_hovering_over_the_range_tells_it(opened: tuple[Any, list[str]]) -> None:
    page, problems = opened
    box = middle_panel(page)
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.6 * box["height"])
    page.wait_for_selector("#plot-panels .hovertext")
    assert "7.25 m" in page.locator("#plot-panels .hovertext").first.text_content()
    assert problems == []
