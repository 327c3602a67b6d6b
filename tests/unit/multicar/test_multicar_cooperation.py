"""Cooperating cars as views: who belongs together, and that all views mean one world.

The geometry is tested without our own pose code: what one car measures must be where another car
sees it.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.errors import ConfigError
from gimbal_multicar.config import DataSettings, PanoramaSettings, SyntheticSettings
from gimbal_multicar.cooperation import CoopPanoramas, SeenThrough, coop_moments, seen_through
from gimbal_multicar.cooperation.moments import CoopRule
from gimbal_multicar.cooperation.views import normalised
from gimbal_multicar.row_reading import camera_of
from gimbal_multicar.stages.panoramas import panoramas_stage
from gimbal_vision.cameras import Equirectangular

WIDTH, HEIGHT = 256, 48
DATA = DataSettings(
    panorama=PanoramaSettings(width=WIDTH, height=HEIGHT),
    synthetic=SyntheticSettings(scenarios=1, agents=3, frames=2),
)


@pytest.fixture(scope="module")
def stage_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panoramas")
    write_stage(panoramas_stage(DATA, seed=1), {}, folder, execute=run_here)
    return folder


def columns(places: dict[str, float], frame: str = "000068") -> dict[str, Any]:
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    poses[:, 2, 3] = list(places.values())
    n = len(places)
    return {
        "split": ["train"] * n,
        "scenario": ["s"] * n,
        "frame": [frame] * n,
        "agent_id": list(places),
        "world_from_car": poses,
    }


def test_the_main_car_is_first_and_partners_follow_by_distance() -> None:
    table = columns({"207": 0.0, "1045": 50.0, "99": 20.0, "3": 111.0})
    (moment,) = coop_moments(table, CoopRule(max_distance_m=60))
    assert moment.agents == ("1045", "99", "207")
    assert moment.rows == (1, 2, 0)
    assert moment.distances_m == (0.0, 30.0, 50.0)
    assert moment.num_views == 3


def test_every_car_may_be_the_main_one_and_a_lone_car_makes_no_sample() -> None:
    table = columns({"1": 0.0, "2": 10.0, "3": 500.0})
    mains = [m.agents for m in coop_moments(table, CoopRule(main="each"))]
    assert mains == [("1", "2"), ("2", "1")]
    alone = coop_moments(table, CoopRule(min_cars=1, max_cars=1, main="each"))
    assert [m.agents for m in alone] == [("1",), ("2",), ("3",)]


def test_samples_do_not_depend_on_the_order_of_rows() -> None:
    table = columns({"1": 0.0, "2": 10.0, "3": 20.0})
    mixed = {
        k: v[[2, 0, 1]] if k == "world_from_car" else [v[2], v[0], v[1]] for k, v in table.items()
    }
    (here,), (there,) = coop_moments(table, CoopRule()), coop_moments(mixed, CoopRule())
    assert here.agents == there.agents
    assert here.distances_m == there.distances_m


@pytest.mark.parametrize(
    "wrong", [{"max_distance_m": 0.0}, {"min_cars": 0}, {"min_cars": 3, "max_cars": 2}]
)
def test_a_rule_nothing_can_follow_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CoopRule(**wrong)


def test_views_have_the_keys_shapes_and_types_a_model_reads(stage_dir: Path) -> None:
    data = CoopPanoramas(stage_dir, rule=CoopRule(max_distance_m=200))
    assert len(data) == 2
    views = data[0]
    assert len(views) == data.moments[0].num_views == 3
    for view in views:
        assert view["img"].shape == (3, HEIGHT, WIDTH)
        assert view["ray_directions_cam"].shape == (HEIGHT, WIDTH, 3)
        assert view["depth_along_ray"].shape == (HEIGHT, WIDTH, 1)
        assert view["pts3d"].shape == view["pts3d_cam"].shape == (HEIGHT, WIDTH, 3)
        assert view["camera_model"] == "equirectangular"
        assert view["virtual_camera"]["fx"] == pytest.approx(WIDTH / (2 * np.pi))
        assert view["virtual_camera"]["fov_vertical"] == pytest.approx(60)
        arrays = [v for v in view.values() if isinstance(v, np.ndarray)]
        assert {a.dtype.name for a in arrays} == {"float32", "bool"}
        assert all(np.isfinite(a).all() for a in arrays)
        unit = np.linalg.norm(view["ray_directions_cam"], axis=-1)
        np.testing.assert_allclose(unit, 1, atol=1e-6)
        assert not view["depth_along_ray"][~view["valid_mask"]].any()
        assert view["is_synthetic"]
        assert view["has_depth"]
    assert len({v["label"] for v in views}) == 3


def test_view_zero_is_the_frame_and_the_others_are_metres_away(stage_dir: Path) -> None:
    views = CoopPanoramas(stage_dir, rule=CoopRule(max_distance_m=200))[0]
    np.testing.assert_array_equal(views[0]["camera_pose"], np.eye(4))
    np.testing.assert_array_equal(views[0]["camera_pose_quats"], [0, 0, 0, 1])
    for view in views[1:]:
        assert np.linalg.norm(view["camera_pose_trans"]) > 3


def test_what_one_car_measures_is_where_another_sees_it(stage_dir: Path) -> None:
    """A measured surface hides what is behind it from all cars; in a mirrored world not."""
    data = CoopPanoramas(stage_dir, rule=CoopRule(max_distance_m=200))
    for moment in data.moments:
        main, *others = data.views(moment)
        camera = camera_of(data.reader[moment.rows[0]])
        for other in others:
            points = other["pts3d"][other["valid_mask"]].astype(np.float64)
            sound = seen_through(main, camera, points)
            assert sound.points > 300 and sound.share < 0.1 and not sound.suspect
            mirrored = seen_through(main, camera, points * (-1, 1, 1))
            assert mirrored.share > 0.25 and mirrored.suspect


def test_a_point_before_what_a_car_sees_is_in_thin_air_and_one_on_it_or_behind_is_not() -> None:
    camera = Equirectangular.from_vfov(12, 72, 60.0)
    some = np.ones((12, 72), bool)
    view = {
        "coverage": some,
        "non_ambiguous_mask": some,
        "valid_mask": some & (np.arange(72) != 0),
        "depth_along_ray": np.full((12, 72, 1), 20, np.float32),
    }
    ahead = np.array([[0, 0, 10.0], [0, 0, 20.0], [0, 0, 30.0], [0, 0, 2.0], [0, 0, 61.0]])
    assert seen_through(view, camera, ahead) == SeenThrough(points=3, share=1 / 3)
    sky = view | {"non_ambiguous_mask": ~some, "valid_mask": ~some}
    assert seen_through(sky, camera, ahead) == SeenThrough(points=3, share=1.0)
    unknown = view | {"valid_mask": ~some}
    nothing = seen_through(unknown, camera, ahead)
    assert nothing.points == 0 and np.isnan(nothing.share) and not nothing.suspect


def test_a_data_set_survives_pickling_and_names_the_splits_it_has(stage_dir: Path) -> None:
    data = pickle.loads(pickle.dumps(CoopPanoramas(stage_dir, "train")))
    assert len(data[:1]) == 1
    with pytest.raises(ConfigError) as caught:
        CoopPanoramas(stage_dir, "validate")
    assert "train" in caught.value.remedy


def test_every_byte_is_normalised_as_dinov2_wants_it() -> None:
    rgb = np.arange(768, dtype=np.int64).reshape(16, 16, 3) // 3
    image = normalised(rgb.astype(np.uint8))
    for channel, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        expected = (rgb[..., channel] / 255 - mean) / std
        np.testing.assert_allclose(image[channel], expected, atol=1e-6)
