"""`infer` and `render --pose-source pred` of a run's model: the numbers are validation's (M081)."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from panorama_rows_support import write_set
from trained_run_support import TINY, trained_run
from typer.testing import CliRunner

from gimbal.cli.border import exit_code
from gimbal.data.reading import BlockReader
from gimbal.errors import ConfigError, GimbalError, StorageError
from gimbal.experiment.run_folder import RunFolder
from gimbal.training import checkpoints
from gimbal_multicar.cli import app
from gimbal_multicar.data_settings import PanoramaSettings
from gimbal_multicar.inferring.moments import Wanted, config_of, gather_wanted
from gimbal_multicar.inferring.pictures import kind_of
from gimbal_multicar.inferring.trained import checkpoint_of, open_trained
from gimbal_multicar.learning.settings import SampleSettings
from gimbal_multicar.learning.sources import open_source
from gimbal_multicar.learning.task import CoopPlan, CoopTask
from gimbal_multicar.opv2v.axes import points_to_unreal
from gimbal_multicar.rows import panorama_schema

FRAMES = ("000068", "000070")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("infer")
    root = write_set(folder / "opv2v")
    for split in ("validate", "test"):
        shutil.copytree(root / "train", root / split)
    matching = TINY.model_copy(update={"pose_head": "matching"})
    return trained_run(root, folder / "runs", model=matching)


def command(run: RunFolder, *arguments: object) -> tuple[dict[str, Any], BaseException | None]:
    words = [*map(str, arguments), "--run", str(run.path), "--json"]
    result = CliRunner().invoke(app, words)
    told: dict[str, Any] = {} if result.exception else json.loads(result.stdout.splitlines()[-1])
    return told, result.exception


def root_of(run: RunFolder) -> Path:
    return run.path.parents[2] / "opv2v"


def infer(run: RunFolder, frame: str, *arguments: object) -> dict[str, Any]:
    told, error = command(run, "infer", "--root", root_of(run), "--frame", frame, *arguments)
    assert error is None, error
    return told


def test_numbers_are_those_of_validation(run: RunFolder) -> None:
    """Same checkpoint: errors of every car of the split, from files, sum up to validation's."""
    trained = open_trained(run)
    config = trained.config
    assert config.train is not None
    plan = CoopPlan(
        samples=config.samples,
        model=config.model,
        loss=config.loss,
        train=config.train,
        seed=config.seed,
    )
    folders = {"panoramas": run.stages / "panoramas"}
    task = CoopTask(
        plan, lambda split: open_source(folders, split, plan.samples, training=split == "train")
    )
    validated = task.validate(trained.twins, task.source("val"))
    told = [infer(run, frame, "--split", "validate") for frame in FRAMES]
    assert {one["checkpoint"]["sha256"] for one in told} == {trained.checkpoint.sha256}
    partners = [car["predicted"] for one in told for car in one["cars"] if not car["is_main"]]
    for mine, theirs in (("error_m", "pose_trans_m"), ("error_deg", "pose_rot_deg")):
        total, count = validated[theirs]
        assert len(partners) == count == 2
        assert sum(car[mine] for car in partners) / 2 == pytest.approx(total / count, rel=1e-6)
    total, count = validated["pred_mask_mean"]
    means = [one["pred_mask_mean"] for one in told]
    assert np.mean(means) == pytest.approx(total / count, rel=1e-5)


def test_depth_is_looked_for_where_the_runs_own_was(run: RunFolder) -> None:
    """Other depth gives other pictures: it is kept for the run's own folder, and else said."""
    config, root = open_trained(run).config, root_of(run)
    depths = root.parent / "depths"
    config = config.model_copy(
        update={"data": config.data.model_copy(update={"depth_root": depths})}
    )

    def looked_for(folder: Path, given: Path | None = None) -> Path | None:
        wanted = Wanted(root=folder, frame="68", split="test", depth_root=given)
        return config_of(config, wanted).data.depth_root

    assert looked_for(root / "." / "train" / "..") == depths
    assert looked_for(root / "train") is None
    assert looked_for(root, root) == looked_for(root / "train", root) == root


def test_pictures_unlike_those_of_training_are_said(run: RunFolder, tmp_path: Path) -> None:
    """The run's own folder is as trained; without its clouds, colours and masks are others."""
    same = infer(run, "68")["pictures"]
    assert same["alike"] and same["asked"] == same["trained"]
    other = tmp_path / "no_lidar"
    shutil.copytree(root_of(run), other, ignore=shutil.ignore_patterns("*.pcd", "*.npy"))
    words = ["--run", str(run.path), "--root", str(other), "--frame", "68"]
    shown = CliRunner().invoke(app, ["infer", *words])
    assert shown.exception is None, shown.exception
    assert "depth none, warp rotation; in training depth" in shown.output
    assert "LOOK pictures" in shown.output and "--depth-root" in shown.output
    _, error = command(run, "infer", *words[2:], "--depth-root", tmp_path / "gone")
    assert error is not None and "--depth-root" in str(error) and "data." not in str(error)


@pytest.mark.parametrize(
    ("source", "depth", "density", "expected"),
    [
        ("synthetic", "render", 1.0, ("render", "drawn")),
        ("opv2v", "npy", 0.9, ("npy", "splat")),
        ("opv2v", "npy", 0.4, ("npy", "ranges")),
        ("opv2v", "lidar", 0.9, ("lidar", "ranges")),
        ("opv2v", "none", 0.0, ("none", "rotation")),
    ],
)
def test_how_a_picture_was_made_follows_from_its_row(
    source: str, depth: str, density: float, expected: tuple[str, str]
) -> None:
    row = {"source": source, "depth_source": depth, "depth_density": density}
    assert kind_of(row, PanoramaSettings()) == expected
    if source == "opv2v":
        assert kind_of(row, PanoramaSettings(warp="fixed_point")) == (depth, "fixed_point")


def test_rows_made_from_files_are_those_of_the_stage(run: RunFolder) -> None:
    rows = BlockReader(run.stages / "panoramas")
    config = open_trained(run).config
    wanted = Wanted(root=root_of(run), frame="70", split="validate")
    for car in gather_wanted(config, wanted).cars:
        (number,) = [
            n
            for n in range(len(rows))
            if all(rows[n][key] == car.row[key] for key in ("split", "frame", "agent_id"))
        ]
        for column in panorama_schema(config.data.panorama).columns:
            np.testing.assert_array_equal(rows[number][column.name], car.row[column.name])


def test_an_answer_is_kept_whole(run: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "answer"
    told = infer(run, "68", "--out", out, "--checkpoint", "last")
    assert told["checkpoint"]["step"] == 2 and told["split"] == "test"
    assert json.loads((out / "infer.json").read_text()) == told
    for car in told["cars"]:
        pose = np.load(out / f"{car['agent_id']}_pose.npy")
        np.testing.assert_array_equal(pose, car["predicted"]["pose"])
        world = np.load(out / f"{car['agent_id']}_world_pose.npy")
        np.testing.assert_array_equal(world, car["predicted"]["world_from_car"])
        assert np.load(out / f"{car['agent_id']}_range.npy").shape == (14, 84)
    assert (out / "cloud.ply").is_file()
    turned = infer(run, "68", "--main", "207")
    assert [car["agent_id"] for car in turned["cars"]] == ["207", "1045"]


def test_poses_in_the_world_are_those_of_the_folders_files(run: RunFolder) -> None:
    """M041: the main car is where its file says, and the partner as far from where its own says."""
    told = infer(run, "68", "--split", "validate")
    files = root_of(run) / "validate" / told["scenario"]
    main, partner = told["cars"]
    assert main["is_main"] and "(y, -z, x)" in told["world_frame"]

    def true_pose(agent: str) -> np.ndarray:
        wanted = Wanted(root=root_of(run), frame="68", split="validate", main=agent)
        return gather_wanted(open_trained(run).config, wanted).cars[0].row["world_from_car"]

    truth = [true_pose(car["agent_id"]) for car in (main, partner)]
    said = [np.asarray(car["predicted"]["world_from_car"]) for car in (main, partner)]
    np.testing.assert_allclose(said[0], truth[0], atol=1e-6)
    off = np.linalg.norm(said[1][:3, 3] - truth[1][:3, 3])
    assert off == pytest.approx(partner["predicted"]["error_m"], rel=1e-6) and off > 0.1
    (file,) = files.glob(f"{main['agent_id']}/000068.yaml")
    text = yaml.safe_load(file.read_text())
    where = [pose for name, pose in text.items() if name in ("true_ego_pos", "lidar_pose")]
    seen = points_to_unreal(said[0][:3, 3])
    assert any(np.allclose(pose[:2], seen[:2], atol=1e-3) for pose in where)


def test_what_cannot_be_asked_is_said(run: RunFolder, tmp_path: Path) -> None:
    root = root_of(run)
    cases = (
        (("infer", "--root", root, "--frame", "99"), "no frame 000099"),
        (("infer", "--root", root, "--frame", "72"), "fewer than 2 cars"),
        (("infer", "--root", root, "--frame", "68", "--scenario", "x"), "no scenario x"),
        (("infer", "--root", root, "--frame", "68", "--main", "5"), "no car 5"),
        (("infer", "--root", root, "--frame", "68", "--max-distance", "0"), "--max-distance: 0 m"),
        (("infer", "--root", root, "--frame", "68", "--checkpoint", "7"), "7 is no checkpoint"),
        (("render", "--pose-source", "pred", "--index", "9", "--out", tmp_path / "o"), "9 is not"),
    )
    for arguments, words in cases:
        _, error = command(run, *arguments)
        assert isinstance(error, ConfigError) and exit_code(error) == 2, arguments
        assert words in error.message, error.message
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (None, 2),
        ('{"best": null}', 2),
        ('{"best": "step-00000001"}', 1),
        ('{"best": "step-00000009"}', "--checkpoint: last, or a step: 1, 2"),
        ('{"best": 7}', "is not there"),
        ("{}", "names no best"),
        ("[1]", "names no best"),
        ("{", "index.json"),
    ],
)
def test_the_best_is_what_the_index_names_and_the_last_before_anything_is_validated(
    run: RunFolder, tmp_path: Path, index: str | None, expected: int | str
) -> None:
    copy = RunFolder(tmp_path / "run")
    shutil.copytree(run.stages / "train", copy.stages / "train")
    file = copy.stages / "train" / "checkpoints" / "index.json"
    file.unlink()
    if index is not None:
        file.write_text(index)
    if isinstance(expected, int):
        assert checkpoint_of(copy, "best").step == expected
        return
    with pytest.raises(StorageError) as caught:
        checkpoint_of(copy, "best")
    assert expected in str(caught.value) and exit_code(caught.value) == 6


def test_a_model_that_diverged_is_refused_by_its_numbers(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "run")
    shutil.copytree(run.path, copy.path)
    state = open_trained(run).twins.state_dict()
    states: tuple[dict[str, Any], ...] = (
        {"model": {name: value * math.nan for name, value in state.items()}},
        {"model": dict.fromkeys(state, 1)},
        {},
    )
    words = ("not finite, at step 3", "no weights under 'model'", "no weights under 'model'")
    for content, expected in zip(states, words, strict=True):
        checkpoints.save(copy.stages / "train", {**content, "step": 3}, card={}, metrics={})
        asked = ("--root", root_of(run), "--frame", "68", "--checkpoint", "3")
        _, error = command(copy, "infer", *asked)
        assert isinstance(error, GimbalError) and expected in str(error), error


def test_runs_that_have_no_model_for_panoramas_are_refused(run: RunFolder, tmp_path: Path) -> None:
    config = (run.config_file).read_text()
    untrained, pictures = tmp_path / "untrained", tmp_path / "pictures"
    for folder in (untrained, pictures):
        shutil.copytree(run.path, folder)
    start, _, rest = config.partition("\ntrain:")
    after = rest[rest.index("\n") + 1 :].splitlines()
    kept = after[next(n for n, line in enumerate(after) if not line.startswith(" ")) :]
    (untrained / "config.yaml").write_text("\n".join([start, "train: null", *kept]))
    pictured = config.replace("views: panoramas", "views: cameras")
    (pictures / "config.yaml").write_text(pictured)
    for folder, words in ((untrained, "no stage 'train'"), (pictures, "samples.views: cameras")):
        _, error = command(RunFolder(folder), "render", "--pose-source", "pred", "--out", folder)
        assert isinstance(error, ConfigError) and words in error.message, error
    shutil.rmtree(untrained / "stages" / "train")
    (untrained / "config.yaml").write_text(config)
    _, error = command(RunFolder(untrained), "render", "--geometry", "pred", "--out", tmp_path)
    assert isinstance(error, ConfigError) and "no checkpoint" in error.message


def test_a_moment_is_shown_as_the_model_sees_it(run: RunFolder, tmp_path: Path) -> None:
    """M049: which weights, config and commit made it is kept; numbers are those of `infer`."""
    told, error = command(
        run, "render", "--pose-source", "pred", "--index", 1, "--max-points", 9, "--out", tmp_path
    )
    assert error is None, error
    answer = infer(run, "70")
    assert told["pose_rmse"] == pytest.approx(answer["pose_rmse"], rel=1e-6)
    assert told["checkpoint"] == answer["checkpoint"] and told["checkpoint"]["step"] == 1
    assert told["made_by"]["commit"] == "0" * 40 and "tiny" in told["made_by"]["config_yaml"]
    assert (tmp_path / "test_idx1_pred_pointcloud.html").is_file()
    assert told["mean_pose_rmse"] == pytest.approx(0, abs=1e-6), "both cars never move"
    assert SampleSettings().max_distance_m != told["max_distance_m"] == 100.0
