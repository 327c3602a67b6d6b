"""Stage `cameras`: four pictures a car in a fixed order, in one world with the panoramas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from multicar_opv2v_support import car_frame, depths, pictures
from panorama_rows_support import AGENTS, FRAMES, settings, write_set

from gimbal.errors import ConfigError
from gimbal.experiment.fingerprint import stage_fingerprint
from gimbal_multicar.camera_rows import VIEW_CAMERAS, VIEWS_FROM_FILES, camera_row, nearest
from gimbal_multicar.config import DataSettings, PanoramaSettings, SyntheticSettings
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.learning.settings import CameraViewSettings
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.row_reading import camera_of
from gimbal_multicar.rows import RowSource
from gimbal_multicar.stages.cameras import cameras_stage
from gimbal_multicar.stages.panoramas import panoramas_stage
from gimbal_vision.cameras import Pinhole
from gimbal_vision.panoramas.rig import Rig, RigCamera

VIEW = CameraViewSettings(width=112, height=84)
MADE = DataSettings(
    panorama=PanoramaSettings(width=288, height=48),
    synthetic=SyntheticSettings(scenarios=1, agents=1, frames=1),
)
SOURCE = RowSource(source="opv2v", depth_source="npy", depth_density=1.0)


@pytest.fixture(scope="module")
def rows() -> tuple[dict[str, Any], dict[str, Any]]:
    """The panorama and the pictures of one made car."""
    stages = panoramas_stage(MADE, seed=2), cameras_stage(MADE, VIEW, seed=2)
    assert stages[0].items({}) == stages[1].items({})
    panorama, pictured = (dict(next(iter(s.rows(s.items({})[0], {})))) for s in stages)
    return panorama, pictured


def median_disagreement(
    panorama: dict[str, Any], row: dict[str, Any], poses: np.ndarray
) -> list[float]:
    """For each picture: how far, relatively, its points are from where the panorama has them."""
    camera = camera_of(panorama)
    found = []
    for view in range(4):
        model = Pinhole.from_matrix(row["K"][view], VIEW.height, VIEW.width)
        local = (model.rays() * row["range_m"][view][..., None])[row["valid"][view]]
        points = local @ poses[view][:3, :3].T + poses[view][:3, 3]
        pixels, distance = camera.project(points)
        u, v = np.floor(pixels.T).astype(int)
        inside = (v >= 0) & (v < camera.height)
        known = panorama["valid"][v[inside], u[inside]]
        seen = panorama["range_m"][v[inside], u[inside]][known]
        found.append(float(np.median(np.abs(seen / distance[inside][known] - 1.0))))
    return found


def test_what_a_picture_shows_is_where_the_panorama_sees_it(rows: Any) -> None:
    panorama, row = rows
    assert (panorama["world_from_car"] == row["world_from_car"]).all()
    for key in ("split", "scenario", "agent_id", "frame", "label", "source"):
        assert panorama[key] == row[key]
    assert max(median_disagreement(panorama, row, row["car_from_camera"])) < 0.03


def test_the_files_order_taken_for_the_views_order_turns_the_world_about(rows: Any) -> None:
    """The mix-up that the permutation prevents: all but the front look elsewhere."""
    in_file_order = nominal_opv2v_rig().car_from_cameras
    front, *others = median_disagreement(*rows, in_file_order)
    assert front < 0.03
    assert min(others) > 0.1
    as_views = in_file_order[list(VIEWS_FROM_FILES)]
    assert max(median_disagreement(*rows, as_views)) < 0.03


def test_the_views_go_around_the_car_to_the_left(rows: Any) -> None:
    axes = rows[1]["car_from_camera"][:, :3, 2]
    assert axes[0][2] > 0.99 and axes[2][2] < -0.99, "front ahead, rear behind"
    assert axes[1][0] < -0.9 and axes[3][0] > 0.9, "left to the left, right to the right"
    assert VIEW_CAMERAS == ("camera0", "camera2", "camera3", "camera1")


def test_a_camera_under_another_name_is_refused() -> None:
    car = car_frame(Path())
    left, right = (car.rig.only([name]).cameras[0] for name in ("camera2", "camera1"))
    swapped = [
        *car.rig.only(["camera0", "camera3"]).cameras,
        RigCamera("camera1", left.camera, left.car_from_camera),
        RigCamera("camera2", right.camera, right.car_from_camera),
    ]
    car = replace(car, rig=Rig(tuple(swapped)))
    with pytest.raises(DatasetError, match=r"like the \w+ view"):
        camera_row(car, pictures(car), {}, SOURCE, VIEW)


def test_a_missing_camera_is_absent_and_changes_nothing_else() -> None:
    """OPV2V's train/2021_09_09_13_20_58 has no camera3: the rear view."""
    car, view = car_frame(Path()), CameraViewSettings(width=20, height=14)
    images, ranges = pictures(car), depths(car)
    whole = camera_row(car, images, ranges, SOURCE, view)
    part = camera_row(
        car, {n: i for n, i in images.items() if n != "camera3"}, ranges, SOURCE, view
    )
    assert whole["present"].all()
    assert part["present"].tolist() == [True, True, False, True]
    assert not part["valid"][2].any() and not part["non_ambiguous"][2].any()
    for name in ("rgb", "range_m", "valid", "non_ambiguous", "K", "car_from_camera"):
        np.testing.assert_array_equal(part[name][[0, 1, 3]], whole[name][[0, 1, 3]])
    with pytest.raises(DatasetError, match="picture of none"):
        camera_row(car, {}, {}, SOURCE, view)


def test_real_pictures_are_scaled_by_area_and_depth_by_the_nearest_pixel(tmp_path: Path) -> None:
    root = write_set(tmp_path / "opv2v")
    stage = cameras_stage(settings(root), CameraViewSettings(width=20, height=15), seed=0)
    row = next(iter(stage.rows(stage.items({})[0], {})))
    assert (row["agent_id"], row["frame"]) == (AGENTS[0], FRAMES[0])
    car = car_frame(root, AGENTS[0], FRAMES[0])
    large = pictures(car)["camera2"].reshape(15, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(row["rgb"][1] - large).max() <= 1, "view 1, left, is the mean of 2 x 2 pixels"
    metres = 12.5 + np.array(VIEWS_FROM_FILES)
    z = row["range_m"] / np.stack(
        [Pinhole.from_matrix(K, 15, 20).range_per_depth() for K in row["K"]]
    )
    np.testing.assert_allclose(z, np.broadcast_to(metres[:, None, None], z.shape), rtol=1e-5)
    assert row["K"][0, 0, 0] == pytest.approx(car.rig.cameras[0].camera.fx / 2)


def test_the_nearest_pixel_lies_under_the_centre() -> None:
    depth = np.arange(60, dtype=np.float32).reshape(6, 10)
    np.testing.assert_array_equal(nearest(depth, 2, 2), [[12, 17], [42, 47]])
    np.testing.assert_array_equal(nearest(depth, 6, 10), depth)


def test_the_lidar_is_thrown_into_the_small_picture(tmp_path: Path) -> None:
    """Scaling its sparse depth would lose most of its points."""
    root = write_set(tmp_path / "opv2v", depth=False)
    stage = cameras_stage(settings(root), CameraViewSettings(width=20, height=15), seed=0)
    row = next(iter(stage.rows(stage.items({})[0], {})))
    assert row["depth_source"] == "lidar"
    assert row["valid"].mean() > 2 * row["depth_density"] > 0


def test_the_fingerprint_follows_the_pictures_and_not_the_panorama() -> None:
    other = MADE.model_copy(update={"panorama": PanoramaSettings(width=72, height=12)})
    digests = [
        stage_fingerprint(cameras_stage(data, view, seed), {}).digest
        for data, view, seed in (
            (MADE, VIEW, 0),
            (other, VIEW, 0),
            (MADE, CameraViewSettings(width=56, height=42), 0),
            (MADE, VIEW, 1),
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    with pytest.raises(ConfigError, match="legacy_crop"):
        cameras_stage(DataSettings(root=Path("x"), legacy_crop=True), VIEW, 0)


def test_pictures_have_the_exposures_of_the_panorama() -> None:
    """One car's left camera is as bright in its picture as in its panorama."""
    bright = MADE.model_copy(update={"exposure_jitter": 0.5})
    gains = []
    for make in (
        lambda data: panoramas_stage(data, seed=2),
        lambda data: cameras_stage(data, VIEW, seed=2),
    ):
        plain, changed = (
            next(iter(make(d).rows(make(d).items({})[0], {}))) for d in (MADE, bright)
        )
        for camera in range(4):
            own = (
                plain["camera_index"] == camera
                if "camera_index" in plain
                else np.array(VIEWS_FROM_FILES) == camera
            )
            before, after = plain["rgb"][own].astype(float), changed["rgb"][own]
            middle = (before > 60) & (before < 120) & (after < 250)
            gains.append(float(np.median(after[middle] / before[middle])))
    np.testing.assert_allclose(gains[:4], gains[4:], rtol=0.06)
    assert np.ptp(gains[:4]) > 0.2
