"""How colours are shared among cameras: complete, continuous, and by angle where that is asked."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from panorama_support import World, nominal_rig, panorama, photographs

from gimbal_vision.panoramas.blending import blend_weights, primary_camera, smoothstep
from gimbal_vision.panoramas.builder import PanoramaBuilder
from gimbal_vision.panoramas.model import BuildOptions
from gimbal_vision.panoramas.sighting import all_directions
from gimbal_vision.panoramas.table import make_table

CROWDED = (0.0, 35.0, -35.0, 70.0)
"""Every direction near the front is seen by two to four of these."""


def weights_of(yaws: tuple[float, ...], width: int, options: BuildOptions):
    rig = nominal_rig(centred=True, yaws=yaws)
    sighting = all_directions(rig, panorama(width // 6, width).rays(), options.min_cos_view_angle)
    return sighting, blend_weights(rig, sighting, options)


@pytest.mark.parametrize("blend", ["nearest", "feather"])
@pytest.mark.parametrize("yaws", [(0.0, 100.0, -100.0, 180.0), CROWDED], ids=["opv2v", "crowded"])
def test_shares_sum_to_one_wherever_a_camera_sees(blend, yaws):
    sighting, weights = weights_of(yaws, 252, BuildOptions(blend=blend))
    seen = sighting.seen.any(axis=0)
    np.testing.assert_allclose(weights.sum(axis=0), seen.astype(float), atol=1e-12)
    assert (weights >= 0).all() and not weights[~sighting.seen].any()
    rig = nominal_rig(centred=True, yaws=yaws)
    table = make_table(rig, panorama(), BuildOptions(blend=blend))
    total = table.weight.copy().reshape(-1)
    np.add.at(total, table.extra_pixel, table.extra_weight)
    np.testing.assert_allclose(total, (table.camera_index != 255).reshape(-1), atol=1e-6)
    assert (table.extra_pixel.size > 0) == (blend == "feather")


def test_shares_need_no_arithmetic_with_infinity():
    """Where two cameras both do not see, comparing them must not be inf - inf."""
    rig = nominal_rig(centred=True, yaws=(0.0, 60.0, 90.0))
    sighting = all_directions(rig, panorama().rays(), 0.05)
    assert (~sighting.seen).all(axis=0).any()
    with np.errstate(invalid="raise", divide="raise", over="raise"):
        blend_weights(rig, sighting, BuildOptions())


def test_feathered_shares_are_continuous():
    """The largest step between neighbours halves when pixels do; a hard border's would not."""
    steps = []
    for width in (252, 504, 1008):
        sighting, weights = weights_of((0.0, 60.0), width, BuildOptions(feather_px=40.0))
        row = weights[0, width // 12]
        both = sighting.seen.any(axis=0)[width // 12]
        steps.append(np.abs(np.diff(row))[both[1:] & both[:-1]].max())
    assert steps[1] < 0.6 * steps[0] and steps[2] < 0.6 * steps[1]
    sighting, hard = weights_of((0.0, 60.0), 1008, BuildOptions(blend="nearest"))
    assert np.abs(np.diff(hard[0, 84])).max() == 1.0


def test_nearest_takes_the_smallest_angle():
    sighting, weights = weights_of(CROWDED, 252, BuildOptions(blend="nearest"))
    angle = np.where(sighting.seen, sighting.cosine, -2.0)
    seen = sighting.seen.any(axis=0)
    assert (weights.argmax(axis=0) == angle.argmax(axis=0))[seen].all()
    assert (primary_camera(sighting, weights)[~seen] == 255).all()


def test_smoothstep_is_level_at_both_ends():
    np.testing.assert_allclose(smoothstep(np.array([-1.0, 0.0, 0.5, 1.0, 9.0])), [0, 0, 0.5, 1, 1])
    assert smoothstep(np.array([0.01]))[0] < 0.001 and smoothstep(np.array([0.99]))[0] > 0.999


def test_the_view_angle_limit_narrows_every_camera():
    options = BuildOptions(min_cos_view_angle=float(np.cos(np.radians(30.0))))
    sighting, _ = weights_of((0.0,), 720, options)
    azimuth = np.abs((np.arange(720) + 0.5) / 2.0 - 180.0)
    np.testing.assert_array_equal(sighting.seen[0, 60], azimuth < 30.0)


@pytest.mark.parametrize("yaws", [(0.0, 100.0, -100.0, 180.0), CROWDED], ids=["opv2v", "crowded"])
def test_drawn_colours_are_the_weighted_mean_of_the_table(yaws):
    """The fast drawing, rectangle by rectangle, against the plain sum over cameras."""
    rig = nominal_rig(centred=True, yaws=yaws)
    rng = np.random.default_rng(3)
    images = [
        cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3)).astype(np.uint8), (0, 0), 1.5)
        for _ in yaws
    ]
    options = BuildOptions(feather_px=30.0)
    sighting = all_directions(rig, panorama().rays(), options.min_cos_view_angle)
    weights = blend_weights(rig, sighting, options)
    mean = np.zeros((42, 252, 3))
    for i, image in enumerate(images):
        at = [(c[i] - 0.5).astype(np.float32) for c in (sighting.u, sighting.v)]
        one = cv2.remap(image, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mean += np.where(weights[i] > 0, weights[i], 0.0)[..., None] * one
    built = PanoramaBuilder(rig, panorama(), options).build(images)
    assert np.abs(built.rgb - mean).max() <= 3.0


def test_depth_is_not_mixed_where_colours_are():
    rig = nominal_rig(centred=True)
    images, _ = photographs(World(ground=2.0), rig)
    depths = [np.full((120, 160), 10.0 * (i + 1), np.float32) for i in range(4)]
    builder = PanoramaBuilder(rig, panorama(), BuildOptions(feather_px=60.0))
    built = builder.build(images, depths)
    factor = np.stack([c.camera.range_per_depth() for c in rig.cameras])
    table = builder.table
    row, column = np.rint(table.y).astype(int), np.rint(table.x).astype(int)
    z = built.range_m / factor[table.camera_index, row, column]
    np.testing.assert_allclose(z, 10.0 * (table.camera_index + 1.0), rtol=1e-5)
