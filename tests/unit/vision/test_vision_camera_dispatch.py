"""Cameras by name: every spelling means one model, and nothing falls back to a pinhole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gimbal_vision.cameras import (
    CameraKind,
    CameraModel,
    Cylindrical,
    Equirectangular,
    Pinhole,
    PinholeCameras,
    camera_from,
    describe,
    dispatch,
    model_name,
    register_camera,
)
from gimbal_vision.errors import CameraError

PINHOLE = Pinhole(fx=300.0, fy=310.0, cx=402.0, cy=297.0, height=600, width=800)


@pytest.mark.parametrize(
    "camera",
    [
        PINHOLE,
        Equirectangular.from_vfov(252, 1008, 90.0),
        Equirectangular(height=20, width=60, fy=25.0, cy=4.5),
        Cylindrical.from_vfov(252, 1008),
        Cylindrical(height=20, width=60, fy=25.0, cy=-3.0),
    ],
)
def test_a_camera_survives_its_description(camera):
    plain = describe(camera)
    assert camera_from(plain) == camera
    assert all(type(value) in (str, int, float) for value in plain.values())


def test_the_source_s_virtual_camera_is_understood():
    """M009: fx = fy = W / 2 pi, cx = W / 2, cy = H / 2, the vertical angle; size from outside."""
    width, height = 1008, 252
    f = width / (2 * np.pi)
    view = {"model": "cyl", "fx": f, "fy": f, "cx": width / 2, "cy": height / 2}
    camera = camera_from(view, height=height, width=width)
    assert camera == Cylindrical.from_vfov(height, width)
    eq = camera_from(view | {"model": "eq", "fov_vertical": 90.0}, height=height, width=width)
    np.testing.assert_allclose(eq.rays(), Equirectangular.from_vfov(252, 1008, 90.0).rays())


def test_a_flat_model_with_the_wrong_angle_is_noticed():
    """The source calls an equirectangular panorama cylindrical: 90 degrees give it away."""
    f = 1008 / (2 * np.pi)
    with pytest.raises(CameraError, match="fov_vertical=90 contradicts"):
        camera_from(
            {"model": "cyl", "fx": f, "fy": f, "cx": 504, "cy": 126, "fov_vertical": 90.0},
            height=252,
            width=1008,
        )


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        (None, "pinhole"),
        ("perspective", "pinhole"),
        ("Pinhole", "pinhole"),
        ("cyl", "cylindrical"),
        ("cylindrical", "cylindrical"),
        ("equirectangular", "equirectangular"),
        ("EQ", "equirectangular"),
        (" erp ", "equirectangular"),
    ],
)
def test_spellings(spelling, name):
    assert model_name(spelling) == name


def test_no_name_means_a_pinhole():
    plain = describe(PINHOLE)
    del plain["model"]
    assert camera_from(plain) == PINHOLE


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(CameraError, match="fisheye") as caught:
        camera_from(describe(PINHOLE) | {"model": "fisheye"})
    for name in ("pinhole", "equirectangular", "cylindrical", "perspective", "cyl", "erp"):
        assert name in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"fx": None}, "no fx"),
        ({"fx": "300"}, "fx"),
        ({"fy": True}, "fy"),
        ({"fx": np.nan}, "finite"),
        ({"focal": 3.0}, "no focal"),
        ({"height": None}, "no height"),
        ({"height": 600.5}, "height"),
        ({"fov_vertical": 10.0}, "contradicts"),
        ({"model": "eq", "fy": None, "cy": None, "fov_vertical": None}, "angle of view"),
        ({"model": "eq"}, "contradict|degrees from the horizon"),
        ({"model": "cyl", "cy": None}, "no cy"),
    ],
)
def test_wrong_numbers_are_named(change, word):
    with pytest.raises(CameraError, match=word) as caught:
        camera_from(describe(PINHOLE) | change)
    assert caught.value.remedy


def test_a_size_that_is_not_the_image_s_is_refused():
    with pytest.raises(CameraError, match="height: 600"):
        camera_from(describe(PINHOLE), height=300, width=400)


@dataclass(frozen=True)
class Orthographic:
    """A model the package does not have."""

    height: int
    width: int
    camera_model: str = "orthographic"

    def rays(self):
        return np.broadcast_to([0.0, 0.0, 1.0], (self.height, self.width, 3))

    def project(self, points_camera):
        return np.asarray(points_camera)[..., :2], np.linalg.norm(points_camera, axis=-1)

    def solid_angle(self):
        return np.zeros((self.height, self.width))


def test_new_models_can_be_added_but_not_replaced(monkeypatch):
    monkeypatch.setattr(dispatch, "_kinds", dict(dispatch._kinds))
    monkeypatch.setattr(dispatch, "_names", dict(dispatch._names))
    camera = Orthographic(4, 6)
    assert isinstance(camera, CameraModel)
    with pytest.raises(CameraError, match="orthographic"):
        describe(camera)
    kind = CameraKind(
        name="orthographic",
        aliases=("ortho",),
        build=lambda height, width, numbers: Orthographic(height, width),
        numbers=lambda camera: {},
    )
    register_camera(kind)
    assert camera_from(describe(camera) | {"model": "ortho"}) == camera
    with pytest.raises(CameraError, match="there already"):
        register_camera(kind)


def test_posed_pinholes_give_their_models():
    K = np.stack([PINHOLE.K, PINHOLE.resized(300, 400).K @ np.diag([1, 1, 1.0])])
    posed = PinholeCameras(K, np.repeat(np.eye(4)[None], 2, axis=0), 600, 800)
    assert posed.intrinsics(0) == PINHOLE
    assert len(posed.models) == 2
    points = np.random.default_rng(0).normal(size=(40, 3)) * 5
    for n, model in enumerate(posed.models):
        own, ranges = model.project(points)
        pixels, depth = posed.project(points)
        np.testing.assert_array_equal(own, pixels[n])
        np.testing.assert_array_equal(depth[n], points[:, 2])
        np.testing.assert_allclose(ranges, np.linalg.norm(points, axis=-1))
        np.testing.assert_array_equal(model.z_one_rays(), posed.rays(np.float64)[1][n])
