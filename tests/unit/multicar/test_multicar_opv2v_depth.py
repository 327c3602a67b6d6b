"""Depth: each source is read in metres, and what is damaged or of unknown unit is named."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from multicar_opv2v_support import HEIGHT, WIDTH, car_frame, depths, write_car

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.depth import DepthFiles, read_depth_npy, read_depth_png, splat_lidar
from gimbal_multicar.opv2v.pcd import LidarPoints
from gimbal_multicar.opv2v.writing import WriteOptions, write_png
from gimbal_vision.poses import invert_pose

SIZE = (HEIGHT, WIDTH)


def test_depth_arrays_lose_what_is_not_finite(tmp_path):
    metres = np.full(SIZE, 5.0)
    metres[0, :4] = np.nan, np.inf, -np.inf, -1
    np.save(tmp_path / "d.npy", metres)
    got = read_depth_npy(tmp_path / "d.npy", SIZE)
    assert got.dtype == np.float32
    assert got[0, :5].tolist() == [0, 0, 0, 0, 5]
    np.save(tmp_path / "d.npy", metres[..., None])
    np.testing.assert_array_equal(read_depth_npy(tmp_path / "d.npy", SIZE), got)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((WIDTH, HEIGHT)),
        np.zeros((*SIZE, 3)),
        np.zeros(HEIGHT * WIDTH),
        np.zeros(SIZE, complex),
        np.zeros(SIZE, "U3"),
        np.array([{"a": 1}], object),
        np.float64(3),
    ],
)
def test_depth_of_another_shape_or_kind_is_named(tmp_path, array):
    np.save(tmp_path / "d.npy", array, allow_pickle=True)
    with pytest.raises(DatasetError, match=r"d\.npy"):
        read_depth_npy(tmp_path / "d.npy", SIZE)


def test_damaged_depth_arrays_are_named(tmp_path):
    path = tmp_path / "d.npy"
    np.save(path, np.zeros(SIZE, np.float32))
    data = path.read_bytes()
    for end in (0, 5, 60, 127, 128, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(DatasetError, match=r"d\.npy"):
            read_depth_npy(path, SIZE)
    with pytest.raises(DatasetError, match="none"):
        read_depth_npy(tmp_path / "none.npy", SIZE)


def test_opv2v_h_is_in_whole_metres_and_saturated_pixels_are_sky(tmp_path):
    pixels = np.full(SIZE, 42, np.uint8)
    pixels[0, :3] = 0, 254, 255
    for image in (pixels, np.repeat(pixels[..., None], 3, axis=2)):
        write_png(tmp_path / "d.png", image)
        got = read_depth_png(tmp_path / "d.png", SIZE)
        assert got[0, :4].tolist() == [0, 254, 1000, 42]


def test_carlas_raw_depth_is_told_by_its_channels(tmp_path):
    """The formula is d = 1000 (R + 256 G + 65536 B) / (2^24 - 1)."""
    metres = np.linspace(0.5, 999, HEIGHT * WIDTH).reshape(SIZE)
    code = np.rint(metres / 1000 * (2**24 - 1)).astype(np.int64)
    rgb = np.stack([code & 255, code >> 8 & 255, code >> 16], axis=-1).astype(np.uint8)
    write_png(tmp_path / "d.png", rgb)
    np.testing.assert_allclose(read_depth_png(tmp_path / "d.png", SIZE), metres, atol=6e-5)


def test_sixteen_bit_depth_is_refused_because_its_unit_is_unknown(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.full(SIZE, 4200, np.uint16))
    with pytest.raises(DatasetError, match="unknown unit"):
        read_depth_png(tmp_path / "d.png", SIZE)


def test_auto_depth_takes_files_then_the_lidar_then_nothing(tmp_path):
    root, beside = tmp_path / "set", tmp_path / "OPV2V_Hetero"
    frame = write_car(car_frame(root))
    files = DepthFiles(root, None, "auto")
    assert files.read(frame).source == "lidar"
    folder = beside / "train" / frame.id.scenario / frame.id.agent
    write_car(frame, WriteOptions(depth="opv2v_h"), depths_m=depths(frame), depth_folder=folder)
    assert sorted(p.name for p in folder.iterdir())[0] == "000068_depth0.png"
    got = files.read(frame)
    assert got.source == "opv2v_h"
    assert got.z_depth_m["camera3"][0, 0] == 16  # 15.5, to the even metre
    write_car(frame, depths_m=depths(frame))
    got = files.read(frame)
    assert (got.source, got.density) == ("npy", 1.0)
    assert got.z_depth_m["camera3"][0, 0] == 15.5
    assert DepthFiles(root, None, "lidar").read(frame).source == "lidar"
    assert DepthFiles(root, None, "opv2v_h").read(frame).source == "opv2v_h"
    none = DepthFiles(root, None, "none").read(frame)
    assert (none.source, dict(none.z_depth_m), none.density) == ("none", {}, 0.0)
    frame.pcd_path.unlink()
    assert DepthFiles(root, tmp_path / "elsewhere", "auto").read(frame).source == "none"


def test_depth_that_is_wanted_but_missing_is_named_and_one_missing_camera_is_unknown(tmp_path):
    frame = write_car(car_frame(tmp_path / "set"))
    files = DepthFiles(tmp_path / "set", tmp_path / "depth", "npy")
    with pytest.raises(DatasetError, match=r"no npy depth in .*depth/train"):
        files.read(frame)
    some = {k: v for k, v in depths(frame).items() if k != "camera2"}
    write_car(frame, depths_m=some, depth_folder=files.folders(frame.id)[0])
    got = files.read(frame)
    assert got.density == 0.75
    assert not got.z_depth_m["camera2"].any()


@pytest.mark.parametrize("reference", ["lidar", "ego"])
def test_the_lidar_is_seen_where_its_points_are_and_the_nearest_hides_the_rest(tmp_path, reference):
    frame = car_frame(tmp_path)
    if reference == "ego":
        ego_from_lidar = invert_pose(frame.world_from_ego) @ frame.world_from_lidar
        cameras = tuple(
            replace(c, car_from_camera=ego_from_lidar @ c.car_from_camera)
            for c in frame.rig.cameras
        )
        frame = replace(
            frame, world_from_car=frame.world_from_ego, rig=replace(frame.rig, cameras=cameras)
        )
    # Camera0 is 3 m ahead of and .9 m below the LiDAR: two points before it, one to the right.
    points = np.array([[0.1, 1, 13], [0.1, 1, 23], [30, 0.1, -5], [0, 0, 0]], np.float32)
    got = splat_lidar(frame, LidarPoints(points, np.ones(4, np.float32)))
    front = got.z_depth_m["camera0"]
    assert np.argwhere(front).tolist() == [[15, 20]]
    assert front[15, 20] == pytest.approx(10, abs=1e-4)
    assert np.count_nonzero(got.z_depth_m["camera1"]) == 1, "the right one sees what is right"
    assert not got.z_depth_m["camera2"].any()
    assert got.density == pytest.approx(2 / (4 * HEIGHT * WIDTH))
