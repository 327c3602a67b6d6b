"""A policy looks at one mesh: the folder is whole, numbers are the rollout's, errors are told."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image
from typer.testing import CliRunner

from gimbal.errors import ConfigError, GimbalError
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_folder import RunFolder
from gimbal_nbv.cli import app
from gimbal_nbv.fusion import PointCloud
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.playing import play as playing
from gimbal_nbv.playing.animation import MAX_BYTES, along, encode, moments
from gimbal_nbv.playing.folder import RECORD_FILE, write_rollout
from gimbal_nbv.playing.play import Play, Played
from gimbal_nbv.playing.scene import Scene, fresh_points, good_viewpoint
from gimbal_nbv.playing.splatting import Backdrop, draw_cloud
from gimbal_nbv.policies import FarthestPolicy, OracleCoverage, Policy
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.shapes import make_shape
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh, normalise

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"
SMALL = ["views.candidates=16", "views.image_size=32", "oracle.surface_samples=200"]
VIEWS = 3


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that has a config and no policy."""
    folder = tmp_path_factory.mktemp("runs")
    _, settings = load_experiment(SMOKE, [f"platform.runs_dir={folder}", *SMALL])
    RunFolder.create(folder, settings, ["gimbal", "run"])
    return folder


@pytest.fixture(scope="module")
def mug_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mesh = make_shape("mug", 3)
    path = tmp_path_factory.mktemp("meshes") / "mug.ply"
    trimesh.Trimesh(mesh.vertices, mesh.faces).export(path)
    return path


@pytest.fixture
def with_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run has policies: those that need no training."""

    def load(run: RunFolder, name: str) -> tuple[Policy, Any]:
        known: dict[str, Policy] = {"farthest": FarthestPolicy(), "oracle": OracleCoverage()}
        return known[name], load_experiment(run.config_file)[1]

    monkeypatch.setattr(playing, "load_policy", load)
    monkeypatch.setattr(playing, "policy_drift", lambda run: ())


def ask(runs_dir: Path, mesh: Path, out: Path, *more: str) -> Any:
    command = ["rollout", "--run", "latest", "--runs-dir", str(runs_dir), "--mesh", str(mesh)]
    command += ["--out", str(out), "--size", "64", "--views", str(VIEWS), "--policy", "farthest"]
    return CliRunner().invoke(app, [*command, *more])


def refused(result: Any) -> GimbalError:
    assert isinstance(result.exception, GimbalError), result.exception
    assert result.exception.remedy
    return result.exception


@pytest.mark.usefixtures("with_policies")
def test_the_folder_is_whole_and_its_numbers_are_the_rollouts(
    runs_dir: Path, mug_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mug"
    result = ask(runs_dir, mug_file, out, "--first-view", "5", "--json")
    assert result.exit_code == 0, result.exception
    record = json.loads(result.stdout)
    assert record["out"] == str(out)
    assert json.loads((out / RECORD_FILE).read_text()) == {
        key: value for key, value in record.items() if key != "out"
    }
    assert sorted(record["files"]) == sorted(path.name for path in out.iterdir())
    check_numbers(record)
    check_pictures(out)


def check_numbers(record: dict[str, Any]) -> None:
    assert record["views"][0] == 5
    assert len(set(record["views"])) == VIEWS
    assert record["coverage"] == sorted(record["coverage"])
    assert record["auc"] == pytest.approx(np.mean(record["coverage"]))
    assert list(record["compared"]) == ["oracle"], "farthest is not compared with itself"
    assert record["compared"]["oracle"]["coverage"][1] >= record["coverage"][1]
    for number, step in enumerate(record["steps"]):
        assert step["taken"] == record["views"][: number + 1]
        assert all(step["scores"][view] is None for view in step["taken"])
        open_scores = [score for score in step["scores"] if score is not None]
        assert step["scores"][step["chosen"]] == max(open_scores)
        gained = record["coverage"][number + 1] - record["coverage"][number]
        assert step["gain"] == pytest.approx(gained) and gained <= step["best_gain"]


def check_pictures(out: Path) -> None:
    points = []
    for step in range(1, VIEWS + 1):
        for kind in ("view", "cloud"):
            picture = np.asarray(Image.open(out / f"{kind}_{step:02d}.png"))
            assert picture.shape == (64, 64, 3)
            assert picture.std() > 5, "an empty picture"
        cloud: Any = trimesh.load(out / f"cloud_{step:02d}.ply")
        points.append(len(cloud.vertices))
    assert points == sorted(points) and points[0] < points[-1]
    movie: Any = Image.open(out / "rollout.gif")
    assert movie.n_frames > 2 * VIEWS
    assert (out / "rollout.gif").stat().st_size <= MAX_BYTES
    sheet = Image.open(out / "contact_sheet.png")
    assert sheet.width > VIEWS * 64 and sheet.height > 2 * 64


@pytest.mark.usefixtures("with_policies")
def test_a_full_folder_is_kept_unless_forced_and_strangers_files_always(
    runs_dir: Path, mug_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, older = tmp_path / "note.txt", tmp_path / "view_09.png"
    note.write_text("mine")
    older.write_text("of a longer rollout")
    error = refused(ask(runs_dir, mug_file, tmp_path))
    assert "is not empty" in error.message and "--force" in error.remedy
    assert older.exists()
    monkeypatch.setattr("gimbal_nbv.playing.folder.animate", lambda *_: b"GIF89a")
    assert ask(runs_dir, mug_file, tmp_path, "--force").exit_code == 0
    assert note.read_text() == "mine"
    assert not older.exists(), "a view of the older rollout would pass for one of this"


@pytest.mark.usefixtures("with_policies")
@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--views", "17"], "--views is 17"),
        (["--views", "1"], "--views is 1"),
        (["--first-view", "16"], "numbered from 0 to 15"),
        (["--first-view", "-1"], "numbered from 0 to 15"),
    ],
)
def test_impossible_numbers_are_refused(
    runs_dir: Path, mug_file: Path, tmp_path: Path, more: list[str], named: str
) -> None:
    error = refused(ask(runs_dir, mug_file, tmp_path / "out", *more))
    assert named in error.message
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("with_policies")
@pytest.mark.parametrize(
    ("content", "named"),
    [(b"ply\nformat nonsense\n", "broken.ply"), (None, "is not a file")],
)
def test_a_broken_file_is_named(
    runs_dir: Path, tmp_path: Path, content: bytes | None, named: str
) -> None:
    path = tmp_path / "broken.ply"
    if content is not None:
        path.write_bytes(content)
    assert named in refused(ask(runs_dir, path, tmp_path / "out")).message


@pytest.mark.usefixtures("with_policies")
def test_a_flat_object_has_nothing_to_choose(runs_dir: Path, tmp_path: Path) -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    path = tmp_path / "sheet.ply"
    trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]]).export(path)
    error = refused(ask(runs_dir, path, tmp_path / "out"))
    assert "nothing to choose" in error.message
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_policy_says_so(runs_dir: Path, mug_file: Path, tmp_path: Path) -> None:
    error = refused(ask(runs_dir, mug_file, tmp_path / "out"))
    assert isinstance(error, ConfigError)
    assert "no finished stage 'train'" in error.message


def test_a_great_circle_is_walked_evenly_also_to_the_far_side() -> None:
    a, b = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    for end in (b, -a, a):
        way = np.stack([along(a, end, share) for share in np.linspace(0, 1, 9)])
        np.testing.assert_allclose(np.linalg.norm(way, axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(way[[0, -1]], [a, end], atol=1e-7)
        steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
        np.testing.assert_allclose(steps, steps[0], atol=1e-12)


def test_a_journey_stops_at_every_view() -> None:
    directions = np.eye(3)
    frames = list(moments(directions))
    stops = [frame for frame in frames if frame.arrived]
    np.testing.assert_array_equal([stop.direction for stop in stops], directions)
    assert [stop.step for stop in stops] == [0, 1, 2]
    assert all(np.isclose(np.linalg.norm(frame.direction), 1) for frame in frames)


def test_frames_keep_their_durations() -> None:
    pictures = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 90, 180)]
    movie: Any = Image.open(io.BytesIO(encode(pictures, [60, 1000, 200], 16)))
    durations = []
    for frame in range(movie.n_frames):
        movie.seek(frame)
        durations.append(movie.info["duration"])
    assert durations == [60, 1000, 200]


def one_point(z: float) -> PointCloud:
    return PointCloud(
        points=np.array([[0, 0, z]], np.float32),
        normals=np.array([[0, 0, 1]], np.float32),
        colors=np.array([[200, 40, 40]], np.uint8),
        view=np.zeros(1, np.int32),
    )


@pytest.mark.parametrize(("z", "drawn"), [(0.2, True), (-0.2, False)])
def test_points_on_the_far_side_are_hidden(z: float, drawn: bool) -> None:
    """A wall at z = .2, seen from above: what lies on it shows, what lies behind it does not."""
    pose = np.diag([1.0, -1, -1, 1])
    pose[2, 3] = 1.5
    camera = PinholeCameras.from_fov(pose[None], 42.0, 32, 32)
    wall = np.full((32, 32), 1.3, np.float32)
    wall[:, :4] = 0
    backdrop = Backdrop(camera=camera, image=np.zeros((32, 32, 3), np.uint8), depth=wall)
    spacing = np.full(1, 0.1, np.float32)
    image = draw_cloud(backdrop, one_point(z), np.zeros(1, np.bool_), spacing)
    assert bool(image.any()) is drawn
    wide = draw_cloud(backdrop, one_point(z), np.zeros(1, np.bool_), 20 * spacing)
    assert not wide[:, :4].any(), "a disc reaches beyond the object's outline"


def test_new_is_what_no_earlier_view_was_near_to() -> None:
    points = np.array([[0, 0, 0], [0.001, 0, 0], [0.5, 0, 0]], np.float32)
    cloud = PointCloud(points=points, normals=None, colors=None, view=np.array([0, 1, 1], np.int32))
    assert fresh_points(cloud, 1, 0.01).tolist() == [False, False, True]
    first = PointCloud(points=points, normals=None, colors=None, view=np.zeros(3, np.int32))
    assert not fresh_points(first, 0, 0.01).any()


def test_the_viewpoint_is_above_and_sees_the_growth(mug_oracle: OracleMap) -> None:
    views = [3, 9, 14]
    chosen = good_viewpoint(mug_oracle, views, np.array([0, 0, 1.0]))
    assert 0.15 <= chosen[2] <= 0.75
    turned = good_viewpoint(mug_oracle, views, np.array([0, 1.0, 0]))
    assert 0.15 <= turned[1] <= 0.75


def test_an_object_fills_its_pictures(small_protocol: SphereProtocol) -> None:
    thin = normalise(Mesh(np.array([[0, 0, 0], [0.2, 0, 0], [0, 0, 1], [0, 0.2, 0.5]]), FACES))
    scene = Scene(mesh=thin, protocol=small_protocol, size=64)
    camera = scene.cameras(np.array([1.0, 0, 0]), 64)
    reach = np.abs(camera.project(thin.vertices)[0] - 32).max()
    assert reach == pytest.approx(0.86 * 32)


FACES = np.array([[0, 1, 2], [0, 2, 3], [1, 3, 2], [0, 3, 1]], np.int32)


def test_no_record_without_its_files(
    mug_oracle: OracleMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash on the way leaves no rollout.json, so a reader never takes half a folder for one."""
    rollout = roll_out(FarthestPolicy(), mug_oracle, [0], 2)
    mesh = normalise(make_shape("mug", 3))
    play = Play(reference="r", runs_dir=tmp_path, mesh=Path("mug.ply"), views=2)
    run = RunFolder(tmp_path / "e" / "r")
    played = Played(
        play=play, run=run, drift=(), mesh=mesh, oracle=mug_oracle, rollout=rollout, others={}
    )
    scene = Scene(mesh=mesh, protocol=replace(mug_oracle.protocol), size=64)

    def broken(*_: Any) -> bytes:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr("gimbal_nbv.playing.folder.animate", broken)
    with pytest.raises(RuntimeError):
        write_rollout(played, scene, tmp_path / "out", lambda words: None)
    assert (tmp_path / "out" / "view_01.png").exists()
    assert not (tmp_path / "out" / RECORD_FILE).exists()
