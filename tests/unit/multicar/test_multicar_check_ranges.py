"""Ranges of a panorama are compared with the cloud; what is wrong with them has a cause."""

from __future__ import annotations

import numpy as np
import pytest
from multicar_opv2v_support import car_frame, cloud, write_car

from gimbal_multicar.checking.finding import Status
from gimbal_multicar.checking.panoramas import build
from gimbal_multicar.checking.range_checks import (
    RangeMeasure,
    judge_ranges,
    measure_ranges,
    nearest_points_m,
)
from gimbal_multicar.checking.samples import read_samples
from gimbal_multicar.config import DataSettings
from gimbal_multicar.fusing import open_dataset
from gimbal_vision.cameras import Equirectangular

CAMERA = Equirectangular.from_vfov(60, 360, 60.0)


def test_the_nearest_point_of_a_pixel_counts() -> None:
    """One degree a pixel: ahead is the middle, and to the right a quarter further."""
    ahead = np.array([0.02, 0.02, 1.0])
    right = np.array([1.0, 0.02, -0.02])
    up = np.array([0.0, -1.0, 0.0])
    points = np.stack([9.0 * ahead, 4.0 * ahead, 7.0 * right, 5.0 * up]).astype(np.float32)
    nearest = nearest_points_m(points, CAMERA)
    found = {(int(r), int(c)): nearest[r, c] for r, c in np.argwhere(np.isfinite(nearest))}
    assert found == {
        (31, 181): pytest.approx(4.0 * np.linalg.norm(ahead)),
        (31, 271): pytest.approx(7.0 * np.linalg.norm(right)),
    }


def test_a_panorama_of_the_cloud_itself_agrees_with_it(tmp_path) -> None:
    frame = car_frame(tmp_path)
    ground = np.random.default_rng(1).uniform([-25, 1.9, -25], [25, 1.9, 25], (20000, 3))
    sweep = cloud(frame)
    points = np.concatenate([sweep.points, ground]).astype(np.float32)
    write_car(frame, points=type(sweep)(points, np.ones(len(points), np.float32)))
    data = DataSettings.model_validate(
        {
            "root": tmp_path,
            "splits": ["train"],
            "min_cars": 1,
            "cache_dir": tmp_path / "cache",
            "panorama": {"width": 252, "height": 42, "vfov_deg": 60.0},
        }
    )
    (sample,) = read_samples(open_dataset(data), [frame.id], {})
    assert sample is not None
    image = build(sample, data)
    assert image is not None
    found = measure_ranges(sample, image)
    assert found is not None and found.pixels > 500
    assert found.close > 0.9
    longer = type(image)(**{**vars(image), "range_m": 1.3 * image.range_m})
    wrong = measure_ranges(sample, longer)
    assert wrong is not None and wrong.close < 0.1
    assert wrong.ratio == pytest.approx(1.3, abs=0.02)


def measured(close: float, place: str = "train/a/1") -> RangeMeasure:
    return RangeMeasure(place=place, pixels=1000, close=close, ratio=0.93)


@pytest.mark.parametrize(
    ("close", "warp", "status", "words"),
    [
        (0.97, "auto", Status.OK, ""),
        (0.5, "auto", Status.FAIL, "do not give the ranges from the panorama's centre"),
        (0.3, "rotation", Status.WARN, "warp=rotation keeps each camera's own ranges"),
    ],
)
def test_ranges_that_are_not_the_centre_s_have_a_cause(
    close: float, warp: str, status: Status, words: str
) -> None:
    found = judge_ranges([measured(0.98, "train/a/2"), measured(close)], warp)
    assert found.status is status and words in found.cause
    assert found.where == (() if status is Status.OK else ("train/a/1",))


def test_without_points_nothing_is_claimed() -> None:
    assert judge_ranges([], "auto").status is Status.CANNOT_TELL
