"""The viewer of an exported object: silent, offline, turned by hand, and as Mitsuba renders it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gimbal.pages.skeleton import Page, render_page, section
from gimbal_nero.exporting.environment import MITSUBA_TO_WORLD, read_environment
from gimbal_nero.exporting.export import LIGHT, VIEWER, Learnt, export
from gimbal_nero.exporting.gltf import TexturedMesh, read_glb
from gimbal_nero.exporting.settings import ExportSettings
from gimbal_nero.exporting.viewer import Viewpoint
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.report.viewer import viewer_scripts, viewer_section
from gimbal_nero.synthesis.objects import make_object
from gimbal_nero.synthesis.settings import SyntheticSettings
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.meshes.model import Mesh
from gimbal_vision.poses import look_at

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "<script>alert(1)</script>"
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
FIRST = Viewpoint()
FOV_DEG = 35.0

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="Chromium is not installed"),
]
playwright = pytest.importorskip("playwright.sync_api")


def material(points: Any) -> tuple[Any, Any, Any]:
    """Metal of two colours; smoother where x is below 0."""
    ones = np.ones((len(points), 1))
    albedo = np.where(points[:, 2:] > 0, [[0.9, 0.6, 0.3]], [[0.5, 0.7, 0.9]])
    return albedo, ones, np.where(points[:, :1] > 0, 0.3, 0.15) ** 2


def light(directions: Any) -> Any:
    """A pale sky with three windows, none of which is another's mirror image."""
    sky = (0.3 + 0.2 * directions[:, 2:]) * [[0.9, 0.95, 1.0]]
    windows = (
        ((1, -0.6, 0.4), (5, 3, 1)),
        ((-0.6, -0.9, 0.2), (0.5, 3, 1)),
        ((0, -1, -1), (3, 0, 3)),
    )
    for centre, colour in windows:
        beside = directions @ (np.array(centre) / np.linalg.norm(centre))
        sky = sky + (beside > 0.93)[:, None] * np.array(colour)
    return sky


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A blob whose photographs had another frame: y up, turned, moved and scaled."""
    made = make_object(SyntheticSettings(shape="blob"), 3)
    upright = made.vertices @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    angle = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    normalisation = Normalisation(
        rotation=np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ angle,
        centre_source=np.array([3.0, -2.0, 5.0]),
        scale=0.5,
    )
    path = tmp_path_factory.mktemp("export")
    learnt = Learnt(
        mesh=Mesh(upright / np.linalg.norm(upright, axis=-1).max(), made.faces),
        material=material,
        light=light,
        normalisation=normalisation,
        title=HOSTILE,
    )
    settings = ExportSettings(texture_side=256, most_faces=4000, environment_height=128)
    export(learnt, settings, path, lambda done, of, what: None)
    return path


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with playwright.sync_playwright() as one:
        yield one


@pytest.fixture(scope="module")
def browser(started: Any) -> Iterator[Any]:
    opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield opened
    opened.close()


def opened(
    browser: Any, path: Path, state: str = "ready", side: int = 420
) -> tuple[Any, list[str]]:
    problems: list[str] = []
    page = browser.new_page(viewport={"width": side, "height": side})
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    inside = (path.as_uri(), "data:", "blob:")
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(inside) else problems.append(asked.url),
    )
    page.goto(path.as_uri(), wait_until="domcontentloaded")
    page.wait_for_selector(f".gimbal-viewer[data-state={state}]", state="attached")
    return page, problems


def shown(page: Any) -> Any:
    """Return [H, W, 3] levels of the canvas, drawn anew."""
    page.evaluate("() => new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))")
    picture = page.locator("canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), np.float64)


def object_of(picture: Any) -> Any:
    """Return [H, W], where something else than the plain background is."""
    return np.abs(picture - picture[8, picture.shape[1] // 2]).max(-1) > 6


def test_an_object_is_shown_in_silence_and_turns_by_keys_and_mouse(
    browser: Any, folder: Path
) -> None:
    page, problems = opened(browser, folder / VIEWER)
    page.locator("canvas").focus()
    first = shown(page)
    inside = object_of(first)
    assert 0.1 < inside.mean() < 0.7
    page.keyboard.press("ArrowRight")
    turned = shown(page)
    assert np.abs(turned - first)[inside].mean() > 2
    page.keyboard.press("+")
    assert object_of(shown(page)).sum() > inside.sum()
    page.keyboard.press("0")
    np.testing.assert_array_equal(shown(page), first)
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 100, steps=3)
    page.mouse.up()
    assert np.abs(shown(page) - first)[inside].mean() > 2
    page.locator("input").check()
    assert np.ptp(shown(page)[:, 20], axis=0).max() > 3, "the light is behind the object"
    assert problems == []


def test_a_page_that_holds_the_viewer_runs_it_under_its_own_policy(
    browser: Any, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(
        render_page(
            Page(
                title="run",
                overline=["Gimbal"],
                hero=(),
                sections=[section("object", "The object", viewer_section(folder))],
                scripts=viewer_scripts(),
            )
        )
    )
    page, problems = opened(browser, path)
    assert 0.1 < object_of(shown(page)).mean() < 0.7
    assert problems == []
    assert viewer_section(tmp_path) is None


def test_without_webgl_the_page_says_so(started: Any, folder: Path) -> None:
    bare = started.chromium.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-3d-apis"]
    )
    page, _ = opened(bare, folder / VIEWER, "failed")
    assert "object.glb" in page.locator(".said").text_content()
    bare.close()


def rendered(mi: Any, read: TexturedMesh, picture: Any, size: tuple[int, int]) -> Any:
    """Return what Mitsuba shows from the first viewpoint: [H, W, 3] levels and [H, W] outline."""
    to_z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ read.node[:3, :3]
    vertices, normals = read.vertices @ to_z_up.T, read.normals @ to_z_up.T
    low, high = vertices.min(0), vertices.max(0)
    centre, radius = (low + high) / 2, np.linalg.norm(high - low) / 2
    azimuth, elevation = np.deg2rad([FIRST.azimuth_deg, FIRST.elevation_deg])
    flat = np.cos(elevation)
    away = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    eye = centre + FIRST.distance * radius * away
    width, height = size
    focal = min(size) / 2 / np.tan(np.deg2rad(FOV_DEG / 2))
    lens = Pinhole(fx=focal, fy=focal, cx=width / 2, cy=height / 2, height=height, width=width)
    return _mitsuba(mi, (vertices, normals, read), picture, lens, look_at(eye, centre, (0, 0, 1)))


def _mitsuba(mi: Any, placed: Any, picture: Any, lens: Pinhole, pose: Any) -> Any:
    from gimbal_nero.judging.srgb import bytes_of
    from gimbal_nero.synthesis.mitsuba_scene import sensor_dict

    vertices, normals, read = placed

    def texture(values: Any, raw: bool) -> dict[str, Any]:
        bitmap = mi.Bitmap(np.ascontiguousarray(values))
        bitmap.set_srgb_gamma(not raw)
        return {"type": "bitmap", "bitmap": bitmap, "raw": raw}

    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(
        {
            "type": "principled",
            "base_color": texture(read.base_colour, False),
            "roughness": texture(read.roughness[..., None], True),
            "metallic": texture(read.metallic[..., None], True),
        }
    )
    shape = mi.Mesh(
        "object",
        vertex_count=len(vertices),
        face_count=len(read.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    values = mi.traverse(shape)
    values["vertex_positions"] = vertices.astype(np.float32).ravel()
    values["vertex_normals"] = normals.astype(np.float32).ravel()
    values["vertex_texcoords"] = (read.uv * [1, -1] + [0, 1]).astype(np.float32).ravel()
    values["faces"] = read.faces.astype(np.uint32).ravel()
    values.update()
    scene = mi.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 2, "hide_emitters": True},
            "light": {
                "type": "envmap",
                "bitmap": mi.Bitmap(np.ascontiguousarray(picture)),
                "to_world": mi.ScalarTransform4f(MITSUBA_TO_WORLD),
            },
            "object": shape,
        }
    )
    seen = mi.render(scene, sensor=mi.load_dict(sensor_dict(mi, lens, pose)), spp=32, seed=1)
    radiance = np.asarray(seen)[..., :3]
    return bytes_of(radiance).astype(np.float64), radiance.max(-1) > 0


def test_it_looks_as_mitsuba_renders_the_same_file(browser: Any, folder: Path) -> None:
    """Neither mirrored nor upside down: each of these would be far worse than what is allowed."""
    pytest.importorskip("mitsuba")
    from gimbal_nero.synthesis.mitsuba_scene import mitsuba

    page, _ = opened(browser, folder / VIEWER, side=300)
    there = shown(page)
    height, width = there.shape[:2]
    picture = read_environment(folder / LIGHT)
    glb = read_glb(folder / "object.glb")
    wanted, outline = rendered(mitsuba(2), glb, picture, (width, height))
    both = outline & object_of(there)
    assert both.sum() / (outline | object_of(there)).sum() > 0.97
    assert np.abs(there - wanted)[both].mean() < 12
    mirrored = rendered(mitsuba(2), glb, picture[:, ::-1], (width, height))[0]
    assert np.abs(there - mirrored)[both].mean() > 2 * np.abs(there - wanted)[both].mean()
