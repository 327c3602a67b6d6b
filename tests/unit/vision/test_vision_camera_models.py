"""Camera models: rays and pixels undo each other, seams close, and areas are areas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal_vision.cameras import CameraModel, Cylindrical, Equirectangular, Pinhole
from gimbal_vision.errors import CameraError
from gimbal_vision.spheres import fibonacci_sphere

OPV2V = Pinhole(fx=335.639852470912, fy=335.639852470912, cx=400, cy=300, height=600, width=800)
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 1200))


@st.composite
def pinholes(draw: st.DrawFn) -> Pinhole:
    height, width = draw(SIZES)
    share = st.floats(0.2, 3.0)
    centre = st.floats(-0.5, 1.5)
    return Pinhole(
        fx=width * draw(share),
        fy=max(height, width / 4) * draw(share),
        cx=width * draw(centre),
        cy=height * draw(centre),
        height=height,
        width=width,
    )


@st.composite
def equirectangulars(draw: st.DrawFn) -> Equirectangular:
    """Any part of the sphere from pole to pole, whether or not the horizon is in it."""
    height, width = draw(SIZES)
    top = draw(st.floats(-np.pi / 2, 1.4))
    bottom = draw(st.floats(top + 0.05, np.pi / 2))
    fy = height / (bottom - top)
    return Equirectangular(height=height, width=width, fy=fy * (1 + 1e-12), cy=-top * fy)


@st.composite
def cylinders(draw: st.DrawFn) -> Cylindrical:
    height, width = draw(SIZES)
    return Cylindrical(
        height=height,
        width=width,
        fy=height * draw(st.floats(0.2, 5.0)),
        cy=height * draw(st.floats(-1.0, 2.0)),
    )


MODELS = st.one_of(pinholes(), equirectangulars(), cylinders())


def centres(camera: CameraModel) -> np.ndarray:
    return np.stack(
        np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5), axis=-1
    )


def tolerance_px(camera: CameraModel, dtype: type) -> float:
    """Return 1e-4; float32 holds no more than 7 digits of what lies beyond 800 px off the axis."""
    if dtype is np.float64:
        return 1e-6
    return 1e-4 * max(1.0, np.abs(centres(camera) - [camera.cx, camera.cy]).max() / 800.0)


@settings(max_examples=150, deadline=None)
@given(camera=MODELS, dtype=st.sampled_from([np.float32, np.float64]))
def test_every_pixel_s_ray_leads_back_to_it(camera, dtype):
    rays = camera.rays()
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1.0, atol=1e-12)
    distance = np.linspace(0.5, 300.0, camera.width)[:, None]
    points = (rays * distance).astype(dtype)
    pixels, ranges = camera.project(points)
    assert np.abs(pixels - centres(camera)).max() < tolerance_px(camera, dtype)
    np.testing.assert_allclose(ranges, np.broadcast_to(distance[:, 0], ranges.shape), rtol=1e-6)


@pytest.mark.parametrize("model", [Equirectangular, Cylindrical])
def test_the_seam_behind_closes(model):
    """Azimuth +-pi is column 0 and column W at once: points beside it go to both ends."""
    camera = model.from_vfov(252, 1008, 90.0)
    pixel = 2 * np.pi / camera.width
    azimuth = np.array([np.pi, -np.pi, np.pi - pixel / 2, -np.pi + pixel / 2, 3 * np.pi, 0.0])
    points = np.stack([np.sin(azimuth), np.zeros(6), np.cos(azimuth)], axis=-1)
    u = camera.project(points)[0][:, 0]
    near_seam = np.minimum(u[[0, 1, 4]], camera.width - u[[0, 1, 4]])
    assert near_seam.max() < 1e-9
    np.testing.assert_allclose(u[[2, 3, 5]], [1007.5, 0.5, 504.0], atol=1e-9)
    assert ((u >= 0) & (u < camera.width)).all()


@settings(max_examples=60, deadline=None)
@given(
    camera=st.one_of(equirectangulars(), cylinders()),
    azimuth=st.floats(-20.0, 20.0),
    tiny=st.floats(0.0, 1e-300),
)
def test_u_of_a_panorama_is_always_a_column(camera, azimuth, tiny):
    points = np.array(
        [[np.sin(azimuth), 0.1, np.cos(azimuth)], [-tiny, 0.0, -1.0], [-1e-17, 0.0, -1.0]]
    )
    u = camera.project(points)[0][:, 0]
    assert ((u >= 0) & (u < camera.width)).all()


@pytest.mark.parametrize("model", [Equirectangular, Cylindrical])
def test_right_is_right_and_down_is_down(model):
    camera = model.from_vfov(100, 400, 90.0)
    pixels, _ = camera.project([[0, 0, 1.0], [1.0, 0, 0], [0, 0, -1.0], [-1.0, 0, 0]])
    np.testing.assert_allclose(pixels[:, 0], [200, 300, 0, 100], atol=1e-9)
    np.testing.assert_allclose(pixels[:, 1], 50.0)
    assert camera.project([0, 0.5, 1.0])[0][1] > 50.0


def test_a_cylinder_keeps_vertical_lines_straight_and_proportional():
    camera = Cylindrical.from_vfov(252, 1008)
    heights = np.linspace(-5, 5, 11)
    post = np.stack([np.full(11, 3.0), heights, np.full(11, 8.0)], axis=-1)
    pixels, _ = camera.project(post)
    np.testing.assert_allclose(np.diff(pixels[:, 0]), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.diff(pixels[:, 1]), camera.fy / np.hypot(3, 8), rtol=1e-12)
    assert camera.fy == pytest.approx(camera.fx)


def test_what_cannot_be_seen_has_no_pixel():
    behind, ranges = OPV2V.project([[0, 0, -1.0], [1.0, 0, 0.0], [0, 0, 0.0]])
    assert np.isnan(behind).all()
    np.testing.assert_allclose(ranges, [1, 1, 0])
    for model in (Equirectangular, Cylindrical):
        pixels, distance = model.from_vfov(10, 40, 90.0).project([[0.0, 0, 0], [0, -1.0, 0]])
        assert np.isnan(pixels[0]).all()
        assert distance[0] == 0
        if model is Cylindrical:
            assert pixels[1, 1] == -np.inf


def triangle_solid_angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the solid angle of spherical triangles of unit vectors (van Oosterom, Strackee)."""
    volume = np.abs(np.einsum("...i,...i", a, np.cross(b, c)))
    dots = sum(np.einsum("...i,...i", p, q) for p, q in ((a, b), (b, c), (c, a)))
    return 2.0 * np.arctan2(volume, 1.0 + dots)


def test_a_pinhole_s_pixels_are_exact_spherical_quadrilaterals():
    """A pixel's edges are great circles, so two spherical triangles make it up exactly."""
    camera = Pinhole(fx=30.0, fy=41.0, cx=7.5, cy=33.0, height=24, width=36)
    corners = Pinhole(fx=30.0, fy=41.0, cx=8.0, cy=33.5, height=25, width=37).rays()
    a, b, c, d = corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]
    expected = triangle_solid_angle(a, b, c) + triangle_solid_angle(a, c, d)
    np.testing.assert_allclose(camera.solid_angle(), expected, rtol=1e-9)
    half_w, half_h = 400 / OPV2V.fx, 300 / OPV2V.fy
    pyramid = 4 * np.arcsin(half_w * half_h / np.sqrt((1 + half_w**2) * (1 + half_h**2)))
    assert OPV2V.solid_angle().sum() == pytest.approx(pyramid, rel=1e-12)


def test_a_panorama_s_pixels_add_up():
    assert Equirectangular.from_vfov(90, 360, 180.0).solid_angle().sum() == pytest.approx(4 * np.pi)
    for model in (Equirectangular, Cylindrical):
        band = model.from_vfov(63, 252, 90.0).solid_angle()
        assert band.sum() == pytest.approx(4 * np.pi * np.sin(np.pi / 4), rel=1e-12)
    off = Cylindrical(height=5, width=9, fy=3.0, cy=-1.0)
    t = np.array([1.0, 6.0]) / 3.0
    total = 2 * np.pi * np.diff(t / np.sqrt(1 + t * t))[0]
    assert off.solid_angle().sum() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(
    "camera",
    [
        Pinhole(fx=8.0, fy=6.0, cx=5.0, cy=9.0, height=12, width=16),
        Equirectangular(height=12, width=16, fy=5.0, cy=5.0),
        Cylindrical(height=12, width=16, fy=4.0, cy=9.0),
    ],
    ids=lambda camera: camera.camera_model,
)
def test_solid_angles_count_directions(camera):
    """Of directions spread evenly over the sphere each pixel gets its share: no formula is used."""
    count = 400_000
    pixels, _ = camera.project(fibonacci_sphere(count))
    u, v = np.floor(np.nan_to_num(pixels, nan=-1.0, posinf=-1.0, neginf=-1.0)).T
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    cell = (v[inside] * camera.width + u[inside]).astype(np.int64)
    counts = np.bincount(cell, minlength=camera.height * camera.width)
    share = counts.reshape(camera.height, camera.width) * (4 * np.pi / count)
    expected = camera.solid_angle()
    assert share.sum() == pytest.approx(expected.sum(), rel=2e-3)
    np.testing.assert_allclose(share, expected, atol=0.05 * expected.max())


@pytest.mark.parametrize("model", [Equirectangular, Cylindrical])
def test_a_scaled_panorama_sees_the_same(model):
    camera = model(height=20, width=80, fy=25.0, cy=4.0)
    finer = camera.resized(60, 160)
    assert finer.vfov_deg == pytest.approx(camera.vfov_deg)
    points = fibonacci_sphere(50)
    np.testing.assert_allclose(
        finer.project(points)[0], camera.project(points)[0] * [2, 3], atol=1e-9
    )


def test_angles_of_view_are_what_was_asked_for():
    assert OPV2V.hfov_deg == pytest.approx(100.0, abs=1e-9)
    assert OPV2V.vfov_deg == pytest.approx(83.58, abs=0.01)
    camera = Pinhole.from_hfov(900, 1600, 70.0)
    assert camera.hfov_deg == pytest.approx(70.0)
    assert camera.fx == camera.fy
    assert Equirectangular.from_vfov(252, 1008, 90).vfov_deg == pytest.approx(90.0)
    assert Cylindrical.from_vfov(252, 1008).vfov_deg == pytest.approx(2 * 38.146, abs=0.01)
    wide = (Cylindrical.from_vfov(9, 9, 179.0), Equirectangular.from_vfov(9, 9, 180.0))
    assert [w.vfov_deg for w in wide] == pytest.approx([179.0, 180.0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Equirectangular.from_vfov(10, 40, 181.0),
        lambda: Equirectangular(height=10, width=40, fy=3.0, cy=5.0),
        lambda: Cylindrical.from_vfov(10, 40, 180.0),
        lambda: Cylindrical(height=0, width=40, fy=3.0, cy=5.0),
        lambda: Cylindrical(height=10, width=40, fy=np.nan, cy=5.0),
        lambda: Pinhole.from_hfov(10, 40, 180.0),
        lambda: Pinhole.from_matrix(np.eye(3) * [[-1], [1], [1]], 10, 40),
        lambda: Pinhole(fx=-1.0, fy=1.0, cx=0.0, cy=0.0, height=10, width=40),
    ],
)
def test_what_is_no_image_is_refused(make):
    with pytest.raises(CameraError) as caught:
        make()
    assert caught.value.remedy
