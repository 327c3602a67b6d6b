"""The report in a real browser: silent, offline, and every control does something."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gimbal_nbv.report import write_report
from gimbal_nbv.report.sample import sample_evaluation, sample_run, sample_training

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SOFTWARE_GL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="Chromium is not installed"),
]
playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = sample_evaluation(objects=14, folder_meshes=4)
    data["per_object"][0]["object_id"] = "<script>alert(1)</script>"
    data["rollouts"][0]["object_id"] = "</script><img src=x onerror=alert(1)>"
    return write_report(data, sample_run(), sample_training(), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(driver: Any) -> Iterator[Any]:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS + SOFTWARE_GL)
    yield browser
    browser.close()


class Seen:
    """Everything a page complained about or asked for."""

    def __init__(self, page: Any) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        page.on("console", self._console)
        page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)


@pytest.fixture(scope="module")
def opened(chromium: Any, report: Path) -> Iterator[tuple[Any, Seen]]:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    seen = Seen(page)
    page.goto(report.as_uri())
    page.wait_for_selector("#sphere-map .main-svg")
    yield page, seen
    assert seen.problems == []


def test_opens_silently_and_asks_for_nothing(opened: tuple[Any, Seen], report: Path) -> None:
    page, seen = opened
    assert page.locator(".plot.js-plotly-plot").count() == page.locator(".plot").count()
    assert seen.problems == []
    outside = [
        url for url in seen.requests if not url.startswith((report.as_uri(), "data:", "blob:"))
    ]
    assert outside == []


def test_slider_and_selectors_change_the_sphere(opened: tuple[Any, Seen]) -> None:
    page, _ = opened
    drawn = "() => JSON.stringify(document.getElementById('sphere-map').data.map(t => [t.x, t.z]))"
    space = "() => document.getElementById('sphere-3d').data[1].marker.color.join()"
    states = [page.evaluate(drawn)]
    colours = [page.evaluate(space)]
    page.locator("#sphere-step").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#sphere-step-label").inner_text() == "choosing view 3 of 6"
    states.append(page.evaluate(drawn))
    colours.append(page.evaluate(space))
    for control, option in (("layer", "score"), ("path", "farthest"), ("object", "1")):
        page.select_option(f"#sphere-{control}", option)
        states.append(page.evaluate(drawn))
    assert len(set(states)) == len(states)
    assert len(set(colours)) == 2
    assert "Farthest takes candidate" in page.locator("#sphere-readout").inner_text()


def test_columns_sort_and_oracles_stay_apart(opened: tuple[Any, Seen]) -> None:
    page, _ = opened
    table = page.locator("table.results")
    names = table.locator("tbody").first.locator("tr th")
    table.get_by_role("button", name="Gap closed").click()
    assert names.first.inner_text() == "Learned policy"
    table.get_by_role("button", name="Gap closed").click()
    assert names.first.inner_text() == "Cov-NBV"
    assert table.locator("th[aria-sort=ascending]").count() == 1
    assert "Oracles" in table.locator("tbody").last.locator("tr").first.inner_text()


def test_policy_key_hides_a_line_in_every_curve(opened: tuple[Any, Seen]) -> None:
    page, _ = opened
    shown = """() => ['coverage', 'lead', 'chamfer'].map(id =>
        document.getElementById('plot-' + id).data.find(t => t.meta.policy === 'random').visible)"""
    assert page.evaluate(shown) == [True, True, True]
    chip = page.get_by_role("button", name="Random")
    chip.click()
    assert chip.get_attribute("aria-pressed") == "false"
    assert page.evaluate(shown) == [False, False, False]
    chip.click()


def test_theme_recolours_the_plots(opened: tuple[Any, Seen]) -> None:
    page, _ = opened
    colour = "() => document.getElementById('plot-coverage').layout.template.layout.font.color"
    light = page.evaluate(colour)
    page.locator("#theme").click()
    assert page.evaluate(colour) != light
    page.locator("#theme").click()
    assert page.evaluate(colour) == light


def test_phone_without_webgl_keeps_the_map(driver: Any, report: Path) -> None:
    """The smallest reader: the view in space gives way, and nothing scrolls sideways."""
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--disable-3d-apis"])
    page = browser.new_page(viewport={"width": 390, "height": 800})
    seen = Seen(page)
    page.goto(report.as_uri())
    page.wait_for_selector("#sphere-map .main-svg")
    assert page.locator("#sphere-no-webgl").is_visible()
    assert not page.locator("#sphere-space").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert seen.problems == []
    browser.close()
