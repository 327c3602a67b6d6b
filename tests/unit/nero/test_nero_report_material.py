"""The page of a run with a material: its maps, its looks elsewhere, its training and its cost."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import numpy as np
import pytest
from PIL import Image
from relit_folder import relit_folder

from gimbal.errors import StorageError
from gimbal.experiment.stage import StageOutput
from gimbal_nero.report.embedding import picture
from gimbal_nero.report.material_sections import cost_words, review_figures
from gimbal_nero.report.page import render
from gimbal_nero.report.told import read_told
from gimbal_nero.report.viewer import viewer_scripts

RUN = {
    "run_id": "r-2",
    "stages": [
        {"name": "shape", "status": "done", "seconds": 200.0},
        {"name": "material", "status": "done", "seconds": 50.0},
    ],
    "gates": [],
}
JUDGED = {"chamfer": 0.0123, "roughness_mae": 0.0456, "albedo_mae": 0.021, "relit_psnr": 28.75}
EVIL = "<i>v</i>"
TIMELINE = [
    {"step": 5, "file": "step-5.png", "psnr": 20.0, "roughness": 0.5, "at_ends": 0.0},
    {"step": 9, "file": "step-9.png", "psnr": 21.0, "roughness": 0.25, "at_ends": 0.5},
]


def output(folder, name, **metrics):
    return StageOutput(name=name, path=folder / name, fingerprint="", metrics=metrics)


@pytest.fixture
def inputs(tmp_path):
    grey = Image.fromarray(np.full((9, 9, 3), 90, np.uint8))
    pictures = (
        "review/view-0.png", "review/step-5.png", "review/step-9.png",
        "evaluate/pictures/material-v0.png", "evaluate/pictures/relit-1-v0.png",
        "evaluate/pictures/surface-v0.png", "relight/orbit.gif",
    )  # fmt: skip
    relit_folder(tmp_path, {EVIL.replace("/", "-"): {"v0": (np.full((9, 9, 3), 0.4), None)}})
    for name in pictures:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        grey.save(tmp_path / name)
    views = [{"file": "view-0.png", "view": EVIL}]
    (tmp_path / "review" / "review.json").write_text(
        json.dumps({"views": views, "timeline": TIMELINE})
    )
    for name in ("shape", "material"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(
            '{"step": 10, "time_s": 1, "values": {"train/loss": 0.5, "val/psnr": 20.0}}\n'
        )
    found = {
        "prepare": {},
        "shape": {},
        "material": {},
        "review": {"psnr": 23.0},
        "relight": {},
        "evaluate": JUDGED,
    }
    return {name: output(tmp_path, name, **metrics) for name, metrics in found.items()}


def without_scripts(page):
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_everything_of_a_material_is_on_one_page_that_asks_nothing(inputs):
    page = render(read_told(inputs, RUN))
    body = without_scripts(page)
    assert "<title>Shape and material · r-2</title>" in page
    for key in ("object", "relit", "material", "fitted", "judged", "training", "run"):
        assert f'<section id="{key}"' in body
    for key in ("learn-loss", "fit-loss", "fit-psnr", "course-psnr", "course-means"):
        assert body.count(f'id="plot-{key}"') == 1
    assert "Material: Loss and its parts" in body and "Shape: Loss and its parts" in body
    assert body.count("data:image/gif;base64,") == 1
    assert body.count("data:image/png;base64,") == 7
    assert EVIL not in page and "Light &lt;i&gt;" in body
    assert not re.search(r'(src|href)="(https?:)?//', body)


def test_the_headline_says_what_is_known(inputs):
    body = without_scripts(render(read_told(inputs, RUN)))
    headline = re.search("<h1>(.*?)</h1>", body).group(1)
    assert "0.0123" in headline and "0.046" in headline and "28.8 dB" in headline
    unjudged = {**inputs, "evaluate": output(inputs["evaluate"].path.parent, "evaluate")}
    headline = re.search("<h1>(.*?)</h1>", render(read_told(unjudged, RUN))).group(1)
    assert headline == "Held-out photographs are rendered at 23.0 dB."
    bare = {"prepare": inputs["prepare"], "material": inputs["material"]}
    page = render(read_told(bare, RUN))
    assert "The material was not judged." in page and "<title>Material" in page


def test_only_what_ran_is_told(inputs):
    told = read_told({name: inputs[name] for name in ("prepare", "shape", "evaluate")}, RUN)
    assert told.material is None
    body = without_scripts(render(told))
    assert '<section id="material"' not in body and '<section id="relit"' not in body
    half = read_told({name: inputs[name] for name in ("material", "evaluate")}, RUN).material
    assert (half.relit, half.orbit, half.reviewed, half.export_dir) == ((), None, None, None)
    assert len(half.training) == 1


def test_why_nothing_was_held_against_a_truth_stands_where_it_would(inputs):
    told = inputs | {
        "evaluate": output(inputs["evaluate"].path.parent, "evaluate", relit_missing="no <truth>")
    }
    body = without_scripts(render(read_told(told, RUN)))
    words = "Not held against a truth: no &lt;truth&gt;."
    assert body.count(words) == 1 and body.index('id="relit"') < body.index(words)


def test_a_turntable_that_was_not_asked_for_is_not_missed(inputs):
    (inputs["relight"].path / "orbit.gif").unlink()
    told = read_told(inputs, RUN)
    assert told.material.orbit is None
    assert '<section id="object"' not in without_scripts(render(told))


@pytest.mark.parametrize(
    ("shape", "material", "words"),
    [
        (200.0, 50.0, "less than the shape: 50 s against 200 s, 0.25 times"),
        (20.0, 50.0, "more than the shape: 50 s against 20 s, 2.50 times"),
    ],
)
def test_what_cost_more_is_said_in_a_line(inputs, shape, material, words):
    stages = [{"name": "shape", "seconds": shape}, {"name": "material", "seconds": material}]
    assert words in cost_words(stages)
    assert words in render(read_told(inputs, RUN | {"stages": [
        {**stage, "status": "done"} for stage in stages]}))  # fmt: skip


@pytest.mark.parametrize("stages", [[], [{"name": "material", "seconds": 3.0}],
                                    [{"name": "shape", "seconds": None},
                                     {"name": "material", "seconds": 3.0}]])  # fmt: skip
def test_a_cost_without_its_counterpart_is_not_compared(stages):
    assert cost_words(stages) is None


def test_curves_over_checkpoints_are_those_of_the_review():
    figures = review_figures({"timeline": TIMELINE})
    assert figures["course-psnr"][2]["data"][0]["y"] == [20.0, 21.0]
    names = {trace["name"]: trace["y"] for trace in figures["course-means"][2]["data"]}
    assert names == {"roughness": [0.5, 0.25], "at ends": [0.0, 0.5]}
    assert review_figures(None) == review_figures({"timeline": []}) == {}


def test_the_exported_object_is_in_the_page_with_the_scripts_that_draw_it(inputs):
    """Its policy runs no script whose hash it does not name."""
    folder = inputs["material"].path.parent / "export"
    folder.mkdir()
    told = inputs | {"export": output(folder.parent, "export")}
    bare = render(read_told(told, RUN))
    assert "gimbal-viewer" not in bare, "nothing was exported"
    (folder / "object.glb").write_bytes(b"glTF and so on")
    page = render(read_told(told, RUN))
    assert 'class="gimbal-viewer"' in without_scripts(page)
    assert base64.b64encode(b"glTF and so on").decode() in page
    hashes = re.search("script-src ([^;]*);", page).group(1).split()
    assert len(hashes) == 2 + len(re.search("script-src ([^;]*);", bare).group(1).split())
    for script in viewer_scripts():
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in hashes and f"<script>{script}</script>" in page


def test_a_picture_that_is_gone_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"gone\.png"):
        picture(tmp_path / "gone.png", "nothing")
