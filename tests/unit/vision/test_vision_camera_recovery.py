"""The camera behind a field of rays: found with its numbers, or refused, never garbage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal_vision.cameras import (
    Cylindrical,
    Equirectangular,
    Pinhole,
    fit_panorama,
    fit_pinhole,
    recognise,
)
from gimbal_vision.errors import CameraError
from gimbal_vision.lie import so3_exp

SMALL = Equirectangular.from_vfov(84, 336, 90.0)
"""The field on which a plain regression of the pinhole gives fx = -.115 and fy = 0."""


def noisy(rays: np.ndarray, degrees: float, seed: int = 0) -> np.ndarray:
    """Return rays turned by about `degrees` each, of random length."""
    rng = np.random.default_rng(seed)
    moved = rays + rng.normal(scale=np.radians(degrees) / np.sqrt(2), size=rays.shape)
    return moved * rng.uniform(0.5, 2.0, (*rays.shape[:2], 1))


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(4, 60),
    width=st.integers(4, 300),
    model=st.sampled_from([Equirectangular, Cylindrical]),
    vfov=st.floats(20.0, 170.0),
    horizon=st.floats(0.4, 0.6),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_a_panorama_is_recovered_with_its_horizon(height, width, model, vfov, horizon, dtype):
    fy = model.from_vfov(height, width, vfov).fy
    if model is Equirectangular:
        fy *= 1.25  # keeps the rows between the poles wherever the horizon is
    camera = model(height=height, width=width, fy=fy, cy=horizon * height)
    found = recognise(camera.rays().astype(dtype))
    assert type(found.camera) is model
    assert found.camera.fy == pytest.approx(camera.fy, rel=1e-4)
    assert found.camera.cy == pytest.approx(camera.cy, abs=1e-3)
    assert found.residual_deg < 1e-4
    assert found.yaw_deg == pytest.approx(0.0, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(2, 60),
    width=st.integers(2, 200),
    focal=st.tuples(st.floats(0.3, 4.0), st.floats(0.3, 4.0)),
    centre=st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)),
)
def test_a_pinhole_is_recovered(height, width, focal, centre):
    camera = Pinhole(
        fx=focal[0] * width,
        fy=focal[1] * height,
        cx=centre[0] * width,
        cy=centre[1] * height,
        height=height,
        width=width,
    )
    for found in (fit_pinhole(camera.rays()), recognise(camera.rays())):
        assert isinstance(found.camera, Pinhole)
        np.testing.assert_allclose(found.camera.K, camera.K, rtol=1e-6, atol=1e-6)


def test_a_pinhole_fit_of_a_panorama_is_an_error():
    """M021: a plain regression gives focal lengths near zero here and says nothing."""
    for camera in (SMALL, Cylindrical.from_vfov(84, 336)):
        with pytest.raises(CameraError, match="not a pinhole: 50%") as caught:
            fit_pinhole(camera.rays())
        assert "fit_panorama" in caught.value.remedy


def test_the_front_of_a_panorama_is_no_pinhole_either():
    """All its rays point forwards, so only the residual tells."""
    front = SMALL.rays()[:, 126:210]
    assert (front[..., 2] > 0).all()
    with pytest.raises(CameraError, match="misses the rays by"):
        fit_pinhole(front)
    with pytest.raises(CameraError, match="not a panorama: its columns turn by 90"):
        fit_panorama(front)
    with pytest.raises(CameraError, match="no camera model known here"):
        recognise(front)


def test_a_pinhole_is_no_panorama():
    with pytest.raises(CameraError, match="not a panorama"):
        fit_panorama(Pinhole.from_hfov(60, 80, 100.0).rays())


@pytest.mark.parametrize(
    "camera",
    [
        Pinhole(fx=90.0, fy=80.0, cx=70.0, cy=20.0, height=84, width=112),
        Equirectangular(height=84, width=336, fy=60.0, cy=30.0),
        Cylindrical(height=84, width=336, fy=50.0, cy=55.0),
    ],
    ids=lambda camera: camera.camera_model,
)
def test_noise_is_averaged_out_and_reported(camera):
    """A network's rays: a degree of noise leaves the numbers right to a few tenths of a pixel."""
    rays = noisy(camera.rays(), 1.0)
    with pytest.raises(CameraError, match=r"0\.1 are allowed"):
        recognise(rays)
    found = recognise(rays, tolerance_deg=2.0)
    assert type(found.camera) is type(camera)
    assert found.residual_deg == pytest.approx(1.0, rel=0.05)
    assert 3.0 < found.worst_deg < 8.0
    assert found.camera.fy == pytest.approx(camera.fy, rel=5e-3)
    assert found.camera.fx == pytest.approx(camera.fx, rel=5e-3)
    assert found.camera.cy == pytest.approx(camera.cy, abs=0.3)


def test_noise_does_not_pull_wide_lenses():
    """Near 90 degrees off the axis a tangent makes much of a little noise: it must weigh less.

    Without weights the focal lengths below come out .001 and .003 off on average.
    """
    wide, high = Pinhole.from_hfov(60, 80, 160.0), Cylindrical.from_vfov(200, 16, 174.0)
    pinholes, cylinders = [], []
    for seed in range(10):
        pinholes.append(fit_pinhole(noisy(wide.rays(), 0.5, seed), 2.0).camera)
        cylinders.append(fit_panorama(noisy(high.rays(), 0.5, seed), 2.0).camera)
    assert {type(camera) for camera in cylinders} == {Cylindrical}
    assert np.mean([c.fx for c in pinholes]) == pytest.approx(wide.fx, rel=4e-4)
    assert np.mean([c.fy for c in pinholes]) == pytest.approx(wide.fy, rel=4e-4)
    assert np.mean([c.fy for c in cylinders]) == pytest.approx(high.fy, rel=1e-3)


@pytest.mark.parametrize("yaw_deg", [-179.0, -37.0, 90.0, 180.0])
def test_a_panorama_that_begins_elsewhere_is_told_by_its_yaw(yaw_deg):
    turn = so3_exp(np.array([0.0, np.radians(yaw_deg), 0.0]))
    found = recognise(SMALL.rays() @ turn.T)
    assert found.camera.fy == pytest.approx(SMALL.fy)
    assert np.cos(np.radians(found.yaw_deg - yaw_deg)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("rays", "word"),
    [
        (SMALL.rays() * [-1, 1, 1], "turn by -360"),
        (SMALL.rays() * [1, -1, 1], "fy=-"),
        (SMALL.rays() @ so3_exp(np.array([0.0, 0, 0.2])), "misses"),
        (np.random.default_rng(0).normal(size=(8, 16, 3)), "no camera model"),
        (np.ones((8, 16, 3)), "no camera model"),
        (np.ones((8, 16)), "no ray field"),
        (np.ones((1, 16, 3)), "no ray field"),
        (np.zeros((8, 16, 3)), "zero or not finite"),
        (np.full((8, 16, 3), np.nan), "zero or not finite"),
    ],
    ids=["mirrored", "upside-down", "rolled", "random", "constant", "flat", "row", "zero", "nan"],
)
def test_what_is_no_camera_is_refused(rays, word):
    with pytest.raises(CameraError, match=word):
        recognise(rays)
