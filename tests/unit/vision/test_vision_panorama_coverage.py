"""Expected coverage: the design's table for OPV2V's nominal rig, and the source's crop.

The rig is written out here once more: the package cannot import the one of the workload.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gimbal_vision.cameras import Cylindrical, Equirectangular, Pinhole
from gimbal_vision.lie import so3_exp
from gimbal_vision.panoramas.builder import PanoramaBuilder
from gimbal_vision.panoramas.coverage import (
    camera_counts,
    camera_shares,
    expected_coverage,
    expected_overlap,
    seen_by,
)
from gimbal_vision.panoramas.legacy import (
    legacy_crop,
    legacy_crop_depth,
    legacy_crop_image,
    legacy_crop_rig,
)
from gimbal_vision.panoramas.rig import Rig, RigCamera
from gimbal_vision.spheres import fibonacci_sphere

H, W = 252, 1008
OPV2V = Pinhole(fx=335.639852470912, fy=335.639852470912, cx=400, cy=300, height=600, width=800)


def pose_of(yaw_deg: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = so3_exp(np.array([0.0, np.radians(yaw_deg), 0.0]))
    pose[:3, 3] = yaw_deg, 1.0, 2.0
    return pose


RIG = Rig(
    tuple(RigCamera(f"c{i}", OPV2V, pose_of(yaw)) for i, yaw in enumerate((0, 100, -100, 180)))
)
CROPPED = legacy_crop_rig(RIG, H, W)
EQ = Equirectangular.from_vfov(H, W, 90.0)
SMALL = Equirectangular.from_vfov(H // 2, W // 2, 90.0)


@pytest.mark.parametrize(
    ("rig", "camera", "coverage", "overlap"),
    [
        (RIG, EQ, 0.857, 0.079),
        (CROPPED, EQ, 0.331, 0.029),
        (RIG, Cylindrical.from_vfov(H, W), 0.962, 0.089),
        (RIG, Cylindrical.from_vfov(H, W, 90.0), 0.800, 0.070),
        (CROPPED, Cylindrical.from_vfov(H, W, 90.0), 0.266, None),
    ],
    ids=["equirectangular", "legacy", "cylinder", "cylinder-90", "cylinder-90-legacy"],
)
def test_signatures_of_the_nominal_rig(rig, camera, coverage, overlap):
    """The table by which `check` names the cause of a wrong coverage."""
    assert expected_coverage(rig, camera) == pytest.approx(coverage, abs=2e-3)
    if overlap is not None:
        assert expected_overlap(rig, camera) == pytest.approx(overlap, abs=1.5e-3)


@pytest.mark.parametrize(
    ("vfov_deg", "coverage"),
    [
        (60, 1.000),
        (70, 0.991),
        (80, 0.951),
        (85, 0.907),
        (100, 0.771),
        (120, 0.643),
        (180, 0.428),
    ],
)
def test_higher_panoramas_are_emptier(vfov_deg, coverage):
    camera = Equirectangular.from_vfov(H, W, float(vfov_deg))
    assert expected_coverage(RIG, camera, supersample=1) == pytest.approx(coverage, abs=2e-3)


def test_one_camera_s_share_of_the_sphere_is_its_solid_angle():
    """Weighted by area, coverage of the whole sphere is a number that has a formula."""
    sphere = Equirectangular.from_vfov(180, 720, 180.0)
    one = RIG.only(["c2"])
    seen = camera_counts(one, sphere, 0.0) > 0
    steradians = (seen * sphere.solid_angle()).sum()
    assert steradians == pytest.approx(OPV2V.solid_angle().sum(), rel=2e-3)
    assert expected_overlap(one, sphere) == 0.0


def test_half_spaces_and_projection_see_the_same():
    """Two ways that share no formula: the sides of four planes, and the pixel of a direction."""
    directions = fibonacci_sphere(20_000)
    tilted = RigCamera(
        "t",
        Pinhole(fx=50.0, fy=70.0, cx=20.0, cy=66.0, height=90, width=120),
        np.block([[so3_exp(np.array([0.4, -2.0, 0.7])), np.ones((3, 1))], [np.zeros((1, 3)), 1.0]]),
    )
    rig = Rig((*RIG.cameras, tilted))
    for mounted, seen in zip(rig.cameras, seen_by(rig, directions, 0.3), strict=True):
        local = directions @ mounted.car_from_camera[:3, :3]
        u, v = mounted.camera.project(local)[0].T
        inside = (u > 0) & (u < mounted.camera.width) & (v > 0) & (v < mounted.camera.height)
        np.testing.assert_array_equal(seen, inside & (local[:, 2] > 0.3))
        assert seen.any()


def test_a_missing_camera_leaves_its_share_uncovered():
    shares = camera_shares(RIG, SMALL)
    assert set(shares) == set(RIG.names)
    assert shares["c0"] == pytest.approx(shares["c3"], abs=1e-3)
    whole, three = (
        expected_coverage(RIG, SMALL),
        expected_coverage(RIG.only(["c1", "c2", "c3"]), SMALL),
    )
    assert whole - three == pytest.approx(shares["c0"], abs=1e-3)
    assert expected_coverage(RIG.only(["c1"]), SMALL) == pytest.approx(0.234, abs=2e-3)


def test_a_swapped_pair_has_the_same_coverage():
    """Why coverage alone cannot find swapped cameras."""
    c0, c1, c2, c3 = RIG.cameras
    swapped = Rig(
        (
            c0,
            RigCamera("c1", c1.camera, c2.car_from_camera),
            RigCamera("c2", c2.camera, c1.car_from_camera),
            c3,
        )
    )
    assert expected_coverage(swapped, SMALL) == expected_coverage(RIG, SMALL)


def test_the_margin_cuts_what_lies_far_from_the_axis():
    narrow = expected_coverage(RIG, SMALL, 0.9)
    assert 0.0 < narrow < expected_coverage(RIG, SMALL) / 2
    assert expected_coverage(RIG, SMALL, 1.0) == 0.0


def test_the_legacy_crop_throws_away_the_upper_and_lower_third():
    camera = legacy_crop(OPV2V, H, W)
    assert (camera.height, camera.width) == (H, W)
    assert camera.hfov_deg == pytest.approx(100.0)
    assert camera.vfov_deg == pytest.approx(2 * 16.6, abs=0.1)
    lost = 1.0 - expected_coverage(CROPPED, SMALL) / expected_coverage(RIG, SMALL)
    assert lost == pytest.approx(0.61, abs=0.01)


@pytest.mark.parametrize("size", [(H, W), (63, 252), (120, 100), (600, 800)])
def test_image_and_camera_are_cropped_alike(size):
    """A mark stays at the pixel where the cropped camera sees the same direction."""
    image = np.zeros((600, 800, 3), np.uint8)
    marks = np.array([[230.5, 280.5], [400.5, 300.5], [510.5, 330.5]])
    for u, v in marks:
        cv2.circle(image, (int(u), int(v)), 12, (255, 255, 255), -1)
    cropped = legacy_crop_image(image, *size)
    assert cropped.shape == (*size, 3)
    rays = np.concatenate([(marks - [400, 300]) / OPV2V.fx, np.ones((3, 1))], axis=1)
    expected, _ = legacy_crop(OPV2V, *size).project(rays)
    _, _, _, found = cv2.connectedComponentsWithStats((cropped[..., 0] > 127).astype(np.uint8))
    inside = (expected > 4).all(axis=1) & (expected < np.array(size[::-1]) - 4).all(axis=1)
    assert inside.sum() >= 2
    for pixel in expected[inside]:
        assert np.abs(found[1:] + 0.5 - pixel).max(axis=1).min() < 0.5


def test_cropped_depth_mixes_no_two_surfaces():
    depth = np.where(np.arange(800) < 397, 5.0, 50.0).astype(np.float32) * np.ones((600, 1))
    cropped = legacy_crop_depth(depth.astype(np.float32), H, W)
    assert cropped.dtype == np.float32
    assert set(np.unique(cropped)) == {5.0, 50.0}


@pytest.mark.parametrize(
    ("height", "width", "vfov_deg"), [(32, 128, 180.0), (16, 64, 90.0), (8, 66, 150.0)]
)
def test_a_panorama_of_few_pixels_covers_what_is_expected_of_it(height, width, vfov_deg):
    """Finer samples differ by .01 and more here, which a gate takes for a wrong calibration."""
    camera = Equirectangular.from_vfov(height, width, vfov_deg)
    covered = PanoramaBuilder(RIG, camera).coverage.mean()
    assert expected_coverage(RIG, camera) == pytest.approx(covered, abs=1.5 / (height * width))
