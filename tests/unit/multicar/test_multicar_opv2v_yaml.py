"""A frame's YAML: OPV2V's own style, its forks' habits, and files that are hostile or damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.axes import world_to_x
from gimbal_multicar.opv2v.calibration import car_frame, image_size, reference_pose
from gimbal_multicar.opv2v.frame_yaml import read_frame_yaml
from gimbal_multicar.opv2v.model import CarFrameId

FRONT = """\
camera0:
  cords:
  - -188.42767333984375
  - 108.78255462646484
  - 1.0467618703842163
  - 0.01269999984651804
  - 174.1822967529297
  - 0.3571000099182129
  extrinsic:
  - - 1.0
    - -1.7945426783596734e-17
    - -1.3700175594635893e-18
    - -3.0000010745535803
  - - -1.7945426783596734e-17
    - 1.0000000000000002
    - 1.2576271561978176e-19
    - 3.047260165089938e-06
  - - -1.3700175594635893e-18
    - 1.2576271561978176e-19
    - 1.0
    - 0.9000000535570623
  - - 0.0
    - 0.0
    - 0.0
    - 1.0
  intrinsic:
  - - 335.639852470912
    - 0.0
    - 400.0
  - - 0.0
    - 335.639852470912
    - 300.0
  - - 0.0
    - 0.0
    - 1.0
ego_speed: 18.261
lidar_pose:
- -185.4376220703125
- 108.47769927978516
- 1.9280468225479126
- 0.01269999984651804
- 174.1822967529297
- 0.3571000099182129
plan_trajectory:
- - -183.1
  - 108.3
  - 50
predicted_ego_pos:
- -186.1
- 108.6
- 0.031199999153614044
- 0.01269999984651804
- -185.95
- 0.3571000099182129
true_ego_pos:
- -185.94677734375
- 108.52999877929688
- 0.031199999153614044
- 0.01269999984651804
- 174.1822967529297
- 0.3571000099182129
vehicles:
  207:
    angle:
    - -0.0007
    - 1e-05
    - -3e-3
    center:
    - 0.0007
    - 0.0
    - 0.7188
    extent:
    - 2.4508
    - 1.0641
    - 0.7553
    location:
    - -150.25
    - 105.5
    - 0.03
    speed: 30.125
"""
"""An excerpt in OPV2V's own format: the front camera, the LiDAR 3.0 m behind and .9 m above it."""

RIGHT = """\
camera0:
  cords: [0, 0, 1.0, 0, 0, 0]
  intrinsic: &K [[335.639852470912, 0.0, 400.0], [0.0, 335.639852470912, 300.0], [0.0, 0.0, 1.0]]
camera1:
  cords:
    [-185.966064453125, 108.23001098632812, 1.8310985565185547,
     0.34946975111961365, -85.8179702758789, -0.07451619952917099]
  extrinsic:
  - [-0.17364817424400203, 0.9848077536157628, 1.0864765869510583e-12, -0.20861783858870808]
  - [-0.9848077536157627, -0.17364817424400203, 7.242175126665832e-11, 0.5444983106034726]
  - [7.15101654094051e-11, 1.1505934528821695e-11, 0.9999999999999999, 0.09999998063409721]
  - [0.0, 0.0, 0.0, 1.0]
  intrinsic: *K
lidar_pose:
  [-185.4376220703125, 108.47769927978516, 1.9280468225479126,
   0.01269999984651804, 174.1822967529297, 0.3571000099182129]
vehicles: {}
"""
"""Another, in flow style: the right camera, turned by 100 degrees; no ego pose, no vehicles."""

SHARED = Path(__file__).parents[4] / "shared" / "data" / "malformed"
FRAME_ID = CarFrameId("train", "2021_08_18_19_48_05", "641", "000068")


@pytest.fixture
def read(tmp_path):
    def reading(text):
        path = tmp_path / "000068.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_frame_yaml(path)

    return reading


def car(record, tmp_path, reference="lidar"):
    pose = reference_pose(record, reference, tmp_path / "000068.yaml")
    return car_frame(record, FRAME_ID, tmp_path, pose, lambda name: (1, 1))


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


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("lidar_pose:", "lidar:", "lidar_pose is missing"),
        ("  cords:", "  coords:", "camera0.cords is missing"),
        ("  intrinsic:", "  intrinsics:", "camera0.intrinsic is missing"),
        ("    extent:", "    size:", "vehicles.207.extent is missing"),
        ("- 1.9280468225479126", "- .nan", "lidar_pose is neither"),
        ("- 1.9280468225479126", "- high", "lidar_pose is neither"),
        ("lidar_pose:\n", f"lidar_pose: {np.diag([2, 2, 2, 1]).tolist()}\nx:\n", "nor a 4x4 pose"),
        ("    - 2.4508\n", "", "vehicles.207.extent is no list of 3 numbers"),
        ("    - 2.4508\n", "    - .inf\n", "vehicles holds something that is no finite number"),
        ("    - 2.4508\n", "    - [1]\n", "vehicles holds something that is no finite number"),
        ("    speed: 30.125", "    speed: fast", "vehicles.207.speed is no number"),
        ("ego_speed: 18.261", "ego_speed: [1]", "ego_speed is no number"),
        (
            "  - - 335.639852470912\n    - 0.0\n    - 400.0\n",
            "  - - 1.0\n",
            "camera0.intrinsic is no 3x3",
        ),
        ("vehicles:\n", "vehicles: 3\nothers:\n", "vehicles holds no keys and values"),
        ("ego_speed:", "lidar_pose:", "'lidar_pose' is given twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_key(read, tmp_path, old, new, says):
    assert old in FRONT
    with pytest.raises(DatasetError) as caught:
        read(FRONT.replace(old, new, 1))
    assert says in caught.value.message
    assert str(tmp_path / "000068.yaml") in caught.value.message
    assert caught.value.remedy


def test_a_camera_that_is_no_pinhole_and_a_car_without_any_are_named(read, tmp_path):
    skewed = FRONT.replace(
        "  - - 335.639852470912\n    - 0.0\n", "  - - 335.639852470912\n    - 2.0\n"
    )
    with pytest.raises(DatasetError, match=r"000068\.yaml.*skew|000068\.yaml: K is not"):
        car(read(skewed), tmp_path)
    blind = FRONT.replace("camera0:", "webcam:")
    with pytest.raises(DatasetError, match="lists no camera"):
        car(read(blind), tmp_path)


def test_the_image_has_its_principal_point_in_the_middle_or_its_size_is_asked_for(read, tmp_path):
    assert image_size(np.array([[1, 0, 400.0], [0, 1, 300.0], [0, 0, 1]])) == (600, 800)
    assert image_size(np.array([[1, 0, 399.5], [0, 1, 299.5], [0, 0, 1]])) == (599, 799)
    assert image_size(np.array([[1, 0, 398.3], [0, 1, 300.0], [0, 0, 1]])) is None
    record = read(FRONT.replace("    - 400.0", "    - 398.3"))
    pose = reference_pose(record, "lidar", tmp_path)
    frame = car_frame(record, FRAME_ID, tmp_path, pose, lambda name: (480, 640))
    assert frame.rig.cameras[0].camera.width == 640


def test_every_prefix_of_a_file_is_refused(read):
    """A copy that was cut off must never pass for a frame with other numbers."""
    for cut in range(len(FRONT)):
        if FRONT[cut - 1] != "\n" and cut % 29:
            continue
        with pytest.raises(DatasetError):
            read(FRONT[:cut])
    assert read(FRONT).vehicle_ids == ("207",)


def test_a_missing_file_a_folder_and_a_huge_file_are_named(tmp_path):
    for name in ("nothing.yaml", "."):
        with pytest.raises(DatasetError):
            read_frame_yaml(tmp_path / name)
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(DatasetError, match="larger than 4 MiB"):
        read_frame_yaml(huge)


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared test data is not here")
def test_the_shared_hostile_files_end_in_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = sorted((SHARED / "yaml_made").glob("*.yaml"))
    assert len(files) > 5
    for file in files:
        with pytest.raises(DatasetError) as caught:
            read_frame_yaml(file)
        assert str(file) in caught.value.message
    assert not list(tmp_path.iterdir()), "a file executed code"


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/object/apply:numpy.load ['x.npy']",
        "!!python/object/apply:numpy.core.multiarray.scalar [1, 2]",
        "!!python/object/apply:numpy.dtype {args: [O8, false, true]}",
        "!!python/object/apply:numpy.dtype {args: [f8, 0, 1], state: [3, '?']}",
        "!!python/object/apply:numpy.core.multiarray._reconstruct {state: [1, [9], 3, 1, 2]}",
        "!!binary '*'",
        "!!binary [1]",
        "!!python/tuple {a: 1}",
        "!!python/name:os.system ''",
    ],
)
def test_tags_that_could_run_or_hide_something_are_refused(read, tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError):
        read(f"{FRONT}\nx: {value}\n")
    assert [p.name for p in tmp_path.iterdir()] == ["000068.yaml"]


def test_an_array_of_another_shape_than_its_bytes_is_refused(read):
    array = yaml.dump({"lidar_pose": np.eye(4)}).replace("- 4\n", "- 5\n", 1)
    with pytest.raises(DatasetError, match="line"):
        read(array)


words = st.sampled_from(
    [
        *("camera0", "cords", "lidar_pose", "vehicles", ":", "\n", "  ", "- ", "[", "]", "{", "}"),
        *("&a ", "*a", "!!binary ", "!!python/tuple ", "1e-05", ".nan", "'", '"', "|", "<<", "?"),
        *("#", "\t", "1"),
    ]
)


@settings(max_examples=70, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.lists(words, max_size=40).map(lambda w: "".join(w).encode())
    )
)
def test_junk_is_always_a_dataset_error(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "x.yaml"
    path.write_bytes(junk)
    with pytest.raises(DatasetError):
        read_frame_yaml(path)


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, len(FRONT) - 1), new=st.binary(min_size=1, max_size=6))
def test_a_damaged_file_gives_a_record_or_a_dataset_error(tmp_path_factory, at, new):
    path = tmp_path_factory.mktemp("damaged") / "000068.yaml"
    path.write_bytes(FRONT.encode()[:at] + new + FRONT.encode()[at + len(new) :])
    try:
        record = read_frame_yaml(path)
        car(record, path.parent)
    except DatasetError:
        return
    assert np.isfinite(record.world_from_lidar).all()
