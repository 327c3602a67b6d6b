"""Point clouds: every encoding is read, every damaged file is named, points lie in their boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multicar_opv2v_support import car_frame, cloud

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.boxes import count_points, hit_share, points_in_box
from gimbal_multicar.opv2v.pcd import LidarPoints, read_pcd, write_pcd
from gimbal_vision.poses import transform_points

SHARED = Path(__file__).parents[4] / "shared" / "data" / "malformed"
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
