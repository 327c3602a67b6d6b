"""A frame's YAML: the style of OPV2V and the habits of its forks give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from multicar_opv2v_support import FRAME_ID, FRONT, RIGHT, car, yaml_file

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.axes import world_to_x
from gimbal_multicar.opv2v.calibration import car_frame, image_size, reference_pose
from gimbal_multicar.opv2v.frame_yaml import read_frame_yaml


@pytest.fixture
def read(tmp_path):
    return lambda text: read_frame_yaml(yaml_file(tmp_path, text))


def test_the_front_camera_is_ahead_of_and_below_the_lidar(read, tmp_path):
    """In OpenCV's axes: +3 z, +.9 y; the file's extrinsic is T_camera<-LiDAR and says the same."""
    record = read(FRONT)
    np.testing.assert_allclose(record.extrinsics[0, :3, 3], [-3, 0, 0.9], atol=1e-5)
    frame = car(record, tmp_path)
    (camera,) = frame.rig.cameras
    np.testing.assert_allclose(camera.car_from_camera[:3, 3], [0, 0.9, 3.0], atol=2e-5)
    np.testing.assert_allclose(
        frame.lidar_from_cameras_written[0], camera.car_from_camera, atol=2e-5
    )
    assert (camera.camera.height, camera.camera.width) == (600, 800)
    hfov = 2 * np.degrees(np.arctan(400 / camera.camera.fx))
    assert hfov == pytest.approx(100.0, abs=1e-9)
    assert frame.ego_speed_kmh == 18.261


def test_the_right_camera_looks_to_the_right(read, tmp_path):
    frame = car(read(RIGHT), tmp_path)
    right = frame.rig.cameras[1]
    axis = right.car_from_camera[:3, 2]
    np.testing.assert_allclose(np.degrees(np.arctan2(axis[0], axis[2])), 100, atol=1e-3)
    np.testing.assert_allclose(
        frame.lidar_from_cameras_written[1], right.car_from_camera, atol=2e-5
    )
    assert np.isnan(frame.lidar_from_cameras_written[0]).any(), "camera0 has no extrinsic"
    assert np.isnan(frame.ego_speed_kmh)
    assert np.isnan(frame.world_from_ego).any()
    assert frame.vehicles == ()


def test_numbers_without_a_point_are_numbers_and_ids_are_text(read):
    """PyYAML's own rules read `1e-05` as a word, and 207 as a number."""
    record = read(FRONT)
    assert record.vehicle_ids == ("207",)
    np.testing.assert_array_equal(
        record.vehicles[0],
        [
            -150.25,
            105.5,
            0.03,
            -0.0007,
            1e-05,
            -3e-3,
            0.0007,
            0,
            0.7188,
            2.4508,
            1.0641,
            0.7553,
            30.125,
        ],
    )


def test_a_vehicles_box_is_its_origin_and_the_offset_turned_with_it(read, tmp_path):
    text = FRONT.replace("- 1e-05", "- 90.0").replace("- 0.0007\n    - 0.0\n", "- 0.5\n    - 0.0\n")
    (box,) = car(read(text), tmp_path).vehicles
    # Half a metre ahead of the origin, and the vehicle looks along Unreal's y (our x).
    np.testing.assert_allclose(
        box.world_from_box[:3, 3], [105.5 + 0.5, -(0.03 + 0.7188), -150.25], atol=1e-3
    )
    np.testing.assert_allclose(box.half_extent_m, [1.0641, 0.7553, 2.4508])
    assert box.speed_kmh == 30.125


@pytest.mark.parametrize("reference", ["lidar", "ego", "box_centre"])
def test_the_reference_moves_the_car_but_not_the_cameras(read, tmp_path, reference):
    record = read(FRONT)
    frame = car(record, tmp_path, reference)
    world = frame.world_from_car @ frame.rig.cameras[0].car_from_camera
    there = car(record, tmp_path)
    np.testing.assert_allclose(
        world, there.world_from_car @ there.rig.cameras[0].car_from_camera, atol=1e-9
    )
    height = {"lidar": -1.928, "ego": -0.0312, "box_centre": -0.78}[reference]
    assert frame.world_from_car[1, 3] == pytest.approx(height, abs=2e-3), "y is down"


def test_a_reference_that_the_file_lacks_is_named(read, tmp_path):
    with pytest.raises(DatasetError, match="true_ego_pos is missing") as caught:
        car(read(RIGHT), tmp_path, "ego")
    assert "lidar" in caught.value.remedy


def test_poses_as_matrices_and_pickled_numpy_numbers_are_read(read):
    """Forks write both; neither may need a loader that runs code."""
    plain = read(FRONT)
    pose = plain.world_from_lidar
    data = yaml.safe_load(FRONT)
    data["lidar_pose"] = pose
    data["true_ego_pos"] = [np.float64(x) for x in world_to_x(plain.world_from_ego)]
    data["camera0"]["intrinsic"] = np.asfortranarray(data["camera0"]["intrinsic"])
    data["ego_speed"] = np.float32(18.25)
    record = read(yaml.dump(data))
    np.testing.assert_array_equal(record.world_from_lidar, pose)
    np.testing.assert_allclose(record.world_from_ego, plain.world_from_ego, atol=1e-12)
    np.testing.assert_array_equal(record.intrinsics, plain.intrinsics)
    assert record.ego_speed_kmh == 18.25


def test_the_image_has_its_principal_point_in_the_middle_or_its_size_is_asked_for(read, tmp_path):
    assert image_size(np.array([[1, 0, 400.0], [0, 1, 300.0], [0, 0, 1]])) == (600, 800)
    assert image_size(np.array([[1, 0, 399.5], [0, 1, 299.5], [0, 0, 1]])) == (599, 799)
    assert image_size(np.array([[1, 0, 398.3], [0, 1, 300.0], [0, 0, 1]])) is None
    record = read(FRONT.replace("    - 400.0", "    - 398.3"))
    pose = reference_pose(record, "lidar", tmp_path)
    frame = car_frame(record, FRAME_ID, tmp_path, pose, lambda name: (480, 640))
    assert frame.rig.cameras[0].camera.width == 640


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lidar_pose:\n- -185.4376220703125", "lidar_pose:\n- 1e300", "lidar_pose is farther"),
        ("lidar_pose:\n- -185.4376220703125", "lidar_pose:\n- -2e7", "lidar_pose is farther"),
        ("cords:\n  - -188.42767333984375", "cords:\n  - 1e300", "camera0.cords is farther"),
        ("  - 174.1822967529297\n", "  - 1e300\n", "camera0.cords has an angle"),
    ],
)
def test_places_beyond_any_map_are_named(read, old, new, words):
    assert old in FRONT
    with pytest.raises(DatasetError, match=words) as caught:
        read(FRONT.replace(old, new, 1))
    assert ".yaml" in caught.value.message


@pytest.mark.parametrize(
    ("key", "values", "fine"),
    [
        ("extent", [-2.4, 1.0, 0.8], False),
        ("extent", [1e300, 1.0, 0.8], False),
        ("extent", [1.1, 0.0, 0.8], True),
        ("center", [0.0, 2000.0, 0.8], False),
        ("location", [0.0, -1e300, 0.8], False),
        ("angle", [0.0, 1e300, 0.0], False),
        ("angle", [0.0, -540.0, 0.0], True),
    ],
)
def test_boxes_that_no_vehicle_has_are_named(read, key, values, fine):
    document = yaml.safe_load(FRONT)
    document["vehicles"][207][key] = values
    text = yaml.safe_dump(document)
    if fine:
        assert len(read(text).vehicles) == 1
        return
    with pytest.raises(DatasetError, match=rf"vehicles\.207\.{key} has a number"):
        read(text)
