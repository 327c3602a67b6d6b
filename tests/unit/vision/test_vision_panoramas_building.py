"""Panoramas by rotation: right colours, exact ranges, no seams, holes only where nobody sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from panorama_support import World, nominal_rig, panorama, photographs, pinhole, truth, yaw

from gimbal_vision.cameras import Cylindrical, Equirectangular
from gimbal_vision.errors import CameraError
from gimbal_vision.panoramas.builder import PanoramaBuilder, depth_density, depth_is_dense
from gimbal_vision.panoramas.model import BuildOptions
from gimbal_vision.panoramas.rig import Rig, RigCamera
from gimbal_vision.poses import make_pose

ROOM = World(boxes=[((-9.0, -5.0, -7.0), (8.0, 4.0, 11.0))])
STREET = World(ground=1.9, spheres=[((4.0, 0.5, 6.0), 1.5)], boxes=[((-8, -6, -20), (-6, 2, 30))])


def looked_up_rays(builder: PanoramaBuilder) -> np.ndarray:
    """Return the ray of the image pixel each panorama pixel takes its depth from, car frame."""
    table, rig = builder.table, builder.rig
    rays = np.zeros((*table.x.shape, 3))
    for i, camera in enumerate(rig.cameras):
        own = table.camera_index == i
        row, column = np.rint(table.y[own]).astype(int), np.rint(table.x[own]).astype(int)
        rays[own] = camera.camera.rays()[row, column] @ camera.car_from_camera[:3, :3].T
    return rays


@pytest.mark.parametrize("blend", ["nearest", "feather"])
@pytest.mark.parametrize("world", [ROOM, STREET], ids=["room", "street"])
@pytest.mark.parametrize(
    "camera", [panorama(), Cylindrical.from_vfov(40, 252)], ids=["equirectangular", "cylindrical"]
)
def test_cameras_at_the_centre_give_the_ray_cast_panorama(camera, world, blend):
    rig = nominal_rig(centred=True, camera=pinhole(240, 180))
    images, depths = photographs(world, rig)
    builder = PanoramaBuilder(rig, camera, BuildOptions(blend=blend, feather_px=10.0))
    built = builder.build(images, depths)
    rgb, ranges, which = truth(world, camera)
    difference = np.abs(built.rgb.astype(int) - rgb)[built.coverage]
    assert np.median(difference) <= 2 and np.quantile(difference, 0.95) < 20
    exact, surface = world.cast(np.zeros(3), looked_up_rays(builder))
    known = (exact <= 300) & built.coverage
    assert (built.valid == known).all()
    np.testing.assert_allclose(built.range_m[known], exact[known], rtol=1e-5)
    inside = known & (surface == which) & (ranges < 15)
    assert np.quantile(np.abs(built.range_m - ranges)[inside] / ranges[inside], 0.99) < 0.05


def test_every_range_is_one_surface_and_never_between_two():
    world = World(boxes=ROOM.boxes, spheres=[((2.0, 0.0, 3.0), 1.0), ((-3.0, 1.0, -2.0), 1.2)])
    rig = nominal_rig(centred=True)
    built = PanoramaBuilder(rig, panorama()).build(*photographs(world, rig))
    rays = panorama().rays()
    room, _ = World(boxes=world.boxes).cast(np.zeros(3), rays)
    balls, _ = World(spheres=world.spheres).cast(np.zeros(3), rays)
    near_ball = built.range_m < 0.8 * room
    assert near_ball.any()
    assert (built.range_m[near_ball] <= 3.6).all(), "a ball's farthest visible point is 3.6 m away"
    assert np.isfinite(balls).sum() == pytest.approx(near_ball.sum(), rel=0.1)


def test_touching_cameras_leave_no_seam_where_their_borders_meet_exactly():
    """126 columns have centres at exactly +-50 degrees, where OPV2V's front and side images end."""
    camera = Equirectangular.from_vfov(10, 126, 20.0)
    assert np.isclose(np.abs(np.degrees(np.arctan2(*camera.rays()[5, :, [0, 2]]))), 50).sum() == 2
    builder = PanoramaBuilder(nominal_rig(), camera)
    assert builder.coverage.all()
    images = [np.full((120, 160, 3), 77, np.uint8)] * 4
    assert (builder.build(images).rgb == 77).all()


def test_a_missing_camera_leaves_a_hole_as_wide_as_what_only_it_saw():
    whole = nominal_rig()
    camera = Equirectangular.from_vfov(2, 720, 1.0)
    built = PanoramaBuilder(whole.only(["camera0", "camera1", "camera2"]), camera).build(
        [np.full((120, 160, 3), 9, np.uint8)] * 3
    )
    hole = ~built.coverage
    azimuth = np.abs((np.arange(720) + 0.5) / 2.0 - 180.0)
    assert (hole == (azimuth > 150.0)).all()
    assert not built.rgb[hole].any() and (built.camera_index[hole] == 255).all()
    assert not built.valid.any() and (built.non_ambiguous == built.coverage).all()


def test_the_first_column_continues_the_last():
    rig = nominal_rig(centred=True, camera=pinhole(240, 180))
    rgb = PanoramaBuilder(rig, panorama()).build(photographs(STREET, rig)[0]).rgb.astype(int)
    steps = np.abs(np.diff(rgb, axis=1, append=rgb[:, :1])).mean(axis=(0, 2))
    assert steps[-1] <= 1.5 * np.median(steps[110:140])
    turned = Rig(
        tuple(
            RigCamera(
                c.name, c.camera, make_pose(yaw(90.0) @ c.car_from_camera[:3, :3], np.zeros(3))
            )
            for c in rig.cameras
        )
    )
    again = PanoramaBuilder(turned, panorama()).build(photographs(STREET, rig)[0])
    np.testing.assert_array_equal(np.roll(rgb, 63, axis=1), again.rgb)


def test_masks_tell_sky_from_what_is_unknown():
    rig = nominal_rig(centred=True)
    images, depths = photographs(STREET, rig)
    sky_of = [d >= 1000 for d in depths]
    for depth, value in zip(depths, (0.0, np.nan, np.inf, -1.0), strict=True):
        depth[60:] = value
    built = PanoramaBuilder(rig, panorama(), BuildOptions(blend="nearest")).build(images, depths)
    table = PanoramaBuilder(rig, panorama(), BuildOptions(blend="nearest")).table
    row, column = np.rint(table.y).astype(int), np.rint(table.x).astype(int)
    sky = np.stack(sky_of)[table.camera_index, row, column] & (row < 60)
    assert sky.any() and (row >= 60).any()
    np.testing.assert_array_equal(built.non_ambiguous, built.coverage & ~sky)
    assert not built.valid[row >= 60].any() and not built.range_m[~built.valid].any()
    assert (built.valid <= built.non_ambiguous).all()
    assert (built.non_ambiguous <= built.coverage).all()


def test_what_does_not_fit_is_named():
    rig = nominal_rig()
    images, depths = photographs(ROOM, rig)
    builder = PanoramaBuilder(rig, panorama())
    with pytest.raises(CameraError, match="3 images for the 4 cameras") as caught:
        builder.build(images[:3])
    assert "rig.only" in caught.value.remedy
    with pytest.raises(CameraError, match="image of camera2"):
        builder.build([*images[:2], images[2][:100], images[3]])
    with pytest.raises(CameraError, match="depth of camera1 is float64"):
        builder.build(images, [depths[0], depths[1].astype(np.float64), *depths[2:]])
    for warp in ("splat", "fixed_point"):
        warped = PanoramaBuilder(rig, panorama(), BuildOptions(warp=warp))
        with pytest.raises(CameraError, match="needs depth"):
            warped.build(images)


def test_what_is_built_belongs_to_the_caller():
    """Changing a panorama must not change the next one; what they share cannot be changed."""
    rig = nominal_rig()
    images, depths = photographs(ROOM, rig)
    builder = PanoramaBuilder(rig, panorama())
    first = builder.build(images, depths)
    kept = replace(first, rgb=first.rgb.copy(), coverage=first.coverage.copy())
    for array in (first.rgb, first.range_m, first.non_ambiguous, first.valid):
        array[...] = 0
    for static in (first.coverage, first.camera_index, builder.coverage):
        with pytest.raises(ValueError, match="read-only"):
            static[...] = 0
    second = builder.build(images, depths)
    np.testing.assert_array_equal(second.rgb, kept.rgb)
    assert second.valid.all() and second.coverage.all() and second.camera_index.any()


def test_read_only_images_are_taken():
    """What Arrow and memory maps give cannot be written to."""
    rig = nominal_rig()
    images, depths = photographs(ROOM, rig)
    for array in (*images, *depths):
        array.flags.writeable = False
    for warp in ("rotation", "splat"):
        built = PanoramaBuilder(rig, panorama(), BuildOptions(warp=warp)).build(images, depths)
        assert built.rgb.any()


def test_density_counts_known_pixels():
    half = np.zeros((4, 4), np.float32)
    half[:2] = 5.0
    half[2, 0], half[2, 1] = np.nan, np.inf
    assert depth_density([half, half]) == 0.5 and depth_is_dense([half])
    assert not depth_is_dense([half, np.zeros_like(half)]) and not depth_is_dense(None)
