"""`gimbal multicar render`: all cars' points mean one world, and every file says what it says.

Points are checked without the code that placed them: from ranges and poses in the world, and by
what one car hides from another.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panorama_rows_support import write_set
from PIL import Image
from typer.testing import CliRunner

from gimbal.cli.border import exit_code
from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.errors import ConfigError
from gimbal_multicar.cli import app
from gimbal_multicar.clouds.boxes import EDGES, points_in
from gimbal_multicar.clouds.folder import write_moment
from gimbal_multicar.clouds.gathering import cars_of, gather_stage
from gimbal_multicar.clouds.measuring import car_numbers
from gimbal_multicar.clouds.moment import Gathered
from gimbal_multicar.clouds.picturing import BACKGROUND, HEIGHT, WIDTH, cloud_picture
from gimbal_multicar.clouds.traces import thinned
from gimbal_multicar.clouds.views import METRES_PER_UNIT, displayed, space_of, viewpoints
from gimbal_multicar.config import DataSettings, PanoramaSettings, SyntheticSettings
from gimbal_multicar.cooperation import CoopRule
from gimbal_multicar.opv2v.model import VehicleBox
from gimbal_multicar.stages.panoramas import panoramas_stage
from gimbal_vision.cameras.pointmaps import point_map
from gimbal_vision.lie import so3_exp
from gimbal_vision.poses import make_pose

DATA = DataSettings(
    panorama=PanoramaSettings(width=256, height=48),
    synthetic=SyntheticSettings(scenarios=1, agents=3, frames=1),
)
RECORD = {"run_id": "2024-01-01-a", "commit": "abc", "config_yaml": "seed: 1"}
RED, GREEN = (255, 0, 0), (0, 255, 0)
SMALL = ("data.panorama.width=72", "data.panorama.height=12")


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    folder = tmp_path_factory.mktemp("panoramas")
    write_stage(panoramas_stage(DATA, seed=1), {}, folder, execute=run_here)
    return gather_stage(folder, ("train", 0), CoopRule(max_distance_m=200), RECORD)


@pytest.fixture(scope="module")
def written(gathered: Gathered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("look")
    write_moment(gathered, out, max_points=500, force=False)
    return out


def summary(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "train_idx0_gtpose_summary.json").read_text())
    return found


def test_points_are_where_ranges_and_poses_in_the_world_put_them(
    gathered: Gathered, written: Path
) -> None:
    main_from_world = np.linalg.inv(gathered.cars[0].row["world_from_car"])
    for car in gathered.cars:
        views = written / "train_idx0_views"
        ranges, pose, points = (
            np.load(views / f"{car.agent}_{what}.npy") for what in ("depth", "pose", "points")
        )
        world = point_map(car.camera, ranges, car.row["world_from_car"])
        expected = world.points[world.known] @ main_from_world[:3, :3].T + main_from_world[:3, 3]
        np.testing.assert_allclose(points, expected, atol=2e-3)
        np.testing.assert_allclose(pose, main_from_world @ car.row["world_from_car"], atol=1e-9)
        assert ((ranges > 0) == car.row["valid"]).all()


def test_cars_at_their_true_poses_agree_and_a_mirrored_one_does_not(gathered: Gathered) -> None:
    main = gathered.cars[0]
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    world_from_main = np.asarray(main.row["world_from_car"])
    for car in gathered.cars[1:]:
        sound = car_numbers(car, main)
        wrong = {"world_from_car": world_from_main @ mirror @ car.main_from_car @ mirror}
        mirrored = car_numbers(cars_of([main.row, {**car.row, **wrong}])[1], main)
        for how in ("main_sees_through_it", "it_sees_through_main"):
            assert sound[how]["share"] < 0.1 and not sound[how]["suspect"]
        assert mirrored["main_sees_through_it"]["suspect"]
    assert car_numbers(main, main)["main_sees_through_it"] is None


def test_pictures_and_the_cloud_hold_what_the_rows_hold(gathered: Gathered, written: Path) -> None:
    import trimesh

    numbers = summary(written)
    there = {str(p.relative_to(written)) for p in written.rglob("*") if p.is_file()}
    assert there == set(numbers["files"])
    for car in gathered.cars:
        views = written / "train_idx0_views"
        rgb, depth, mask = (
            np.asarray(Image.open(views / f"{car.agent}_{what}.png"))
            for what in ("rgb", "depth", "mask")
        )
        assert (rgb == car.row["rgb"]).all()
        assert (depth.any(axis=-1) == car.row["valid"]).all()
        assert len(np.unique(mask.reshape(-1, 3), axis=0)) > 1
        cloud = np.asarray(Image.open(views / f"{car.agent}_cloud.png"))
        assert (cloud != BACKGROUND).any(axis=-1).mean() > 0.1
    merged = trimesh.load(written / "train_idx0.ply")
    points = np.concatenate([car.points_main for car in gathered.cars])
    np.testing.assert_allclose(merged.vertices, points, atol=1e-5)
    colours = np.concatenate([car.colours for car in gathered.cars])
    assert (merged.colors[:, :3] == colours).all()


def test_the_summary_tells_poses_ranges_masks_bounds_and_what_made_it(
    gathered: Gathered, written: Path
) -> None:
    numbers = summary(written)
    assert numbers["made_by"] == RECORD
    assert [c["agent_id"] for c in numbers["cars"]] == list(gathered.moment.agents)
    assert numbers["cars"][0]["distance_m"] == numbers["cars"][0]["rotation_deg"] == 0
    points = np.concatenate([car.points_main for car in gathered.cars])
    assert numbers["points"] == len(points) == sum(c["points"] for c in numbers["cars"])
    np.testing.assert_allclose(numbers["bounds_m"]["max"], points.max(axis=0), atol=1e-3)
    for car, told, metres in zip(
        gathered.cars, numbers["cars"], gathered.moment.distances_m, strict=True
    ):
        valid, surface = np.asarray(car.row["valid"]), np.asarray(car.row["non_ambiguous"])
        assert told["distance_m"] == pytest.approx(metres)
        assert told["valid_ratio"] == pytest.approx(valid.sum() / surface.sum())
        assert told["range_m"]["median"] == pytest.approx(np.median(car.row["range_m"][valid]))
        turn = np.trace(car.main_from_car[:3, :3])
        angle = np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1)))
        assert told["rotation_deg"] == pytest.approx(angle, abs=1e-3)
    assert numbers["boxes"]["count"] > 3
    assert 0.5 < numbers["boxes"]["with_points"] / numbers["boxes"]["count"] <= 1
    page = (written / "train_idx0_pointcloud.html").read_text()
    assert "500" in page and "2024-01-01-a" in page and all(a in page for a in ("car0", "above"))


def test_a_moment_is_replaced_only_when_asked_and_others_stay(
    gathered: Gathered, tmp_path: Path
) -> None:
    def write(force: bool) -> None:
        write_moment(gathered, tmp_path, max_points=10, force=force)

    (tmp_path / "train_idx01_summary.json").write_text("mine")
    write(False)
    with pytest.raises(ConfigError, match="already holds train_idx0"):
        write(False)
    write(True)
    (tmp_path / "train_idx0_views" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        write(True)
    assert (tmp_path / "train_idx0_views" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "train_idx01_summary.json").read_text() == "mine"


def test_from_above_right_is_right_and_ahead_is_up(gathered: Gathered) -> None:
    """Nothing is mirrored on the way from OpenCV's axes to the eye."""
    above = viewpoints(gathered.cars)["above"]
    middle = np.array([above.eye[0], -above.target[2], above.eye[1]])
    points = middle + np.array([[8.0, 0, 0], [0, 0, 8.0]])
    picture = cloud_picture(points, np.array([RED, GREEN], np.uint8), above)
    (right,) = np.argwhere((picture == RED).all(axis=-1))[:1]
    (ahead,) = np.argwhere((picture == GREEN).all(axis=-1))[:1]
    assert right[1] > WIDTH / 2 + 10 and abs(right[0] - HEIGHT / 2) < 4
    assert ahead[0] < HEIGHT / 2 - 10 and abs(ahead[1] - WIDTH / 2) < 4


def test_the_nearer_of_two_points_is_drawn(gathered: Gathered) -> None:
    view = viewpoints(gathered.cars)["car0"]
    near_last = np.array([[0, 0, 20.0], [0, 0, 5.0]])
    for order in ([0, 1], [1, 0]):
        colours = np.array([RED, GREEN], np.uint8)[order]
        picture = cloud_picture(near_last[order], colours, view)
        assert (picture[HEIGHT // 2, WIDTH // 2] == GREEN).all()


def test_cameras_of_the_page_stand_where_the_viewpoints_are(gathered: Gathered) -> None:
    points = np.concatenate([displayed(car.points_main) for car in gathered.cars])
    space = space_of(points)
    assert (space.low < points.min(axis=0)).all() and (space.high > points.max(axis=0)).all()
    for number, car in enumerate(gathered.cars):
        view = viewpoints(gathered.cars)[f"car{number}"]
        eye = [space.camera(view)["eye"][axis] for axis in "xyz"]
        place = np.array(eye) * METRES_PER_UNIT + (space.low + space.high) / 2
        x, y, z = car.main_from_car[:3, 3]
        np.testing.assert_allclose(place, [x, z, -y], atol=1e-3)


def test_points_are_counted_in_a_turned_box() -> None:
    pose = make_pose(so3_exp(np.array([0.0, 0.7, 0.1])), np.array([5.0, 1.0, 20.0]))
    box = VehicleBox("7", pose, np.array([1.0, 0.8, 2.3]), 0.0)
    random = np.random.default_rng(0)
    local = random.uniform(-4, 4, (4000, 3))
    inside = (np.abs(local) <= box.half_extent_m + 0.2).all(axis=1)
    points = local @ pose[:3, :3].T + pose[:3, 3]
    assert points_in(points, {"7": box.corners_world()}).tolist() == [inside.sum()]
    corners = box.corners_world()
    lengths = sorted(np.linalg.norm(corners[a] - corners[b]) for a, b in EDGES)
    np.testing.assert_allclose(lengths, sorted([2.0] * 4 + [1.6] * 4 + [4.6] * 4))


def test_every_car_keeps_the_same_share_of_its_points() -> None:
    kept = thinned([1000, 3000, 0], 400)
    assert [len(rows) for rows in kept] == [100, 300, 0]
    assert all(len(set(rows.tolist())) == len(rows) for rows in kept)
    assert [len(rows) for rows in thinned([10, 5], 100)] == [10, 5]


def render(*arguments: object) -> tuple[str, BaseException | None]:
    result = CliRunner().invoke(app, ["render", *map(str, arguments), "--json"])
    return result.stdout, result.exception


def test_the_command_counts_cooperative_moments_of_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Car 207 is missing at the last of three moments, so there are two."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root, out = write_set(tmp_path / "opv2v"), tmp_path / "look"
    stdout, error = render("--root", root, "--index", 1, "--out", out, *SMALL)
    assert error is None
    told = json.loads(stdout.splitlines()[-1])
    assert [car["agent_id"] for car in told["cars"]] == ["1045", "207"]
    assert told["frame_id"] == "000070" and told["cars"][1]["distance_m"] == pytest.approx(10)
    assert (out / "train_idx1_pointcloud.html").is_file() and told["made_by"]["config_yaml"]
    for arguments, words in (
        (("--root", root, "--index", 2), "2 cooperative moments of train"),
        (("--root", root, "--max-distance", 5), "within 5 m"),
        (("--root", root, "--pose-source", "pred"), "'train'"),
        (("--root", root, "--run", "latest"), "--root, data.panorama.width=72"),
        (("--root", root, "--max-distance", 0), "max_distance_m=0"),
        ((), "neither --root nor --run"),
    ):
        _, error = render(*arguments, "--out", tmp_path / "other", *SMALL)
        assert isinstance(error, ConfigError) and exit_code(error) == 2, arguments
        assert words in error.message, error.message
    assert not (tmp_path / "other").exists()
