"""Calibration files: every convention means the same camera, and every slip is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gimbal.errors import ConfigError
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.rigs import load_rig
from gimbal_multicar.rigs.axes import (
    OPENCV_FROM_NUSCENES,
    angles_of,
    car_from_angles,
    car_from_quaternion,
)
from gimbal_vision.cameras import Equirectangular, Pinhole
from gimbal_vision.panoramas.coverage import expected_coverage, expected_overlap
from gimbal_vision.poses import matrix_to_quaternion

RIGS = Path(__file__).parents[3] / "configs" / "multicar" / "rigs"
RIGHT, DOWN, AHEAD = np.eye(3)
CAMERA = {
    "name": "front",
    "width": 1600,
    "height": 900,
    "hfov_deg": 70.0,
    "translation": [1.7, 0.5, 1.5],
    "yaw_deg": 0.0,
}
LENS = CAMERA | {"hfov_deg": None, "fx": 1100.0, "fy": 1100.0, "cx": 800.0, "cy": 450.0}
FILE = {"axes": "nuscenes", "cameras": [CAMERA]}


def write(folder: Path, content: object) -> Path:
    path = folder / "rig.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def looks(pose: np.ndarray) -> np.ndarray:
    return pose[:3, :3] @ AHEAD


def test_opv2v_s_file_is_the_nominal_rig():
    """Two descriptions, one in a file and one in code, written apart from each other."""
    rig, nominal = load_rig(RIGS / "opv2v.yaml"), nominal_opv2v_rig()
    assert rig.names == nominal.names
    np.testing.assert_allclose(rig.car_from_cameras, nominal.car_from_cameras, atol=1e-12)
    assert [c.camera for c in rig.cameras] == [c.camera for c in nominal.cameras]
    assert rig.digest == nominal.digest


def test_the_nominal_rig_sees_what_opv2v_s_cars_see():
    """Camera 1 looks to the right and lies to the right of the LiDAR and below it."""
    rig = nominal_opv2v_rig(75, 100)
    yaws = [round(angles_of(c.car_from_camera)[0]) for c in rig.cameras]
    assert [yaw % 360 for yaw in yaws] == [0, 100, 260, 180]
    np.testing.assert_allclose(rig.cameras[0].car_from_camera[:3, 3], [0, 0.9, 3.0], atol=1e-12)
    np.testing.assert_allclose(rig.cameras[1].car_from_camera[:3, 3], [0.3, 0.1, 0.5], atol=1e-12)
    assert rig.cameras[0].camera.hfov_deg == pytest.approx(100.0)
    eq = Equirectangular.from_vfov(168, 1008, 60.0)
    assert expected_coverage(rig, eq, supersample=1) == pytest.approx(1.0, abs=1e-3)


def test_the_nuscenes_file_closes_the_circle():
    """Five cameras of 70 degrees and one of 110 see all around, some of it twice."""
    rig = load_rig(RIGS / "nuscenes.yaml")
    assert len(rig.cameras) == 6
    lying = {c.name: c.car_from_camera for c in rig.cameras}
    assert lying["CAM_FRONT_LEFT"][0, 3] < 0 < lying["CAM_FRONT_RIGHT"][0, 3]
    assert looks(lying["CAM_FRONT_LEFT"])[0] < 0 < looks(lying["CAM_FRONT_RIGHT"])[0]
    assert looks(lying["CAM_BACK"])[2] == pytest.approx(-1.0)
    level = Equirectangular(height=2, width=720, fy=1000.0, cy=1.0)
    assert expected_coverage(rig, level) == 1.0
    # 5 x 70 + 110 degrees around 360: the surplus of 100 is seen twice.
    assert expected_overlap(rig, level) == pytest.approx(100 / 360, abs=2e-3)


def test_a_real_quaternion_of_a_front_camera():
    """(.5, -.5, .5, -.5) lays OpenCV's axes into nuScenes' vehicle, looking straight ahead."""
    pose = car_from_quaternion("nuscenes", (1.7, 0.5, 1.5), (0.5, -0.5, 0.5, -0.5))
    np.testing.assert_allclose(pose[:3, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [-0.5, -1.5, 1.7])
    np.testing.assert_allclose(pose, car_from_angles("nuscenes", (1.7, 0.5, 1.5), (0, 0, 0)))


@pytest.mark.parametrize(
    ("axes", "angles", "ahead"),
    [
        ("nuscenes", (90, 0, 0), -RIGHT),
        ("unreal", (90, 0, 0), RIGHT),
        ("opencv", (90, 0, 0), RIGHT),
        ("nuscenes", (0, 90, 0), DOWN),
        ("unreal", (0, 90, 0), -DOWN),
        ("opencv", (0, 90, 0), -DOWN),
    ],
)
def test_yaw_and_pitch_turn_where_their_convention_says(axes, angles, ahead):
    np.testing.assert_allclose(looks(car_from_angles(axes, (0, 0, 0), angles)), ahead, atol=1e-12)


@pytest.mark.parametrize("axes", ["nuscenes", "unreal", "opencv"])
def test_a_positive_roll_lowers_the_right_side(axes):
    pose = car_from_angles(axes, (0, 0, 0), (0, 0, 90))
    np.testing.assert_allclose(pose[:3, 0], DOWN, atol=1e-12)
    np.testing.assert_allclose(looks(pose), AHEAD, atol=1e-12)


ANGLES = st.tuples(st.floats(-170, 170), st.floats(-80, 80), st.floats(-170, 170))


@given(angles=ANGLES)
def test_three_conventions_describe_one_camera(angles):
    """One mount 2 m ahead, 1 m to the right and 3 m up, written three times."""
    yaw, pitch, roll = angles
    opencv = car_from_angles("opencv", (1, -3, 2), angles)
    np.testing.assert_allclose(car_from_angles("unreal", (2, 1, 3), angles), opencv, atol=1e-12)
    ros = car_from_angles("nuscenes", (2, -1, 3), (-yaw, -pitch, roll))
    np.testing.assert_allclose(ros, opencv, atol=1e-12)
    np.testing.assert_allclose(angles_of(opencv), angles, atol=1e-9)
    x, y, z, w = matrix_to_quaternion(opencv[:3, :3])
    same = car_from_quaternion("opencv", (1, -3, 2), (w, x, y, z))
    np.testing.assert_allclose(same, opencv, atol=1e-9)
    x, y, z, w = matrix_to_quaternion(OPENCV_FROM_NUSCENES.T @ opencv[:3, :3])
    same = car_from_quaternion("nuscenes", (2, -1, 3), (w, x, y, z))
    np.testing.assert_allclose(same, opencv, atol=1e-9)


def test_unreal_s_quaternion_is_that_of_unreal_s_axes():
    """Half of 90 degrees about its z axis, which points up: to the right, as its yaw."""
    half = np.sqrt(0.5)
    pose = car_from_quaternion("unreal", (2, 1, 3), (half, 0.0, 0.0, half))
    np.testing.assert_allclose(pose, car_from_angles("unreal", (2, 1, 3), (90, 0, 0)), atol=1e-12)


def test_lenses_are_the_same_however_they_are_written(tmp_path):
    f = Pinhole.from_hfov(900, 1600, 70.0).fx
    K = [[f, 0.0, 800.0], [0.0, f, 450.0], [0.0, 0.0, 1.0]]
    bare = {key: value for key, value in CAMERA.items() if key != "hfov_deg"}
    ways = (
        {"hfov_deg": 70.0},
        {"fx": f, "fy": f, "cx": 800.0, "cy": 450.0},
        {"intrinsic": K},
    )
    for way in ways:
        rig = load_rig(write(tmp_path, FILE | {"cameras": [bare | way]}))
        np.testing.assert_allclose(rig.cameras[0].camera.K, K, rtol=1e-12)
    shifted = FILE | {"pixel_centres": "integer", "cameras": [bare | ways[1]]}
    camera = load_rig(write(tmp_path, shifted)).cameras[0].camera
    assert (camera.cx, camera.cy) == (800.5, 450.5)


def test_the_centre_is_the_origin(tmp_path):
    rig = load_rig(write(tmp_path, FILE | {"centre": [0.7, 0.5, 1.0]}))
    np.testing.assert_allclose(rig.cameras[0].car_from_camera[:3, 3], [0.0, -0.5, 1.0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axes": "ros"}, ["line 1", "axes", "'nuscenes'", "'unreal'", "'opencv'"]),
        ({"axes": None}, ["axes"]),
        ({"camera": []}, ["unknown key 'camera'", "did you mean cameras"]),
        ({"cameras": []}, ["0 cameras; give 1 to 64"]),
        ({"cameras": [CAMERA, CAMERA]}, ["repeated: front"]),
        ({"cameras": [CAMERA | {"fx": 3.0}]}, ["line 3", "lens of front", "once"]),
        ({"cameras": [CAMERA | {"hfov_deg": None, "fx": 3.0}]}, ["fx, fy, cx, cy"]),
        ({"cameras": [CAMERA | {"hfov_deg": None}]}, ["lens of front"]),
        ({"cameras": [CAMERA | {"hfov_deg": 180}]}, ["cameras.0.hfov_deg", "less than 180"]),
        ({"cameras": [CAMERA | {"yaw_deg": None}]}, ["where front looks", "rotation"]),
        ({"cameras": [CAMERA | {"rotation": [1, 0, 0, 0]}]}, ["where front looks"]),
        (
            {"cameras": [CAMERA | {"yaw_deg": None, "rotation": [1, 1, 0, 0]}]},
            ["length 1.41", "w, x, y, z"],
        ),
        ({"cameras": [CAMERA | {"translation": [1, 2]}]}, ["line 7", "2 numbers where 3 belong"]),
        ({"cameras": [CAMERA | {"name": "../x"}]}, ["cameras.0.name", "'../x' cannot be"]),
        ({"cameras": [CAMERA | {"yaw": 3}]}, ["line 12", "unknown key 'cameras.0.yaw'"]),
        (
            {
                "cameras": [
                    CAMERA | {"hfov_deg": None, "intrinsic": [[9, 1, 2], [0, 9, 2], [0, 0, 1]]}
                ]
            },
            ["line 3", "camera front", "skew"],
        ),
        ({"cameras": [{"name": "a"}]}, ["'cameras.0.translation' is missing", "in the file"]),
        (
            {"cameras": [CAMERA | {"hfov_deg": None, "intrinsic": [[9, 0, 2], [0, 9, 2]]}]},
            ["intrinsic", "three rows"],
        ),
        ({"centre": [0, 0, float("nan")]}, ["centre.2"]),
        ({"centre": [0, True, 0]}, ["line 12", "centre", "true and false are no numbers"]),
        ({"cameras": [CAMERA | {"width": True}]}, ["line 4", "cameras.0.width", "no numbers"]),
        ({"cameras": [CAMERA | {"translation": [0, True, 0]}]}, ["translation", "no numbers"]),
        ({"cameras": [CAMERA | {"translation": [0, 1e300, 0]}]}, ["line 7", "farther than 1000 m"]),
        ({"centre": [0, 0, -1e4]}, ["centre", "farther than 1000 m"]),
        ({"cameras": [CAMERA | {"yaw_deg": 1e9}]}, ["cameras.0.yaw_deg", "720"]),
        ({"cameras": [CAMERA | {"hfov_deg": 1e-9}]}, ["camera front", "fx is", "1600"]),
        ({"cameras": [LENS | {"fx": 1e-300}]}, ["line 3", "camera front", "fx is 1e-300 pixels"]),
        ({"cameras": [LENS | {"fy": 1e300}]}, ["camera front", "fy is 1e+300 pixels"]),
        ({"cameras": [LENS | {"cx": 1e9}]}, ["camera front", "cx is 1e+09, far outside"]),
        ({"cameras": [LENS | {"cy": -1e5}]}, ["camera front", "cy is -100000, far outside"]),
    ],
)
def test_mistakes_are_named_with_file_and_key(tmp_path, change, words):
    path = write(tmp_path, FILE | change)
    with pytest.raises(ConfigError) as caught:
        load_rig(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)
    assert caught.value.remedy
    assert "to the command" not in caught.value.remedy


@pytest.mark.parametrize("text", ["", "- a\n", "axes: [\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="rig"):
        load_rig(path)
    with pytest.raises(ConfigError, match="missing"):
        load_rig(tmp_path / "missing.yaml")
