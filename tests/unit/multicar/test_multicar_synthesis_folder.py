"""The folder of a made set: continued, refused, never overwritten."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from gimbal.errors import ConfigError, StorageError
from gimbal_multicar.cli import app
from gimbal_multicar.errors import SynthesisError
from gimbal_multicar.opv2v.reader import Opv2v
from gimbal_multicar.rigs.file import load_rig
from gimbal_multicar.synthesis.command import parse_size
from gimbal_multicar.synthesis.making import Made, make_tree
from gimbal_multicar.synthesis.tree import (
    RECORD_NAME,
    SPARE,
    Tree,
    TreeOptions,
    claim,
    estimated_bytes,
    require_space,
    rig_from,
)

SMALL = TreeOptions(scenarios=2, agents=2, frames=2, height=30, width=40, lidar_columns=16)


def tree(root: Path, options: TreeOptions = SMALL) -> Tree:
    return Tree(root=root, options=options, rig=rig_from(options, None))


def fill(root: Path, options: TreeOptions = SMALL) -> Made:
    return make_tree(tree(root, options), lambda done, total: None, processes=1)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "set"
    assert fill(root).kept == 0
    return root


def test_the_reader_finds_every_car_frame(whole: Path) -> None:
    reader = Opv2v(whole, splits=("train", "validate", "test"))
    assert reader.splits == ("train", "validate")
    for split in reader.splits:
        ids = reader.car_frames(split)
        assert len(ids) == 4
        frame = reader.read(ids[0])
        assert len(reader.images(frame)) == 4
        assert reader.depths(frame).source == "npy"
        assert len(reader.points(frame).points) > 500


def test_each_scenario_says_that_it_is_made(whole: Path) -> None:
    protocols = list(whole.glob("*/*/data_protocol.yaml"))
    assert len(protocols) == 2
    for path in protocols:
        text = path.read_text()
        assert "synthetic: true" in text
        assert "generator: gimbal multicar synthesize" in text
        assert "seed: 0" in text


def test_a_stopped_run_is_continued_to_the_same_files(whole: Path, tmp_path: Path) -> None:
    """Without its YAML file a frame is not finished, whatever else lies there."""
    root = tmp_path / "set"
    claim(root, SMALL)
    made = tree(root).scenario(0)
    half = root / made.split / made.name / made.agents[0]
    half.mkdir(parents=True)
    (half / f"{made.frames[0]}_camera0.png").write_bytes(b"cut off")
    (half / f".{made.frames[0]}.yaml.writing-1").write_bytes(b"cut off")
    done = fill(root)
    assert (done.car_frames, done.kept) == (8, 0)
    (half / f".{made.frames[0]}.yaml.writing-1").unlink()
    assert contents(root) == contents(whole)


def test_what_is_finished_is_kept(whole: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*.yaml")}
    done = fill(whole)
    assert (done.car_frames, done.kept) == (8, 8)
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*.yaml")} == before


def test_other_arguments_are_refused_by_name(whole: Path) -> None:
    with pytest.raises(SynthesisError, match="seed is 0 there, 1 now") as caught:
        fill(whole, replace(SMALL, seed=1))
    assert "frames" not in caught.value.message
    with pytest.raises(SynthesisError, match="width is 40 there, 48 now"):
        fill(whole, replace(SMALL, width=48))


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(SynthesisError, match="holds train"):
        fill(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["train"]


def test_a_damaged_record_is_no_permission(whole: Path, tmp_path: Path) -> None:
    record = tmp_path / RECORD_NAME
    record.write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        claim(tmp_path, SMALL)
    record.write_text("[]")
    with pytest.raises(SynthesisError, match="no record"):
        claim(tmp_path, SMALL)


def test_a_disk_that_is_too_small_is_noticed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    needed = estimated_bytes(tree(tmp_path), 8)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(0, 0, int(needed * SPARE) + 1))
    assert require_space(tree(tmp_path), 8) == needed
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(0, 0, needed // 2))
    with pytest.raises(StorageError, match="needs about"):
        require_space(tree(tmp_path), 8)


def test_no_depth_leaves_depth_out(tmp_path: Path) -> None:
    options = replace(SMALL, scenarios=1, agents=1, frames=1, depth=False)
    fill(tmp_path / "set", options)
    assert not list(tmp_path.rglob("*.npy"))
    assert len(list(tmp_path.rglob("*.png"))) == 4


def test_each_camera_keeps_an_exposure_of_its_own(whole: Path, tmp_path: Path) -> None:
    """Its factor is that of the other frame; YAML and depth are those of a set without."""
    fill(tmp_path / "seams", replace(SMALL, exposure_jitter=0.5))
    gains: dict[str, list[float]] = {}
    for path in sorted((tmp_path / "seams" / "train").rglob("*_camera?.png")):
        plain = whole / path.relative_to(tmp_path / "seams")
        before, after = (cv2.imread(str(p)).astype(float) for p in (plain, path))
        usable = (before > 40) & (after < 255)
        key = f"{path.parent.name} {path.stem[-7:]}"
        gains.setdefault(key, []).append(float(np.median(after[usable] / before[usable])))
    assert len(gains) == 8
    assert all(np.ptp(two) < 0.05 for two in gains.values())
    assert np.ptp([two[0] for two in gains.values()]) > 0.3
    for kind in ("*.yaml", "*.npy"):
        for path in (whole / "train").rglob(kind):
            if path.name != "data_protocol.yaml":
                assert (
                    path.read_bytes() == (tmp_path / "seams" / path.relative_to(whole)).read_bytes()
                )


def test_a_rig_file_gives_as_many_cameras(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    entry = (
        "{{name: C{0}, width: {1}, height: 24, hfov_deg: 80, translation: [1, 0, 0], yaw_deg: {2}}}"
    )
    lines = [f"  - {entry.format(k, 32 + 8 * (k > 1), 120 * k)}" for k in range(3)]
    path.write_text("\n".join(["axes: unreal", "cameras:", *lines]))
    rig = load_rig(path)
    options = replace(SMALL, scenarios=1, agents=1, frames=1, rig_digest=rig.digest)
    root = tmp_path / "set"
    made = Tree(root=root, options=options, rig=rig_from(options, rig))
    make_tree(made, lambda done, total: None, processes=1)
    reader = Opv2v(root, splits=("train",))
    frame = reader.read(reader.car_frames("train")[0])
    assert frame.rig.names == ("camera0", "camera1", "camera2")
    assert [c.camera.width for c in frame.rig.cameras] == [32, 32, 40]
    assert frame.rig.car_from_cameras == pytest.approx(rig.car_from_cameras, abs=1e-9)
    assert {n: i.shape for n, i in reader.images(frame).items()}["camera2"] == (24, 40, 3)


@pytest.mark.parametrize("text", ["800", "800x", "0x600", "9999x10", "800*600", "-8x8", ""])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size"):
        parse_size(text, with_rig=False)


def test_sizes() -> None:
    assert parse_size(None, with_rig=True) == (800, 600)
    assert parse_size("400X300", with_rig=False) == (400, 300)
    with pytest.raises(ConfigError, match="contradict"):
        parse_size("400x300", with_rig=True)


def test_the_command_prints_one_json_object(whole: Path) -> None:
    arguments = "--scenarios 2 --agents 2 --frames 2 --image-size 40x30 --lidar-columns 16 --json"
    result = CliRunner().invoke(app, ["synthesize", "--out", str(whole), *arguments.split()])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["scenarios"] == {"train": 1, "validate": 1}
    assert (record["car_frames"], record["kept"], record["images"]) == (8, 8, 32)


@pytest.mark.slow
def test_two_processes_make_the_same_files(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    make_tree(tree(root), lambda done, total: None, processes=2)
    assert contents(root) == contents(whole)
