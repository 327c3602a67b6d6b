"""Panoramas as their centre sees them: ranges and colours of the right surface, parallax gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from panorama_support import (
    World,
    nominal_rig,
    panorama,
    photographs,
    pinhole,
    relative_error,
    truth,
)

from gimbal_vision.cameras import Cylindrical
from gimbal_vision.panoramas.builder import PanoramaBuilder
from gimbal_vision.panoramas.hiding import colour_hidden
from gimbal_vision.panoramas.model import BuildOptions, PanoramaImage
from gimbal_vision.panoramas.packing import HIDDEN, KNOWN, SKY
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.splatting import bridge_gaps

LENS = pinhole(240, 180)
ROOM = World(boxes=[((-9.0, -5.0, -8.0), (9.0, 4.0, 14.0))])
PILLARS = World(
    boxes=[
        *ROOM.boxes,
        ((2.0, -5.0, 7.0), (2.8, 4.0, 7.8)),
        ((-3.5, -5.0, -4.0), (-3.0, 4.0, -3.5)),
    ]
)
WARPS = ("splat", "fixed_point")


def build(world: World, rig: Rig, **options: object) -> PanoramaImage:
    chosen = replace(BuildOptions(feather_px=10.0), **options)
    return PanoramaBuilder(rig, panorama(), chosen).build(*photographs(world, rig))


@pytest.mark.parametrize("warp", WARPS)
@pytest.mark.parametrize(
    "camera", [panorama(), Cylindrical.from_vfov(40, 252)], ids=["equirectangular", "cylindrical"]
)
def test_displaced_cameras_recover_the_range_from_the_centre(camera, warp):
    rig = nominal_rig(camera=LENS)
    images, depths = photographs(ROOM, rig)
    built = PanoramaBuilder(rig, camera, BuildOptions(warp=warp)).build(images, depths)
    plain = PanoramaBuilder(rig, camera, BuildOptions()).build(images, depths)
    rgb, ranges, _ = truth(ROOM, camera)
    assert built.valid.mean() > 0.8, "a camera 3 m ahead does not see all of the near floor"
    assert np.quantile(relative_error(built, ranges), 0.99) < 0.03
    assert np.quantile(relative_error(plain, ranges), 0.9) > 0.1, "or this proves nothing"
    wrong = np.abs(built.rgb.astype(int) - rgb)[built.valid]
    plainly_wrong = np.abs(plain.rgb.astype(int) - rgb)[built.valid]
    assert wrong.mean() < 0.2 * plainly_wrong.mean()
    assert built.moved_share > 0.1 and plain.moved_share == 0.0


@pytest.mark.parametrize("warp", WARPS)
def test_with_cameras_at_the_centre_nothing_moves(warp):
    rig = nominal_rig(centred=True, camera=LENS)
    built, plain = build(PILLARS, rig, warp=warp), build(PILLARS, rig)
    assert built.moved_share == 0.0
    difference = np.abs(built.rgb.astype(int) - plain.rgb)
    assert np.quantile(difference, 0.99) <= 8
    close = np.abs(built.range_m - plain.range_m) <= 0.05 * plain.range_m
    assert close.mean() > 0.97 and built.valid.mean() > 0.99


@pytest.mark.parametrize("warp", WARPS)
def test_every_range_is_of_one_of_the_surfaces_around(warp):
    """A range between a pillar and the wall behind it would be a surface that does not exist."""
    rig = nominal_rig(camera=LENS)
    built = build(PILLARS, rig, warp=warp)
    _, ranges, _ = truth(PILLARS, panorama(126, 756))
    around = np.stack(
        [
            np.roll(ranges.reshape(42, 3, 252, 3), (dy, dx), (0, 2)).transpose(1, 3, 0, 2)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
    ).reshape(-1, 42, 252)
    error = (np.abs(around - built.range_m) / around).min(axis=0)
    inner = built.valid.copy()
    inner[[0, -1]] = False
    wall = World(boxes=ROOM.boxes).cast(np.zeros(3), panorama().rays())[0]
    behind = np.abs(wall - built.range_m) / wall
    between = inner & (np.minimum(error, behind) > 0.06)
    assert between.mean() < 0.001


def test_what_is_hidden_from_a_camera_is_not_coloured_by_it():
    """Behind the pillar, seen from camera 0, lies wall that the centre does see."""
    rig = nominal_rig(camera=LENS).only(["camera0", "camera1"])
    built = build(PILLARS, rig, warp="splat", blend="nearest")
    _, ranges, which = truth(PILLARS, panorama())
    eye = rig.cameras[0].car_from_camera[:3, 3]
    offset = panorama().rays() * ranges[..., None] - eye
    distance = np.linalg.norm(offset, axis=-1)
    pillar, _ = World(boxes=PILLARS.boxes[1:2]).cast(eye, offset / distance[..., None])
    shadow = (pillar < distance - 0.1) & (which == 1) & (built.camera_index == 0)
    inside = shadow & np.roll(shadow, 1, axis=1) & np.roll(shadow, -1, axis=1)
    assert inside.sum() > 50 and not (built.valid & inside).any()


def test_the_nearest_surface_wins():
    rig = nominal_rig(camera=LENS)
    built = build(PILLARS, rig, warp="splat")
    _, ranges, which = truth(PILLARS, panorama())
    pillar = which == 2
    inside = pillar & np.roll(pillar, 1, axis=1) & np.roll(pillar, -1, axis=1) & built.valid
    inside[:12] = False  # too high for the camera 3 m nearer, which sees what is behind
    assert inside.any()
    error = np.abs(built.range_m - ranges)[inside] / ranges[inside]
    assert (error < 0.05).mean() > 0.97


def test_the_share_of_moved_colours_grows_with_parallax():
    """3 m to the side move 252 / 2 pi atan(3 / d) columns: 4 of them up to d = 30 m."""
    rig = nominal_rig(camera=LENS)
    shares = []
    for size in (8.0, 15.0, 300.0):
        world = World(boxes=[((-size, -size, -size), (size, size, size))])
        shares.append(build(world, rig, warp="splat", max_range_m=1000.0).moved_share)
    assert shares[0] > 0.2 and shares[0] > shares[1] > shares[2] == 0.0


def test_unknown_depth_keeps_the_colour_of_the_rotation():
    rig = nominal_rig(camera=LENS)
    images, depths = photographs(ROOM, rig)
    nothing = [np.zeros_like(d) for d in depths]
    options = BuildOptions(warp="splat", feather_px=10.0)
    built = PanoramaBuilder(rig, panorama(), options).build(images, nothing)
    plain = PanoramaBuilder(rig, panorama(), replace(options, warp="rotation")).build(images)
    assert not built.valid.any() and not built.range_m.any()
    np.testing.assert_array_equal(built.coverage, plain.coverage)
    np.testing.assert_array_equal(built.non_ambiguous, plain.coverage)
    assert np.abs(built.rgb.astype(int) - plain.rgb).max() <= 4
    assert (built.camera_index == plain.camera_index).mean() > 0.999


@pytest.mark.parametrize("warp", WARPS)
def test_the_sky_stays_where_it_is(warp):
    world = World(ground=1.9)
    rig = nominal_rig(camera=LENS)
    built = build(world, rig, warp=warp)
    rgb, ranges, _ = truth(world, panorama())
    upper = np.isinf(ranges)
    upper[20:] = False
    assert not built.non_ambiguous[upper].any() and not built.valid[upper].any()
    assert np.abs(built.rgb.astype(int) - rgb)[upper].max() <= 3
    assert (built.valid <= built.non_ambiguous).all()


def test_short_gaps_are_bridged_by_what_is_behind_and_long_ones_are_not():
    inf = np.inf
    row = [5, 5, inf, 5, 5, inf, inf, 9, 9, inf, inf, inf, 9, 9, 20, 9, 9, 20, 20, 20, 9, 9]
    ranges = np.array(row * 3, np.float32)
    bridges = bridge_gaps(ranges, (3, len(row)), 2, 0.05).reshape(3, -1)[1]
    expected = [inf] * len(row)
    expected[2], expected[5], expected[6], expected[14] = 5, 9, 9, 9
    np.testing.assert_array_equal(bridges, np.array(expected, np.float32))
    wrapped = np.array([inf, 7, 7, 7, 7, 7], np.float32)
    assert bridge_gaps(wrapped, (1, 6), 2, 0.05)[0] == 7, "rows are closed"
    twice = np.repeat(wrapped, 2)
    assert np.isinf(bridge_gaps(twice, (6, 2), 2, 0.05)[:2]).all(), "columns are not"
    assert np.isinf(bridge_gaps(wrapped, (1, 6), 0, 0.05)[0])


def test_hidden_pixels_go_on_with_the_background():
    state = np.array([[KNOWN, HIDDEN, HIDDEN, KNOWN, HIDDEN, SKY, HIDDEN, KNOWN, HIDDEN]], np.uint8)
    ranges = np.array([[5, 0, 0, 20, 0, 0, 0, 5.5, 0]], np.float32)
    rgb = np.zeros((1, 9, 3), np.uint8)
    rgb[0, [0, 3, 5, 7]] = [[10] * 3, [50] * 3, [90] * 3, [30] * 3]
    index = np.array([[0, 9, 9, 1, 9, 2, 9, 3, 9]], np.uint8)
    colour_hidden(rgb, index, state, ranges)
    assert rgb[0, :, 0].tolist() == [10, 50, 50, 50, 90, 90, 90, 30, 20]
    assert index[0].tolist() == [0, 1, 1, 1, 2, 2, 2, 3, 3]
