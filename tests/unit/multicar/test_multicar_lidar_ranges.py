"""Ranges of a car whose only depth is its LiDAR: the cloud as the panorama's centre sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from multicar_opv2v_support import car_frame, cloud
from panorama_rows_support import settings, write_set
from street_support import Street, write_street

from gimbal_multicar.checking.panoramas import build
from gimbal_multicar.checking.samples import read_samples
from gimbal_multicar.config import DataSettings, PanoramaSettings
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.fusing import Fused, fuse, open_dataset
from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.opv2v.naming import depth_npy_name
from gimbal_multicar.opv2v.own_cloud import beyond_body, cloud_in_car
from gimbal_multicar.opv2v.pcd import LidarPoints

HEIGHT, WIDTH, VFOV_DEG = 80, 480, 60.0
"""With 84 rows, rings of the LiDAR would lie on the very borders of rows, where rounding decides.
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    return write_street(tmp_path_factory.mktemp("street"))


def data_of(street: Street, reference: str = "lidar", **panorama: object) -> DataSettings:
    return DataSettings.model_validate(
        {
            "root": street.root,
            "splits": [street.made.split],
            "depth": "lidar",
            "reference": reference,
            "cache_dir": street.root / "cache",
            "panorama": {"height": HEIGHT, "width": WIDTH, "vfov_deg": VFOV_DEG} | panorama,
        }
    )


def first_id(street: Street) -> CarFrameId:
    made = street.made
    return CarFrameId(made.split, made.name, made.agents[0], street.frame)


def fused_with_truth(street: Street, data: DataSettings) -> tuple[Fused, np.ndarray]:
    """Return the panorama, and [H, W] the nearest point of each pixel by formulas of its own."""
    dataset = open_dataset(data)
    fused = fuse(dataset, first_id(street), data)
    frame = fused.frame
    points = dataset.points(frame).points.astype(np.float64)
    homogeneous = np.column_stack([points, np.ones(len(points))])
    x, y, z, _ = np.linalg.solve(frame.world_from_car, frame.world_from_lidar @ homogeneous.T)
    column = np.floor(WIDTH * (np.arctan2(x, z) / (2 * np.pi) + 0.5)).astype(int) % WIDTH
    elevation = np.arctan2(y, np.hypot(x, z))
    row = np.floor(HEIGHT * (elevation / np.radians(VFOV_DEG) + 0.5)).astype(int)
    inside = (row >= 0) & (row < HEIGHT)
    nearest = np.full((HEIGHT, WIDTH), np.inf)
    ranges = np.sqrt(x * x + y * y + z * z)
    np.minimum.at(nearest, (row[inside], column[inside]), ranges[inside])
    return fused, nearest


def share_close(fused: Fused, nearest: np.ndarray) -> float:
    """Return the share of valid pixels within 5 %; where no point is, none are."""
    valid = fused.image.valid
    error = np.abs(fused.image.range_m[valid] - nearest[valid]) / fused.image.range_m[valid]
    return float((error < 0.05).mean())


@pytest.mark.parametrize("reference", ["lidar", "ego", "box_centre"])
def test_ranges_are_the_clouds_from_the_panoramas_centre(street: Street, reference: str) -> None:
    fused, nearest = fused_with_truth(street, data_of(street, reference))
    assert fused.warp == "ranges" and fused.source.depth_source == "lidar"
    assert share_close(fused, nearest) > 0.95
    fill = np.isfinite(nearest) & fused.image.coverage
    assert fill.mean() > 0.1
    assert fused.image.valid.mean() == pytest.approx(fill.mean(), abs=0.005)


def test_a_camera_s_own_ranges_are_not_the_centre_s(street: Street) -> None:
    """What the test above would say of ranges looked up in the cameras' sparse depth."""
    fused, nearest = fused_with_truth(street, data_of(street, warp="rotation"))
    assert share_close(fused, nearest) < 0.4
    assert fused.image.valid.mean() < 0.8 * np.isfinite(nearest).mean()


def test_what_the_lidar_did_not_meet_is_not_sky(street: Street) -> None:
    image = fuse(open_dataset(data_of(street)), first_id(street), data_of(street)).image
    assert (image.non_ambiguous == image.coverage).all()
    assert not image.valid.all() and image.moved_share == 0.0


def test_check_judges_the_panorama_that_a_run_writes(street: Street) -> None:
    for warp in ("auto", "rotation"):
        data = data_of(street, warp=warp)
        dataset = open_dataset(data)
        (sample,) = read_samples(dataset, [first_id(street)], {})
        assert sample is not None
        judged, written = build(sample, data), fuse(dataset, first_id(street), data).image
        assert judged is not None
        for name in ("rgb", "range_m", "non_ambiguous", "valid", "camera_index"):
            np.testing.assert_array_equal(getattr(judged, name), getattr(written, name))


def test_the_car_does_not_see_itself(tmp_path: Path) -> None:
    frame = car_frame(tmp_path)
    body = np.array([[0.0, 0.4, 1.2], [1.0, 0.5, -1.9], [-1.0, 1.0, 2.9]], np.float32)
    around = np.array([[1.2, 0.4, 0.0], [0.0, 1.9, -2.0], [0.0, 1.9, 3.0]], np.float32)
    assert not beyond_body(body).any() and beyond_body(around).all()
    kept = cloud_in_car(frame, np.concatenate([body, around]))
    np.testing.assert_allclose(kept, around, atol=1e-5)


def test_a_depth_root_that_is_no_folder_is_named(tmp_path: Path) -> None:
    root = write_set(tmp_path / "opv2v", depth=False)
    for depth in ("auto", "lidar", "npy"):
        with pytest.raises(DatasetError, match="nope is no folder") as caught:
            open_dataset(settings(root, depth_root=tmp_path / "nope", depth=depth))
        assert "data.depth_root" in caught.value.remedy


def test_a_depth_root_without_depth_of_the_set_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files of other scenarios, and files of no depth, do not count; those of the set do."""
    root, other = write_set(tmp_path / "opv2v", depth=False), tmp_path / "depth"
    strange = other / "train" / "2020_01_01_00_00_00" / "207"
    strange.mkdir(parents=True)
    (strange / depth_npy_name("000068", "camera0")).touch()
    for depth in ("npy", "opv2v_h"):
        with pytest.raises(DatasetError, match="holds no depth file of any car"):
            open_dataset(settings(root, depth_root=other, depth=depth))
    dataset = open_dataset(settings(root, depth_root=other))
    assert [record.name for record in caplog.records] == ["gimbal.multicar"]
    assert f"{other} holds no depth file of any car of {root}" in caplog.text
    frame = dataset.read(dataset.car_frames("train")[0])
    assert dataset.depths(frame).source == "lidar"
    full = write_set(tmp_path / "full")
    for depth in ("npy", "auto"):
        open_dataset(settings(root, depth_root=full, depth=depth))
    assert len(caplog.records) == 1


def test_the_clouds_of_the_small_set_are_what_they_seem(tmp_path: Path) -> None:
    """Depth of a reader says which points it was made of, in the car's frame."""
    root = write_set(tmp_path / "opv2v", depth=False)
    dataset = open_dataset(settings(root, panorama=PanoramaSettings(), reference="ego"))
    frame = dataset.read(dataset.car_frames("train")[0])
    read = dataset.depths(frame).points_car
    sweep: LidarPoints = cloud(car_frame(root, frame.id.agent, frame.id.frame))
    assert read is not None
    expected = cloud_in_car(frame, sweep.points)
    np.testing.assert_allclose(read, expected, atol=1e-3)
    assert abs(np.median(read[:, 1]) - np.median(sweep.points[:, 1])) > 1.0, "the ground is lower"
