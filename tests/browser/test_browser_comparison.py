"""The comparison page in a real browser: silent, offline, and every control does something."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gimbal.comparison.page import write_page
from gimbal.comparison.sweeps import compare_sweep
from gimbal.experiment.run_state import RunStatus
from gimbal.testing.stored_runs import MadeRun, make_sweep

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-3d-apis",
]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="Chromium is not installed"),
]
playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of twelve groups with two seeds, names as hostile as they come, one run failed."""
    runs = [
        MadeRun(
            number=2 * i + seed,
            seed=seed,
            config={"temperature": 0.01 * 2**i, "kind": HOSTILE if i % 2 else "plain"},
            mean=0.5 + 0.01 * i,
            luck=0.002,
            trial=f"{HOSTILE} {i} seed={seed}",
        )
        for i in range(12)
        for seed in range(2)
    ]
    runs[0] = replace(runs[0], status=RunStatus.FAILED, message=HOSTILE)
    folder = make_sweep(tmp_path_factory.mktemp("runs"), runs, ["temperature", "kind"])
    return write_page(compare_sweep(folder), folder.comparison)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def watched(page: Any) -> list[str]:
    """Collect everything the page complains about or asks for."""
    seen: list[str] = []
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: seen.append(f"dialog {dialog.message}"))
    page.on("console", lambda m: seen.append(m.text) if m.type in ("error", "warning") else None)
    page.on("request", lambda request: seen.append(request.url))
    return seen


@pytest.fixture(scope="module")
def opened(chromium: Any, page_file: Path) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    seen = watched(page)
    page.goto(page_file.as_uri())
    page.wait_for_selector("#plot-compute .main-svg")
    yield page
    assert [url for url in seen if not url.startswith((page_file.as_uri(), "data:"))] == []


def drawn(page: Any, plot: str) -> str:
    """Return what a plot shows, to see whether it changed."""
    return str(page.evaluate(
        "id => { const e = document.getElementById(id); return JSON.stringify("
        "[e.data.map(t => [t.y, t.line, t.marker]), e.layout.yaxis.type]) }", plot))  # fmt: skip


def test_everything_is_drawn_and_nothing_hostile_runs(opened: Any) -> None:
    assert opened.locator(".plot.js-plotly-plot").count() == opened.locator(".plot").count() == 3
    assert opened.locator("#axes-plot path.line").count() == 12
    assert opened.locator("table.results tbody tr").count() == 12
    assert opened.locator("img").count() == 0
    assert "alert(1)" in opened.locator("#troubles").inner_text()


def test_the_curve_its_scale_and_its_runs_can_be_chosen(opened: Any) -> None:
    states = [drawn(opened, "plot-curves")]
    opened.select_option("#curve", "train/train/loss")
    states.append(drawn(opened, "plot-curves"))
    opened.check("#curve-log")
    states.append(drawn(opened, "plot-curves"))
    opened.uncheck("#curve-runs")
    states.append(drawn(opened, "plot-curves"))
    assert len(set(states)) == 4
    metas = opened.evaluate("document.getElementById('plot-curves').data.map(t => t.meta)")
    assert metas.count("mean") == 12  # the failed run has a curve as well
    assert metas.count("run") == 0


def test_a_chip_hides_its_group_and_the_last_all_the_others(opened: Any) -> None:
    opened.check("#curve-runs")
    count = "document.getElementById('plot-curves').data.length"
    before = opened.evaluate(count)
    chips = opened.locator("#curve-groups button")
    assert chips.count() == 9
    chips.first.click()
    assert chips.first.get_attribute("aria-pressed") == "false"
    one_less = opened.evaluate(count)
    assert one_less < before
    chips.last.click()
    assert opened.evaluate(count) < one_less - 3
    chips.first.click()
    chips.last.click()
    assert opened.evaluate(count) == before


def test_another_group_is_paired_with_the_reference(opened: Any) -> None:
    before = drawn(opened, "plot-pairs"), opened.locator("#pair-readout").inner_text()
    opened.select_option("#pair", index=4)
    after = drawn(opened, "plot-pairs"), opened.locator("#pair-readout").inner_text()
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert "of 20" in after[1]


def test_a_brush_keeps_the_lines_that_cross_it_and_fades_the_others_rows(opened: Any) -> None:
    opened.locator("#axes-plot").scroll_into_view_if_needed()
    box = opened.locator("#axes-plot .grab").last.bounding_box()
    x = box["x"] + box["width"] / 2
    opened.mouse.move(x, box["y"] + 4)
    opened.mouse.down()
    opened.mouse.move(x, box["y"] + box["height"] * 0.3, steps=4)
    opened.mouse.up()
    off = opened.locator("#axes-plot path.line.off").count()
    assert 0 < off < 12
    assert opened.locator("table.results tr.faded").count() == off
    assert opened.locator("#axes-readout").inner_text() == f"{12 - off} of 12 groups kept"
    opened.locator("#axes-plot .name").last.click()
    assert opened.locator("#axes-plot path.line.off").count() == 0


def test_columns_sort_both_ways(opened: Any) -> None:
    first = opened.locator("table.results tbody tr").first
    value = opened.locator("table.results").get_by_role("button", name="evaluate.score")
    best = first.inner_text()
    value.click()
    assert first.inner_text() == best
    value.click()
    assert first.inner_text() != best
    assert opened.locator("th[aria-sort=ascending]").count() == 1
    value.click()


def test_theme_recolours_plots_and_axes(opened: Any) -> None:
    font = "document.getElementById('plot-curves').layout.template.layout.font.color"
    light = opened.evaluate(font)
    opened.locator("#theme").click()
    assert opened.evaluate(font) != light
    opened.locator("#theme").click()
    assert opened.evaluate(font) == light


def test_a_link_leads_to_the_runs_report(opened: Any, page_file: Path) -> None:
    link = opened.locator("table.results td.links a").first
    assert (page_file.parent / str(link.get_attribute("href"))).is_file()


def test_on_a_phone_nothing_scrolls_sideways(chromium: Any, page_file: Path) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    seen = watched(page)
    page.goto(page_file.as_uri())
    page.wait_for_selector("#plot-compute .main-svg")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert [url for url in seen if not url.startswith((page_file.as_uri(), "data:"))] == []
    page.close()
