"""`gimbal nero prepare`: what it prints, what it refuses, and the stage beside it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from capture_folders import CAMERA, ring_of_cameras, write_colmap, write_glossy
from PIL import Image
from pydantic import ValidationError
from typer.testing import CliRunner

from gimbal.errors import ConfigError
from gimbal_nero.capture_files import load_capture
from gimbal_nero.commands.prepare import prepare_command
from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.settings import PrepareSettings, SplitSettings
from gimbal_nero.stages.preparing import prepare_stage

APP = typer.Typer()
APP.command()(prepare_command)
POINTS = np.random.default_rng(3).normal(size=(30, 3)) * 0.3


def _call(*words):
    return CliRunner().invoke(APP, [str(word) for word in words])


def test_images_beside_their_model_need_no_editing(tmp_path):
    """A folder with images/ and sparse/0 is enough, also where its images folder is named."""
    folder = write_colmap(tmp_path / "scan", ring_of_cameras(9))
    done = _call("--images", folder / "images", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["metrics"]["views"] == 9
    assert len(load_capture(tmp_path / "out").views) == 9


def test_a_filled_folder_is_left_alone(tmp_path):
    folder = write_glossy(tmp_path / "in", ring_of_cameras(8))
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    for words in ([], ["--force"]):
        done = _call("--images", folder, "--out", out, *words)
        assert isinstance(done.exception, ConfigError)
    assert (out / "thesis.tex").read_text() == "years of work"
    done = _call("--images", folder, "--out", folder)
    assert isinstance(done.exception, ConfigError)


def _cut_out(folder, names):
    """A folder of masks: all of the picture is object."""
    folder.mkdir()
    for name in names:
        Image.new("L", (CAMERA.width, CAMERA.height), 255).save(folder / name)
    return folder


def test_a_folder_of_masks_that_fits_no_photograph_is_refused(tmp_path):
    folder = write_colmap(tmp_path / "scan", ring_of_cameras(8))
    masks = _cut_out(tmp_path / "cut", [f"mask_{k}.png" for k in range(8)])
    done = _call("--images", folder, "--masks", masks, "--out", tmp_path / "out")
    assert isinstance(done.exception, CaptureError)
    assert "named as one of the 8 photographs" in str(done.exception)
    (folder / "sparse" / "0").rename(tmp_path / "gone")
    done = _call("--images", folder, "--masks", masks, "--out", tmp_path / "out")
    assert "named as one of the 8 photographs" in str(done.exception), "before poses are found"


def test_how_many_views_have_masks_is_said(tmp_path):
    folder = write_colmap(tmp_path / "scan", ring_of_cameras(8))
    masks = _cut_out(tmp_path / "cut", ["0.png", "3.png.png"])
    done = _call("--images", folder, "--masks", masks, "--out", tmp_path / "out")
    assert "masks       2 of 8 views" in done.stdout


@pytest.mark.parametrize("words", [["--up", "0,1"], ["--up", "w"], ["--bound", "hull"]])
def test_wrong_options_are_named(tmp_path, words):
    done = _call("--images", tmp_path, "--out", tmp_path / "out", *words)
    assert isinstance(done.exception, ConfigError)
    assert words[0] in str(done.exception)


def test_a_failure_leaves_the_older_capture_as_it_was(tmp_path):
    folder = write_glossy(tmp_path / "in", ring_of_cameras(8))
    assert _call("--images", folder, "--out", tmp_path / "out").exit_code == 0
    (folder / "5.png").write_bytes(b"no image")
    done = _call("--images", folder, "--out", tmp_path / "out", "--force")
    assert isinstance(done.exception, CaptureError)
    assert len(load_capture(tmp_path / "out").views) == 8


@pytest.mark.parametrize(
    ("scale", "tripped"), [(1.0, set()), (8.0, {"too_small", "in_sphere", "every_view"})]
)
def test_the_stages_gates_name_a_world_that_was_not_normalised(tmp_path, scale, tripped):
    poses = ring_of_cameras(12, up=(0, 1.0, 0))
    poses[:, :3, 3] *= scale
    root = write_glossy(tmp_path / "in", poses, scale)
    stage = prepare_stage(PrepareSettings(), root, 0)
    metrics = stage.run({}, tmp_path / "out", lambda *_: None)
    failed = {gate.name for gate in stage.gates if not gate.check(metrics).passed}
    assert len(failed) == len(tripped)
    assert all(any(part in name for name in failed) for part in tripped)
    assert np.isfinite(metrics["exposure"]["spread_ev"])


def _files(folder):
    """Every file of a capture but `prepare.json`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "prepare.json"
    }


def test_a_run_takes_what_the_command_prepared(tmp_path):
    """The stage writes the very same capture, with the same numbers for its gates."""
    folder = write_colmap(tmp_path / "scan", ring_of_cameras(10), points=POINTS, off={2: 3.0})
    made = tmp_path / "made"
    done = _call("--images", folder, "--out", made, "--json")
    assert done.exit_code == 0, done.output
    stage = prepare_stage(PrepareSettings(masks="none", max_side=48, bound="none"), made, 0)
    metrics = stage.run({}, tmp_path / "again", lambda *_: None)
    assert metrics == json.loads(done.stdout)["metrics"]
    assert metrics["dropped"] == 1
    assert _files(tmp_path / "again") == _files(made)
    assert (tmp_path / "again" / "prepare.json").read_bytes() == (
        made / "prepare.json"
    ).read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A capture that the command made of twelve views."""
    folder = tmp_path_factory.mktemp("prepared")
    poses = ring_of_cameras(12, distance=6.0, up=(0, 1.0, 0))
    done = _call("--images", write_glossy(folder / "in", poses), "--out", folder / "made")
    assert done.exit_code == 0, done.output
    return folder / "made"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"max_side": 24}, "max_side: 24"),
        ({"crop_to_sphere": True}, "crop_to_sphere: true"),
        ({"bound": "frusta"}, "bound: frusta"),
        ({"up": "-y"}, "up: -y"),
        ({"radius": 0.9}, "radius: 0.9"),
        ({"masks_dir": "cutouts"}, "masks_dir: cutouts"),
        ({"min_views": 20}, "12 views, 20 are needed"),
    ],
)
def test_a_setting_that_would_change_a_prepared_capture_is_refused(made, tmp_path, asked, words):
    stage = prepare_stage(PrepareSettings(**asked), made, 0)
    with pytest.raises(CaptureError, match=words):
        stage.run({}, tmp_path / "again", lambda *_: None)
    assert not (tmp_path / "again" / "capture.json").exists()


def test_a_prepared_capture_is_split_anew_only_when_asked(made, tmp_path):
    asked = PrepareSettings(splits=SplitSettings(test_count=3), masks="none")
    prepare_stage(asked, made, 0).run({}, tmp_path / "again", lambda *_: None)
    before, after = load_capture(made), load_capture(tmp_path / "again")
    assert [len(after.splits[s]) for s in ("train", "validate", "test")] == [8, 1, 3]
    assert after.splits["validate"] == before.splits["validate"]
    assert all(view.mask is None for view in after.views)
    assert all(view.mask is not None for view in before.views)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"masks": "none", "masks_dir": "cut"}, "masks_dir: cut has no effect.*masks: folder"),
        ({"masks": "none", "bound": "masks"}, "bound: masks needs masks.*masks: auto"),
        ({"bound": "none", "radius": 0.9}, r"radius: 0\.9 has no effect.*bound: auto"),
    ],
)
def test_settings_that_nothing_would_come_of_are_refused(asked, words):
    with pytest.raises(ValidationError, match=words):
        PrepareSettings(**asked)
    PrepareSettings(**dict(list(asked.items())[:1]))


def test_a_missed_check_is_told_with_what_to_do_and_the_capture_is_there(tmp_path):
    poses = ring_of_cameras(12, up=(0, 1.0, 0))
    poses[:, :3, 3] *= 8.0
    root = write_glossy(tmp_path / "in", poses, 8.0)
    done = _call("--images", root, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 4
    assert "object_in_sphere" in json.loads(done.stdout)["failed"]
    assert "→" in done.stderr and "masks" in done.stderr
    assert len(load_capture(tmp_path / "out").views) == 12
