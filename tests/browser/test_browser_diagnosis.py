"""A diagnosis in a real browser: silent, offline, everything drawn."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gimbal_nbv.building import build_oracle
from gimbal_nbv.diagnostics.bench import BenchObject
from gimbal_nbv.diagnostics.detached_means import DetachedMeans, Fallback
from gimbal_nbv.diagnostics.landscape import diagnose, shapes_of
from gimbal_nbv.diagnostics.landscape_sphere import Walkers, walk
from gimbal_nbv.diagnostics.page import render_diagnosis
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.policies import FarthestPolicy, OracleCoverage
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.stages.reading import DepthNoise
from gimbal_vision.rendering.raster import RasterRenderer

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
HOSTILE = "<script>alert(1)</script>"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="Chromium is not installed"),
]
playwright = pytest.importorskip("playwright.sync_api")


class Mug(BenchObject):
    """An object that no stage wrote."""

    mesh = make_shape("mug", 3)
    protocol = SphereProtocol(views=16, image_size=32, samples=300, reference_views=24, grid=16)
    depth = np.asarray(
        RasterRenderer(threads=1).render(mesh, protocol.cameras, ("depth",)).depth,
        dtype=np.float32,
    )

    def cache(self) -> FeatureCache:
        return FeatureCache(self.oracle)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    protocol = Mug.protocol
    oracle = build_oracle(Mug.mesh, protocol)
    clean = DepthNoise(0.0, 0)
    mug = Mug(object_id=HOSTILE, oracle=oracle, rows=None, noise=clean)  # type: ignore[arg-type]
    walkers = Walkers(
        policies={"farthest": FarthestPolicy(), "oracle": OracleCoverage()},
        means=DetachedMeans.default(protocol.radius, Fallback(side=32, truth_points=None)),
    )
    shapes = [shapes_of(oracle, [0, 4, 9])]
    found = diagnose(shapes, [HOSTILE], [walk(mug, walkers, first=4, budget=5)], protocol.views)
    path = tmp_path_factory.mktemp("page") / "landscape.html"
    path.write_text(render_diagnosis(found, about=HOSTILE))
    return path


@pytest.fixture(scope="module")
def opened(page_file: Path) -> Iterator[tuple[Any, list[str]]]:
    problems: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
        page.on(
            "console", lambda said: problems.append(said.text) if said.type == "error" else None
        )
        outside = (page_file.as_uri(), "data:", "blob:")
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(outside) else problems.append(asked.url),
        )
        page.goto(page_file.as_uri())
        page.wait_for_selector("#sphere-map .main-svg")
        yield page, problems
        browser.close()


def test_every_plot_is_drawn_in_silence(opened: tuple[Any, list[str]]) -> None:
    page, problems = opened
    assert page.locator(".plot").count() == 5
    assert page.locator(".plot.js-plotly-plot").count() == 5
    assert page.locator("#plot-0 .bars path").count() > 0
    assert problems == []


def test_the_sphere_shows_every_layer_and_whose_path_it_follows(
    opened: tuple[Any, list[str]],
) -> None:
    page, problems = opened
    layers = page.locator("#sphere-layer option").all_inner_texts()
    assert layers == ["True gain", "CD after it, ×10⁻³", "RRI"]
    colours = "() => document.getElementById('sphere-map').data[0].z.flat().filter(v => v !== null)"
    seen = []
    for layer in ("gain", "cd", "rri"):
        page.select_option("#sphere-layer", layer)
        seen.append(np.asarray(page.evaluate(colours), dtype=float).mean())
    assert len(set(seen)) == 3 and seen[1] > 1.0
    page.select_option("#sphere-path", "oracle")
    page.locator("#sphere-step").focus()
    page.keyboard.press("End")
    assert "that farthest had taken" in page.locator("#sphere-readout").inner_text()
    assert problems == []


def test_the_detached_gradient_is_drawn_when_asked_for(opened: tuple[Any, list[str]]) -> None:
    page, problems = opened
    ends = """() => document.getElementById('sphere-map').data
        .filter(t => t.marker?.symbol === 'arrow').flatMap(t => t.x).length"""
    assert page.evaluate(ends) == 0
    page.check("#sphere-arrows")
    assert page.evaluate(ends) > 30
    page.uncheck("#sphere-arrows")
    assert page.evaluate(ends) == 0
    assert problems == []
