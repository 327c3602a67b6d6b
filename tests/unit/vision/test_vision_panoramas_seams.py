"""Seams between cameras: small where they fit, large where two are swapped; exposure jitter."""

from __future__ import annotations

import numpy as np
import pytest
from panorama_support import World, nominal_rig, panorama, photographs, pinhole

from gimbal_vision.errors import CameraError
from gimbal_vision.panoramas.builder import PanoramaBuilder
from gimbal_vision.panoramas.exposure import exposure_jitter, panorama_jitter
from gimbal_vision.panoramas.model import BuildOptions
from gimbal_vision.panoramas.seams import SeamMeter, image_steps

STREET = World(ground=1.9, boxes=[((-9, -6, -20), (-7, 2, 30)), ((8, -4, -30), (12, 2, 6))])
LENS = pinhole(240, 180)


def test_cameras_at_one_place_fit_and_swapped_ones_stand_out():
    rig = nominal_rig(centred=True, camera=LENS)
    images, _ = photographs(STREET, rig)
    meter = SeamMeter(PanoramaBuilder(rig, panorama(), BuildOptions(blend="nearest")))
    right = meter.seams(images)
    pairs = [(s.first[-1], s.second[-1]) for s in right]
    assert pairs == [("0", "1"), ("0", "2"), ("1", "3"), ("2", "3")]
    assert [s.overlap_pixels > 0 for s in right] == [False, False, True, True]
    assert all(s.border_pixels == 42 and s.ratio < 2.0 for s in right)
    assert all(np.isnan(s.overlap_error) == (s.overlap_pixels == 0) for s in right)
    assert max(s.overlap_error for s in right[2:]) < 12.0
    swapped = meter.seams([images[0], images[2], images[1], images[3]])
    for good, bad in zip(right, swapped, strict=True):
        assert bad.border_step > 2.0 * good.border_step
    assert min(s.overlap_error for s in swapped[2:]) > 3.0 * max(s.overlap_error for s in right[2:])


def test_depth_takes_parallax_out_of_the_overlaps():
    rig = nominal_rig(camera=LENS)
    images, depths = photographs(STREET, rig)
    errors = {}
    for warp in ("rotation", "splat", "fixed_point"):
        meter = SeamMeter(PanoramaBuilder(rig, panorama(), BuildOptions(warp=warp)))
        errors[warp] = max(s.overlap_error for s in meter.seams(images, depths)[2:])
    assert errors["splat"] < 0.4 * errors["rotation"]
    assert errors["fixed_point"] < 0.4 * errors["rotation"]


def test_feathering_softens_the_step_that_exposure_leaves():
    rig = nominal_rig(centred=True, camera=LENS).only(["camera1", "camera3"])
    images = [np.full((180, 240, 3), level, np.uint8) for level in (90, 130)]
    steps = {}
    for blend in ("nearest", "feather"):
        builder = PanoramaBuilder(rig, panorama(), BuildOptions(blend=blend, feather_px=60.0))
        steps[blend] = image_steps(builder.build(images))
    assert steps["nearest"] == (40.0, 0.0)
    assert steps["feather"][0] < 15.0
    alone = PanoramaBuilder(rig.only(["camera1"]), panorama())
    assert np.isnan(image_steps(alone.build(images[:1]))).all()


def test_exposure_jitter_is_a_gain_of_each_camera_and_repeatable():
    levels = np.arange(256, dtype=np.uint8)
    image = np.repeat(np.tile(levels, (2, 1))[..., None], 3, axis=-1)
    first = exposure_jitter([image, image], np.random.default_rng(7))
    again = exposure_jitter([image, image], np.random.default_rng(7))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    for jittered in first:
        gains = jittered[0, 100].astype(float) / 100.0
        expected = np.minimum(levels[:, None] * gains, 255)
        assert np.abs(jittered[0] - expected).max() <= 2.0
    np.testing.assert_array_equal(exposure_jitter([image], np.random.default_rng(0), 0.0)[0], image)
    spread = [
        np.log(exposure_jitter([image[:, :101]], np.random.default_rng(s))[0][0, 100, 0] / 100.0)
        for s in range(200)
    ]
    assert np.std(spread) == pytest.approx(0.2 * np.sqrt(1 + 1 / 16), rel=0.2)
    with pytest.raises(CameraError, match="-1"):
        exposure_jitter([image], np.random.default_rng(0), -1.0)


def test_a_panorama_drawn_without_images_gets_the_gains_its_cameras_images_would_have():
    rng = np.random.default_rng(3)
    images = list(rng.integers(0, 256, (3, 5, 7, 3), dtype=np.uint8))
    index = rng.choice(np.array([0, 2, 255], np.uint8), (5, 7))  # camera 1 gives nothing
    pick = np.where(index == 255, 0, index)
    drawn = np.take_along_axis(np.stack(images), pick[None, ..., None], axis=0)[0]
    jittered = panorama_jitter(drawn, index, np.random.default_rng(9), 0.5)
    each = exposure_jitter([drawn] * 3, np.random.default_rng(9), 0.5)
    for camera in (0, 2):
        np.testing.assert_array_equal(jittered[index == camera], each[camera][index == camera])
    np.testing.assert_array_equal(jittered[index == 255], drawn[index == 255])
    assert not np.array_equal(jittered, drawn)
