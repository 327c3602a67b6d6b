"""The reader gives back what the writer wrote, in every variant, from threads and processes."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import yaml
from multicar_opv2v_support import (
    SCENARIO,
    car_frame,
    cloud,
    depths,
    pictures,
    touch,
    without_cameras,
    write_car,
)

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v import frame_cache
from gimbal_multicar.opv2v.boxes import hit_share
from gimbal_multicar.opv2v.reader import Opv2v
from gimbal_multicar.opv2v.writing import WriteOptions, frame_document, write_document
from gimbal_vision.poses import transform_points

POSES = ("world_from_car", "world_from_lidar", "world_from_ego", "lidar_from_cameras_written")


def same(a, b, atol=1e-9):
    """Two frames are equal but for rounding."""
    assert (a.id, a.folder, a.rig.names) == (b.id, b.folder, b.rig.names)
    for name in POSES:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=atol)
    np.testing.assert_allclose(a.rig.car_from_cameras, b.rig.car_from_cameras, atol=atol)
    assert [c.camera for c in a.rig.cameras] == [c.camera for c in b.rig.cameras]
    np.testing.assert_equal(a.ego_speed_kmh, b.ego_speed_kmh)
    assert [v.id for v in a.vehicles] == [v.id for v in b.vehicles]
    for v, w in zip(a.vehicles, b.vehicles, strict=True):
        np.testing.assert_allclose(v.world_from_box, w.world_from_box, atol=atol)
        np.testing.assert_allclose(v.half_extent_m, w.half_extent_m, atol=atol)
        np.testing.assert_equal(v.speed_kmh, w.speed_kmh)
    return True


def by_id(frame):
    return replace(frame, vehicles=tuple(sorted(frame.vehicles, key=lambda v: int(v.id))))


@pytest.mark.parametrize("depth", ["npy", "opv2v_h"])
def test_everything_written_reads_back(tmp_path, depth):
    written = write_car(
        car_frame(tmp_path), WriteOptions(depth=depth), depths_m=depths(car_frame(tmp_path), 9.0)
    )
    dataset = Opv2v(tmp_path)
    (frame_id,) = dataset.car_frames("train")
    got = dataset.read(frame_id)
    assert same(got, by_id(written))
    images = dataset.images(got)
    assert list(images) == ["camera0", "camera1", "camera2", "camera3"]
    for name, image in pictures(written).items():
        np.testing.assert_array_equal(images[name], image)
    points = dataset.points(got)
    np.testing.assert_array_equal(points.points, cloud(written).points)
    world = transform_points(got.world_from_lidar, points.points.astype(float))
    assert hit_share(world, got.vehicles) == 1
    read = dataset.depths(got)
    assert read.source == depth
    for name, metres in depths(written, 9.0).items():
        np.testing.assert_array_equal(read.z_depth_m[name], metres)


def test_what_is_absent_stays_absent(tmp_path):
    frame = car_frame(tmp_path)
    bare = replace(
        frame,
        ego_speed_kmh=float("nan"),
        world_from_ego=np.full((4, 4), np.nan),
        lidar_from_cameras_written=np.full((4, 4, 4), np.nan),
        vehicles=(replace(frame.vehicles[0], speed_kmh=float("nan")),),
    )
    write_car(bare, images={}, points=None)
    got = Opv2v(tmp_path).read(bare.id)
    assert np.isnan(got.world_from_ego[:3]).all()
    assert np.isnan(got.lidar_from_cameras_written[:, :3]).all()
    assert np.isnan(got.ego_speed_kmh)
    assert np.isnan(got.vehicles[0].speed_kmh)
    assert Opv2v(tmp_path).images(got) == {}
    assert Opv2v(tmp_path).depths(got).source == "none"
    with pytest.raises(DatasetError, match=r"000068\.pcd is not there"):
        Opv2v(tmp_path).points(got)


def test_the_document_has_opv2vs_keys_order_and_axes(tmp_path):
    """Other tools read these files: their names, units and left-handed axes are the contract."""
    document = frame_document(car_frame(tmp_path), plan_trajectory=[[1, 2, 3]])
    write_document(tmp_path / "x.yaml", document)
    text = (tmp_path / "x.yaml").read_text()
    assert text.startswith("camera0:\n  cords:\n  - ")
    loaded = yaml.safe_load(text)
    assert list(loaded) == [
        *("camera0", "camera1", "camera2", "camera3", "ego_speed", "lidar_pose"),
        *("plan_trajectory", "predicted_ego_pos", "true_ego_pos", "vehicles"),
    ]
    assert list(loaded["camera0"]) == ["cords", "extrinsic", "intrinsic"]
    assert list(loaded["vehicles"]) == [31, 1045]
    assert list(loaded["vehicles"][31]) == ["angle", "center", "extent", "location", "speed"]
    np.testing.assert_allclose(loaded["true_ego_pos"], [-185.9, 108.5, 0.03, 0.4, 174.2, 2.0])
    np.testing.assert_allclose(np.array(loaded["camera0"]["extrinsic"])[:3, 3], [-3, 0, 0.9])
    assert loaded["vehicles"][1045]["extent"] == [2.4, 1.0, 0.75]
    assert loaded["plan_trajectory"] == [[1.0, 2.0, 3.0]]


def test_a_missing_camera_file_is_one_image_less(tmp_path):
    """As in train/2021_09_09_13_20_58, whose cars have no camera3 (OpenCOOD issue 167)."""
    frame = write_car(car_frame(tmp_path))
    frame.image_path("camera3").unlink()
    dataset = Opv2v(tmp_path)
    got = dataset.read(frame.id)
    assert "camera3" in got.rig.names
    assert list(dataset.images(got)) == ["camera0", "camera1", "camera2"]


def test_a_car_with_fewer_cameras_in_its_yaml_has_a_smaller_rig(tmp_path):
    write_car(without_cameras(car_frame(tmp_path), "camera1"), points=None)
    got = Opv2v(tmp_path).read(car_frame(tmp_path).id)
    assert got.rig.names == ("camera0", "camera2", "camera3")
    assert got.lidar_from_cameras_written.shape == (3, 4, 4)


def test_a_car_that_lists_itself_is_no_other_vehicle(tmp_path):
    frame = write_car(car_frame(tmp_path, agent="31"))
    assert [v.id for v in Opv2v(tmp_path).read(frame.id).vehicles] == ["1045"]


def test_broken_files_are_named(tmp_path):
    frame = write_car(car_frame(tmp_path))
    dataset = Opv2v(tmp_path)
    frame.image_path("camera1").write_bytes(b"junk")
    with pytest.raises(DatasetError, match=r"000068_camera1\.png is no PNG"):
        dataset.images(frame)
    with pytest.raises(DatasetError, match=r"000099\.yaml"):
        dataset.read(replace(frame.id, frame="000099"))
    frame.yaml_path.write_text("")
    with pytest.raises(DatasetError, match=r"000068\.yaml is empty"):
        dataset.read(frame.id)


def test_an_off_centre_camera_takes_its_size_from_its_image(tmp_path):
    frame = write_car(car_frame(tmp_path))
    text = frame.yaml_path.read_text()
    assert "    - 20.0\n" in text
    frame.yaml_path.write_text(text.replace("    - 20.0\n", "    - 18.3\n"))
    got = Opv2v(tmp_path).read(frame.id)
    assert {(c.camera.height, c.camera.width) for c in got.rig.cameras} == {(30, 40)}
    frame.image_path("camera2").unlink()
    with pytest.raises(DatasetError, match="000068_camera2"):
        Opv2v(tmp_path).read(frame.id)


@pytest.mark.parametrize("reference", ["lidar", "ego", "box_centre"])
def test_each_reference_sees_the_cameras_at_the_same_place_of_the_world(tmp_path, reference):
    frame = write_car(car_frame(tmp_path))
    got = Opv2v(tmp_path, reference=reference).read(frame.id)
    world = got.world_from_car @ got.rig.car_from_cameras
    np.testing.assert_allclose(world, frame.world_from_car @ frame.rig.car_from_cameras, atol=1e-9)
    above_ego = (np.linalg.inv(got.world_from_ego) @ got.world_from_car)[:3, 3]
    expected = {"lidar": [0, -1.9, -0.5], "ego": [0, 0, 0], "box_centre": [0, -0.75, 0]}
    np.testing.assert_allclose(above_ego, expected[reference], atol=1e-9)


def test_the_box_centre_is_what_other_cars_list_the_same_in_every_frame(tmp_path):
    """So the rig does not change from frame to frame with who is seen by whom."""
    for frame in ("000068", "000070", "000072"):
        write_car(car_frame(tmp_path, "31", frame), images={}, points=None)
        seen = car_frame(tmp_path, "1045", frame)
        vehicles = seen.vehicles if frame == "000070" else seen.vehicles[:1]
        write_car(replace(seen, vehicles=vehicles), images={}, points=None)
    dataset = Opv2v(tmp_path, reference="box_centre")
    frames = [dataset.read(i) for i in dataset.car_frames("train") if i.agent == "31"]
    for frame in frames:
        above_ego = (np.linalg.inv(frame.world_from_ego) @ frame.world_from_car)[:3, 3]
        np.testing.assert_allclose(above_ego, [0, -1.2, 0], atol=1e-9)
    assert len({f.rig.digest for f in frames}) == 1


def test_parsed_frames_are_kept_until_their_file_changes(tmp_path, monkeypatch):
    root, cache = tmp_path / "set", tmp_path / "cache"
    frames = [write_car(car_frame(root, "207", f), images={}, points=None) for f in ("1", "2")]
    first = [Opv2v(root, cache_dir=cache).read(f.id) for f in frames]
    assert [p.name for p in cache.rglob("*.frames")] == ["207.frames"], "one file a car"

    def parsed(path):
        raise AssertionError(f"{path} was parsed again")

    monkeypatch.setattr(frame_cache, "read_frame_yaml", parsed)
    again = Opv2v(root, cache_dir=cache)
    for a, b in zip(first, frames, strict=True):
        assert same(again.read(b.id), a, atol=0)
    os.utime(frames[0].yaml_path, ns=(1, 1))
    with pytest.raises(AssertionError, match=r"1\.yaml"):
        Opv2v(root, cache_dir=cache).read(frames[0].id)
    monkeypatch.undo()
    moved = replace(frames[0], ego_speed_kmh=99.0)
    write_car(moved, images={}, points=None)
    assert again.read(moved.id).ego_speed_kmh == 99.0


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped", "empty"])
def test_a_damaged_cache_costs_time_and_no_result(tmp_path, damage):
    root, cache = tmp_path / "set", tmp_path / "cache"
    frames = [
        write_car(car_frame(root, "207", f"{n:06d}"), images={}, points=None) for n in range(4)
    ]
    first = [Opv2v(root, cache_dir=cache).read(f.id) for f in frames]
    (file,) = cache.rglob("*.frames")
    data = file.read_bytes()
    half = len(data) // 2 + 400  # within the numbers of the third frame
    file.write_bytes(
        {
            "cut": data[:half],
            "garbage": data[:half] + b"GOF1" * 9 + data[half + 7 :],
            "flipped": data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :],
            "empty": b"",
        }[damage]
    )
    dataset = Opv2v(root, cache_dir=cache)
    for a, b in zip(first, frames, strict=True):
        assert same(dataset.read(b.id), a, atol=0)
    kept = frame_cache._load(file)
    assert len(kept) == 4, "what was parsed again was kept again, behind the damage"


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, caplog):
    root = tmp_path / "set"
    frames = [write_car(car_frame(root, "207", f), images={}, points=None) for f in ("1", "2")]
    (tmp_path / "file").touch()
    dataset = Opv2v(root, cache_dir=tmp_path / "file")
    for frame in frames:
        assert dataset.read(frame.id).id == frame.id
    assert len(caplog.records) == 1, "said once"


def test_errors_are_not_cached_and_other_roots_have_other_caches(tmp_path):
    cache = tmp_path / "cache"
    roots = [tmp_path / "a", tmp_path / "b"]
    for x, root in enumerate(roots):
        write_car(car_frame(root, x=100.0 * x), images={}, points=None)
    got = [Opv2v(root, cache_dir=cache).read(car_frame(root).id) for root in roots]
    assert np.linalg.norm((got[0].world_from_car - got[1].world_from_car)[:3, 3]) == pytest.approx(
        100
    )
    path = got[0].yaml_path
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    for _ in range(2):
        with pytest.raises(DatasetError, match="truncated"):
            Opv2v(roots[0], cache_dir=cache).read(got[0].id)
    path.write_text(text)
    assert same(Opv2v(roots[0], cache_dir=cache).read(got[0].id), got[0], atol=0)


def test_a_reader_works_in_threads_and_survives_pickling(tmp_path):
    root = tmp_path / "set"
    for agent in ("1", "2"):
        for n in range(6):
            write_car(car_frame(root, agent, f"{n:06d}", x=n), images={}, points=None)
    dataset = Opv2v(root, cache_dir=tmp_path / "cache", reference="box_centre", min_cars=2)
    ids = dataset.car_frames("train")
    assert len(ids) == 12
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(dataset.read, ids * 2))
    copied = pickle.loads(pickle.dumps(dataset))
    assert copied.car_frames("train") == ids
    for a, b in zip(got, ids * 2, strict=True):
        assert same(a, copied.read(b), atol=0)


def test_moments_need_no_file_to_be_read(tmp_path):
    touch(tmp_path, a1=["000068"], a2=["000068", "000070"])
    (one, two) = Opv2v(tmp_path).moments("train")
    assert (one.scenario, one.agents, two.agents) == (SCENARIO, ("1", "2"), ("2",))
    with pytest.raises(DatasetError, match="is empty"):
        Opv2v(tmp_path).read(one.ids[0])


@pytest.mark.parametrize("target", ["nowhere.png", "000068_camera1.png"])
def test_a_link_to_nothing_is_no_missing_camera(tmp_path, target):
    written = write_car(car_frame(tmp_path), WriteOptions())
    dataset = Opv2v(tmp_path)
    path = written.image_path("camera1")
    path.unlink()
    assert "camera1" not in dataset.images(written)
    path.symlink_to(target)
    with pytest.raises(DatasetError, match=r"000068_camera1\.png is a link to nothing"):
        dataset.images(written)


def test_depth_behind_a_link_to_nothing_is_not_taken_from_the_lidar(tmp_path):
    written = write_car(
        car_frame(tmp_path), WriteOptions(depth="npy"), depths_m=depths(car_frame(tmp_path), 9.0)
    )
    dataset = Opv2v(tmp_path)
    assert dataset.depths(written).source == "npy"
    for path in list(written.folder.glob("*_depth.npy")):
        path.unlink()
        path.symlink_to("nowhere.npy")
    with pytest.raises(DatasetError, match="is a link to nothing"):
        dataset.depths(written)
