"""Point clouds, images and depth: every format is read, every damaged file is named."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multicar_opv2v_support import HEIGHT, WIDTH, car_frame, cloud, depths, write_car

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.boxes import count_points, hit_share, points_in_box
from gimbal_multicar.opv2v.depth import DepthFiles, read_depth_npy, read_depth_png, splat_lidar
from gimbal_multicar.opv2v.images import png_size, read_raw, read_rgb
from gimbal_multicar.opv2v.pcd import LidarPoints, read_pcd, write_pcd
from gimbal_multicar.opv2v.writing import WriteOptions, write_png
from gimbal_vision.poses import invert_pose, transform_points

SHARED = Path(__file__).parents[4] / "shared" / "data" / "malformed"
SIZE = (HEIGHT, WIDTH)
ENCODINGS = ("binary", "ascii", "binary_compressed")
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="shared test data is not here")


@pytest.fixture
def sweep():
    return cloud(car_frame("."))


def reads_back(path, sweep, encoding):
    write_pcd(path, sweep, encoding)
    got = read_pcd(path)
    np.testing.assert_array_equal(got.points, sweep.points)
    np.testing.assert_array_equal(got.intensity, sweep.intensity)
    assert got.points.dtype == got.intensity.dtype == np.float32
    assert got.points.flags.c_contiguous
    return True


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_points_and_intensity_read_back_exactly(tmp_path, sweep, encoding):
    assert reads_back(tmp_path / "x.pcd", sweep, encoding)


def test_packed_colours_survive_a_processor_that_flushes_subnormal_numbers(tmp_path, sweep):
    """Some libraries set that mode for the whole process; packed colours are such numbers."""
    torch = pytest.importorskip("torch")
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no such mode")
    try:
        assert all(reads_back(tmp_path / "x.pcd", sweep, encoding) for encoding in ENCODINGS)
    finally:
        torch.set_flush_denormal(False)


HEAD = (
    "VERSION 0.7\nFIELDS {fields}\nSIZE {sizes}\nTYPE {types}\nCOUNT {counts}\n"
    "WIDTH {n}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {n}\nDATA ascii\n"
)


def text_cloud(path, fields, types, lines, points=None):
    n = len(fields.split())
    head = HEAD.format(
        fields=fields,
        sizes=" ".join(["4"] * n),
        types=types,
        counts=" ".join(["1"] * n),
        n=len(lines) if points is None else points,
    )
    path.write_text(head + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("fields", "types", "line", "intensity"),
    [
        ("x y z", "F F F", "1 2 3", 0.0),
        ("x y z intensity", "F F F F", "1 2 3 0.25", 0.25),
        ("x y z rgb", "F F F U", "1 2 3 6684672", 0x66 / 255),
        ("x y z rgb", "F F F F", f"1 2 3 {0x660000 * 2.0**-149:.10g}", 0x66 / 255),
        ("x y z rgb", "F F F F", "1 2 3 2.34184e-38", 0xFF / 255),
        ("x y z r g b", "F F F U U U", "1 2 3 51 0 0", 0.2),
        ("intensity z y x", "F F F F", "0.5 3 2 1", 0.5),
    ],
)
def test_the_intensity_is_found_whichever_field_carries_it(
    tmp_path, fields, types, line, intensity
):
    got = read_pcd(text_cloud(tmp_path / "x.pcd", fields, types, [line]))
    np.testing.assert_array_equal(got.points, [[2, -3, 1]])  # OpenCV: right, down, forward
    assert got.intensity[0] == pytest.approx(intensity, abs=1e-6)


def test_points_that_are_not_finite_are_left_out(tmp_path):
    path = text_cloud(
        tmp_path / "x.pcd", "x y z", "F F F", ["1 2 3", "nan 0 0", "0 inf 0", "4 5 6"]
    )
    assert read_pcd(path).points.tolist() == [[2, -3, 1], [5, -6, 4]]
    empty = text_cloud(tmp_path / "empty.pcd", "x y z", "F F F", [], points=0)
    assert read_pcd(empty).points.shape == (0, 3)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_cloud_that_was_cut_off_is_never_read_as_a_smaller_one(tmp_path, sweep, encoding):
    write_pcd(tmp_path / "whole.pcd", sweep, encoding)
    data = (tmp_path / "whole.pcd").read_bytes()
    cut = tmp_path / "cut.pcd"
    for end in range(0, len(data) - 24, len(data) // 60):
        cut.write_bytes(data[:end])
        with pytest.raises(DatasetError, match=r"cut\.pcd"):
            read_pcd(cut)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POINTS 580", b"POINTS 99999999999"),
        (b"POINTS 580", b"POINTS 4000000"),
        (b"POINTS 580", b"POINTS -1"),
        (b"COUNT 1 1 1 1", b"COUNT 1 1 1 999999999"),
        (b"FIELDS x y z rgb", b"FIELDS a b c d"),
        (b"FIELDS x y z rgb", b"FIELDS x y z x"),
        (b"SIZE 4 4 4 4", b"SIZE 4 4 4 3"),
        (b"TYPE F F F F", b"TYPE F F F Q"),
        (b"TYPE F F F F", b"TYPE F F"),
        (b"DATA binary", b"DATA secret"),
        (b"DATA binary", b"NADA binary"),
    ],
)
@pytest.mark.parametrize("encoding", ["binary", "binary_compressed"])
def test_a_header_that_lies_is_refused_before_memory_is_asked_for(
    tmp_path, sweep, old, new, encoding
):
    path = tmp_path / "x.pcd"
    write_pcd(path, sweep, encoding)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(DatasetError, match=r"x\.pcd"):
        read_pcd(path)


def test_a_small_compressed_file_that_claims_to_be_huge_is_refused(tmp_path, sweep):
    path = tmp_path / "x.pcd"
    write_pcd(path, sweep, "binary_compressed")
    head, mark, body = path.read_bytes().partition(b"DATA binary_compressed\n")
    size = (4_000_000 * 16).to_bytes(4, "little")
    path.write_bytes(head.replace(b"580", b"4000000") + mark + body[:4] + size + body[8:])
    with pytest.raises(DatasetError, match=r"says it holds 4000000 points, in \d+ bytes"):
        read_pcd(path)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), encoding=st.sampled_from(ENCODINGS))
def test_a_damaged_cloud_gives_points_or_a_dataset_error(tmp_path_factory, data, encoding):
    path = tmp_path_factory.mktemp("pcd") / "x.pcd"
    small = LidarPoints(np.ones((3, 3), np.float32), np.ones(3, np.float32))
    write_pcd(path, small, encoding)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:at] + data.draw(st.binary(max_size=5)) + whole[at + 2 :])
    try:
        assert np.isfinite(read_pcd(path).points).all()
    except DatasetError as error:
        assert "x.pcd" in error.message


@shared
def test_real_clouds_of_others_are_read():
    for file in sorted((SHARED / "pcd").glob("*.pcd")):
        assert len(read_pcd(file).points) > 1000


def test_a_rotated_cloud_misses_the_boxes_of_its_own_file(tmp_path):
    """As in agent 449 of train/2021_08_18_09_02_56 (OpenCOOD issue 170)."""
    frame = car_frame(tmp_path)
    sound = cloud(frame).points
    turned = sound[:, [2, 1, 0]] * [1, 1, -1]
    world, wrong = (
        transform_points(frame.world_from_lidar, p.astype(float)) for p in (sound, turned)
    )
    assert hit_share(world, frame.vehicles) == 1.0
    assert (count_points(world, frame.vehicles) >= 40).all()
    assert hit_share(wrong, frame.vehicles) == 0.0
    assert np.isnan(hit_share(world, ()))


def test_a_point_is_in_a_box_up_to_its_faces_and_a_margin():
    box = car_frame(".").vehicles[1]
    local = np.eye(3) * (box.half_extent_m + 0.05)
    points = transform_points(box.world_from_box, local)
    assert not points_in_box(points, box).any()
    assert points_in_box(points, box, margin_m=0.06).all()
    assert points_in_box(box.corners_world() * 1.0, box, 1e-9).all()


@pytest.fixture
def picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    write_png(tmp_path / "x.png", image)
    return tmp_path / "x.png", image


def test_images_read_back_exactly_in_rgb(picture):
    path, image = picture
    np.testing.assert_array_equal(read_rgb(path, SIZE), image)
    np.testing.assert_array_equal(read_raw(path), image)
    assert png_size(path) == SIZE
    assert path.read_bytes()[25] == 2, "stored as RGB"


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_compression_reads_back_equal(tmp_path, level):
    image = np.tile(np.arange(40, dtype=np.uint8), (30, 1))[..., None] * np.ones(3, np.uint8)
    write_png(tmp_path / "x.png", image, level)
    np.testing.assert_array_equal(read_rgb(tmp_path / "x.png"), image)


def test_grey_deep_and_transparent_images_become_rgb(tmp_path):
    path = tmp_path / "x.png"
    for image in (
        np.full(SIZE, 7, np.uint8),
        np.full((*SIZE, 4), 7, np.uint8),
        np.full((*SIZE, 3), 7 * 257, np.uint16),
    ):
        cv2.imwrite(str(path), image)
        assert (read_rgb(path, SIZE) == 7).all()
        assert read_rgb(path).shape == (*SIZE, 3)


def test_a_cut_or_damaged_image_is_never_half_decoded(picture):
    path, _ = picture
    data = path.read_bytes()
    for end in range(0, len(data), 97):
        path.write_bytes(data[:end])
        with pytest.raises(DatasetError, match=r"x\.png is (truncated|no PNG file|empty)"):
            read_rgb(path)
    for at in range(16, len(data) - 12, 131):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(
            DatasetError, match=r"x\.png (is damaged: a checksum|is trunc|says it has)"
        ):
            read_rgb(path)


def test_an_image_of_another_size_than_its_calibration_is_named(picture):
    with pytest.raises(DatasetError, match=r"40x30 pixels, but its calibration .* is for 800x600"):
        read_rgb(picture[0], (600, 800))


def test_a_bomb_is_refused_by_its_header(tmp_path):
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    with pytest.raises(DatasetError, match="100000x100000 pixels"):
        read_rgb(path)


@shared
def test_the_shared_broken_images_are_refused():
    files = sorted((SHARED / "images").iterdir())
    assert len(files) >= 4
    for file in files:
        with pytest.raises(DatasetError, match=file.name):
            read_rgb(file, (600, 800))
    for name in ("truncated_image.png", "truncated_jpeg.jpg", "broken.png"):
        with pytest.raises(DatasetError, match=name):
            read_rgb(SHARED / "images" / name)


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
