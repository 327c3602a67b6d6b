"""`warp='ranges'`: colours by rotation, ranges from the centre of whatever was measured."""

from __future__ import annotations

import numpy as np
import pytest
from panorama_support import World, nominal_rig, panorama, photographs, pinhole, truth

from gimbal_vision.cameras import Cylindrical, Panorama
from gimbal_vision.errors import CameraError
from gimbal_vision.panoramas.builder import PanoramaBuilder
from gimbal_vision.panoramas.model import BuildOptions

ROOM = World(boxes=[((-9.0, -5.0, -8.0), (9.0, 4.0, 14.0))])
STREET = World(ground=1.9, boxes=[((4.0, -3.0, 6.0), (7.0, 1.9, 9.0))])
RANGES = BuildOptions(warp="ranges")


def thinned(depths: list[np.ndarray], every: int) -> list[np.ndarray]:
    """Keep the depth of one row and column in so many, as sparse as a LiDAR's."""
    kept = [np.zeros_like(d) for d in depths]
    for new, old in zip(kept, depths, strict=True):
        new[::every, ::every] = old[::every, ::every]
    return kept


@pytest.mark.parametrize(
    "camera", [panorama(), Cylindrical.from_vfov(40, 252)], ids=["equirectangular", "cylindrical"]
)
def test_sparse_depth_of_displaced_cameras_gives_ranges_from_the_centre(camera: Panorama) -> None:
    rig = nominal_rig(camera=pinhole(240, 180))
    images, dense = photographs(ROOM, rig)
    depths = thinned(dense, 3)
    built = PanoramaBuilder(rig, camera, RANGES).build(images, depths)
    turned = PanoramaBuilder(rig, camera, BuildOptions()).build(images, depths)
    _, ranges, _ = truth(ROOM, camera)

    def close(image):
        error = np.abs(image.range_m - ranges)[image.valid] / ranges[image.valid]
        return (error < 0.05).mean()

    assert close(built) > 0.95 and close(turned) < 0.6, "or this proves nothing"
    assert built.valid.mean() > 0.25
    np.testing.assert_array_equal(built.rgb, turned.rgb)
    np.testing.assert_array_equal(built.camera_index, turned.camera_index)
    assert built.moved_share == 0.0


def test_of_points_and_depths_the_nearest_in_each_pixel_counts() -> None:
    rig, camera = nominal_rig(centred=True), panorama()
    images, depths = photographs(ROOM, rig)
    builder, rays = PanoramaBuilder(rig, camera, RANGES), camera.rays()
    alone = builder.build(images, depths)
    scale = np.where(np.arange(camera.width) % 2, 0.5, 2.0)[None, :, None]
    points = (rays * scale * alone.range_m[..., None]).reshape(-1, 3)
    built = builder.build(images, depths, points)
    expected = np.where(scale[..., 0] < 1, 0.5, 1.0) * alone.range_m
    np.testing.assert_allclose(built.range_m, expected, rtol=1e-4)
    reversed_order = builder.build(images, depths, points[::-1].copy())
    np.testing.assert_array_equal(built.range_m, reversed_order.range_m)


def test_points_alone_make_nothing_sky_and_nothing_up() -> None:
    rig, camera = nominal_rig(centred=True), panorama()
    images, _ = photographs(STREET, rig)
    builder, rays = PanoramaBuilder(rig, camera, RANGES), camera.rays()
    points = np.stack([7.0 * rays[20, 30], 350.0 * rays[20, 90], 0.0 * rays[0, 0], rays[5, 60]])
    points[3, 1] = np.nan
    built = builder.build(images, points=points)
    assert np.argwhere(built.valid).tolist() == [[20, 30]], "far, none and not a number are none"
    assert built.range_m[20, 30] == pytest.approx(7.0, rel=1e-5)
    assert built.range_m.sum() == built.range_m[20, 30]
    assert (built.non_ambiguous == built.coverage).all()
    empty = builder.build(images, points=np.empty((0, 3), np.float32))
    assert not empty.valid.any() and empty.non_ambiguous.any()


def test_the_sky_is_where_a_camera_measured_it_and_nothing_nearer_was() -> None:
    rig, camera = nominal_rig(centred=True), panorama()
    images, dense = photographs(STREET, rig)
    depths = thinned(dense, 2)
    builder = PanoramaBuilder(rig, camera, RANGES)
    _, ranges, _ = truth(STREET, camera)
    built = builder.build(images, depths)
    sky = built.coverage & ~built.non_ambiguous
    assert 0.1 < sky.mean() < 0.9 * np.isinf(ranges).mean(), "what was not measured is not sky"
    assert np.isinf(ranges[sky]).mean() > 0.98
    hung = camera.rays()[sky] * 20.0
    again = builder.build(images, depths, hung)
    assert again.non_ambiguous[sky].all() and again.valid[sky].all()


def test_points_stay_within_what_the_rig_sees() -> None:
    rig = nominal_rig(centred=True).only(["camera0"])
    images, _ = photographs(ROOM, rig)
    camera = panorama()
    points = 5.0 * camera.rays().reshape(-1, 3)
    built = PanoramaBuilder(rig, camera, RANGES).build(images, points=points)
    assert built.coverage.mean() < 0.5
    np.testing.assert_array_equal(built.valid, built.coverage)


def test_what_does_not_fit_is_named() -> None:
    rig = nominal_rig()
    images, depths = photographs(ROOM, rig)
    points = np.zeros((5, 3), np.float32)
    with pytest.raises(CameraError, match="needs depth"):
        PanoramaBuilder(rig, panorama(), RANGES).build(images)
    with pytest.raises(CameraError, match=r"points are float32 \(3, 5\)"):
        PanoramaBuilder(rig, panorama(), RANGES).build(images, points=points.T)
    for warp in ("rotation", "splat"):
        builder = PanoramaBuilder(rig, panorama(), BuildOptions(warp=warp))
        with pytest.raises(CameraError, match="no use for points") as caught:
            builder.build(images, depths, points)
        assert "ranges" in caught.value.remedy
