"""Stage `relight` and the commands beside it: which pictures there are, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from nero_relit import NETWORKS, write_light, write_stages, write_truth
from PIL import Image
from typer.testing import CliRunner

from gimbal.errors import ConfigError
from gimbal_nero.commands.novel_views import novel_views_command
from gimbal_nero.commands.relight import relight_command
from gimbal_nero.config import NeroConfig
from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.relighting.making import RELIGHT_FILE
from gimbal_nero.stages.relighting import relight_stage

TRAIN = {"steps": 1, "global_batch": 1}


@dataclass
class Input:
    path: Path


def config_of(tmp_path, **relight):
    settings = {"directions": 4, "bounce_directions": 2, "orbit_frames": 4, "orbit_side": 16}
    return NeroConfig.model_validate(
        {
            "experiment": "x",
            "seed": 0,
            "data": {"root": str(tmp_path / "photos")},
            "mesh": {"file": str(tmp_path / "mesh" / "mesh.ply")},
            "material": {"networks": NETWORKS.model_dump(), "train": TRAIN},
            "relight": settings | relight,
        }
    )


def test_the_stage_makes_the_pictures_that_its_file_names(tmp_path):
    write_stages(tmp_path)
    write_truth(tmp_path / "photos", np.full((8, 16, 3), 0.5, np.float32), ["v1", "gone", "v0"])
    config = config_of(tmp_path, lights=[str(write_light(tmp_path / "1.exr"))])
    stage = relight_stage(config)
    assert stage.inputs == ("prepare", "mesh", "material")
    assert set(stage.external_files()) == {tmp_path / "1.exr", tmp_path / "photos"}
    inputs = {name: Input(path=tmp_path / name) for name in stage.inputs}
    told = []
    (tmp_path / "out").mkdir()
    metrics = stage.run(inputs, tmp_path / "out", lambda *said: told.append(said[:2]))
    record = json.loads((tmp_path / "out" / RELIGHT_FILE).read_text())
    assert (metrics["lights"], metrics["views"], metrics["frames"]) == (2, 3, 4)
    assert told[0] == (0, 7) and told[-1] == (7, 7)
    true, own = record["lights"]
    assert (true["name"], true["truth"]) == ("1", "truth/relit/1")
    assert [view["view"] for view in true["views"]] == ["v0", "v1"]
    assert (own["name"], own["source"], own["truth"]) == ("1-2", str(tmp_path / "1.exr"), None)
    assert [view["view"] for view in own["views"]] == ["v5"]
    for view in (*true["views"], *own["views"]):
        shown = np.asarray(Image.open(tmp_path / "out" / view["png"]))
        with np.load(tmp_path / "out" / view["linear"]) as linear:
            assert linear["radiance"].shape == shown.shape
            covered = linear["coverage"] == 1
            assert covered.sum() > 20 and linear["radiance"][covered].min() > 0
    with Image.open(tmp_path / "out" / record["orbit"]["gif"]) as gif:
        assert (gif.n_frames, gif.size) == (4, (16, 16))
    assert all((tmp_path / "out" / name).is_file() for name in record["orbit"]["frames"])


def test_no_material_is_said_instead_of_relit():
    with pytest.raises(ConfigError, match="no section material"):
        relight_stage(NeroConfig(experiment="x", seed=0, train=TRAIN))


def test_lights_places_are_not_part_of_what_was_done_but_their_frame_is(tmp_path):
    (tmp_path / "b").mkdir()
    first, second = write_light(tmp_path / "a.exr"), write_light(tmp_path / "b" / "a.exr")
    here = relight_stage(config_of(tmp_path, lights=[str(first)]))
    there = relight_stage(config_of(tmp_path, lights=[str(second)]))
    upright = relight_stage(config_of(tmp_path, lights_frame="unit"))
    assert here.settings == there.settings != upright.settings
    with pytest.raises(ConfigError, match=r"none\.exr"):
        relight_stage(config_of(tmp_path, lights=[str(tmp_path / "none.exr")]))


@pytest.fixture
def app():
    app = typer.Typer()
    app.command("relight")(relight_command)
    app.command("novel-views")(novel_views_command)
    return app


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of stages that a test wrote; finding runs is tested elsewhere."""

    class Run:
        id = "r-1"
        path = tmp_path / "run"
        stages = tmp_path

    write_stages(tmp_path)
    config = config_of(tmp_path)
    monkeypatch.setattr("gimbal_nero.commands.runs.nero_run", lambda *_: (Run, config))
    return Run


def invoke(app, *arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_relight_leaves_pictures_and_a_gif_for_each_light(tmp_path, run, app):
    light = write_light(tmp_path / "studio.exr")
    done = invoke(app, "relight", "--run", "r", "--hdri", light, "--frames", 3, "--side", 12,
                  "--directions", 2, "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout[done.stdout.index("{") :])
    folder = Path(said["out"])
    assert folder.parent == run.path / "pictures" and folder.name.startswith("studio-")
    names = sorted(path.name for path in folder.iterdir())
    frames = [f"studio-{number:04d}.png" for number in range(3)]
    assert names == ["pictures.json", *frames, "studio.gif"]
    with Image.open(folder / "studio.gif") as gif:
        assert (gif.n_frames, gif.size) == (3, (12, 12))
    assert said["lights"][0]["pictures"] == frames
    fewer = invoke(app, "relight", "--run", "r", "--hdri", light, "--frames", 2, "--side", 12,
                   "--directions", 2)  # fmt: skip
    assert fewer.exit_code == 0 and not (folder / frames[2]).exists(), "none of the longer call"
    assert json.loads((folder / "pictures.json").read_text())["finished"] is True


def test_novel_views_take_the_photographs_own_cameras(tmp_path, run, app):
    out = tmp_path / "shown"
    done = invoke(app, "novel-views", "--run", "r", "--path", "views", "--frames", 2,
                  "--directions", 2, "--out", out)  # fmt: skip
    assert done.exit_code == 0, done.output
    sizes = [Image.open(out / f"learnt-{number:04d}.png").size for number in range(2)]
    assert sizes == [(26, 24), (30, 28)]
    assert not (out / "learnt.gif").exists()
    again = invoke(app, "novel-views", "--run", "r", "--frames", 1, "--out", out)
    assert again.exit_code == 0, again.output
    (out / "mine.txt").touch()
    refused = invoke(app, "novel-views", "--run", "r", "--frames", 1, "--out", out)
    assert isinstance(refused.exception, ConfigError)


def test_wrong_options_are_named(tmp_path, run, app):
    light = write_light(tmp_path / "studio.exr")
    frame = invoke(app, "relight", "--run", "r", "--hdri", light, "--frame", "sideways")
    assert "--frame" in str(frame.exception)
    path = invoke(app, "novel-views", "--run", "r", "--path", tmp_path / "none.json")
    assert isinstance(path.exception, ConfigError) and "--path" in str(path.exception)
    (tmp_path / "flat.hdr").write_text("no light")
    flat = invoke(app, "relight", "--run", "r", "--hdri", tmp_path / "flat.hdr")
    assert isinstance(flat.exception, ExportError)
    for command in ("relight", "novel-views"):
        assert "Exit status" in invoke(app, command, "--help").output
