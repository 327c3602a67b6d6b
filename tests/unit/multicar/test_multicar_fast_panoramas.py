"""Panoramas drawn straight from a made scene are those of its cameras, without the detour."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal_multicar.config import SyntheticSettings
from gimbal_multicar.opv2v.model import CarFrame, Reference
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.synthesis.cameras import render_images
from gimbal_multicar.synthesis.fast import Scenario, render_panoramas, scenario
from gimbal_multicar.synthesis.world import world_of
from gimbal_vision.cameras import Cylindrical, Equirectangular
from gimbal_vision.panoramas.builder import PanoramaBuilder
from gimbal_vision.panoramas.coverage import expected_coverage
from gimbal_vision.panoramas.model import BuildOptions, PanoramaImage

CAMERA = Equirectangular.from_vfov(84, 504, 60.0)


@pytest.fixture(scope="module")
def street() -> Scenario:
    return scenario(SyntheticSettings(agents=2, frames=2), 0, 2)


@pytest.fixture(scope="module")
def fast(street: Scenario) -> tuple[CarFrame, PanoramaImage]:
    return render_panoramas(street, street.frames[0], street.agents[0], CAMERA)


@pytest.fixture(scope="module")
def built(street: Scenario, fast: tuple[CarFrame, PanoramaImage]) -> PanoramaImage:
    """The panorama that the builder makes of the cameras' images and depths."""
    rig, frame = nominal_opv2v_rig(300, 400), fast[0]
    moment = world_of(street).moment(frame.id.frame, frame.id.agent)
    images = render_images(street, moment, rig, frame.world_from_car).values()
    builder = PanoramaBuilder(rig, CAMERA, BuildOptions(warp="splat"))
    return builder.build([i.rgb for i in images], [i.z_depth_m for i in images])


def test_it_is_the_panorama_that_the_four_cameras_give(
    fast: tuple[CarFrame, PanoramaImage], built: PanoramaImage
) -> None:
    """Away from edges, where the cameras' own pixels decide."""
    image = fast[1]
    both = image.valid & built.valid
    assert both.mean() > 0.6
    error = np.abs(built.range_m - image.range_m)[both] / image.range_m[both]
    assert np.median(error) < 0.003
    assert (error < 0.05).mean() > 0.93
    difference = np.abs(built.rgb.astype(int) - image.rgb).mean(axis=-1)[both]
    assert np.median(difference) < 4.0
    assert (image.non_ambiguous == built.non_ambiguous).mean() > 0.95


def test_it_does_not_agree_with_another_car_or_moment(
    street: Scenario, built: PanoramaImage
) -> None:
    """The agreement above is no property of all streets."""
    wrong = render_panoramas(street, street.frames[0], street.agents[1], CAMERA)[1]
    both = wrong.valid & built.valid
    error = np.abs(built.range_m - wrong.range_m)[both] / wrong.range_m[both]
    assert (error < 0.05).mean() < 0.7


def test_ranges_are_where_the_rays_end(
    street: Scenario, fast: tuple[CarFrame, PanoramaImage]
) -> None:
    """The point behind every hundredth pixel lies on a face: a ray from elsewhere ends there."""
    frame, image = fast
    rows, columns = (i[::100] for i in np.nonzero(image.valid))
    rays = CAMERA.rays()[rows, columns] * image.range_m[rows, columns, None]
    points = rays @ frame.world_from_car[:3, :3].T + frame.world_from_car[:3, 3]
    moment = world_of(street).moment(frame.id.frame, frame.id.agent)
    back = (points - frame.world_from_car[:3, 3]) * 0.5
    eye = points - back
    direction = back / np.linalg.norm(back, axis=-1, keepdims=True)
    hits = [
        moment.still.first_hit(eye, direction)[0],
        moment.surfaces.caster.first_hit(eye, direction)[0],
    ]
    distance = np.minimum(*hits)
    assert (np.abs(distance - np.linalg.norm(back, axis=-1)) < 2e-3).mean() > 0.97


def test_layers_lie_within_each_other_and_the_sky_is_ambiguous(
    fast: tuple[CarFrame, PanoramaImage],
) -> None:
    _, image = fast
    assert image.coverage.all()
    assert (image.valid == image.non_ambiguous).all()
    assert ((image.range_m > 0) == image.valid).all()
    assert image.range_m.max() <= 300.0
    assert not image.valid[0].all()
    assert image.valid[-1].all()


def test_what_the_rig_cannot_see_is_left_out(street: Scenario) -> None:
    high = Equirectangular.from_vfov(126, 504, 90.0)
    _, image = render_panoramas(street, street.frames[0], street.agents[0], high)
    expected = expected_coverage(nominal_opv2v_rig(), high)
    assert float(image.coverage.mean()) == pytest.approx(expected, abs=0.003)
    assert not image.rgb[~image.coverage].any()
    assert (image.camera_index[~image.coverage] == 255).all()
    assert set(np.unique(image.camera_index[image.coverage])) == {0, 1, 2, 3}


@pytest.mark.parametrize("reference", ["lidar", "ego", "box_centre"])
def test_boxes_and_rig_follow_the_reference(street: Scenario, reference: Reference) -> None:
    small = Cylindrical.from_vfov(32, 128, 60.0)
    frame, image = render_panoramas(street, street.frames[1], street.agents[0], small, reference)
    eye = frame.world_from_car @ frame.rig.cameras[0].car_from_camera
    nominal = frame.world_from_lidar @ nominal_opv2v_rig().cameras[0].car_from_camera
    assert eye == pytest.approx(nominal, abs=1e-9)
    assert image.valid.any()
    assert len(frame.vehicles) > 3
    assert frame.id.agent not in {v.id for v in frame.vehicles}


def test_the_same_call_gives_the_same_pixels(
    street: Scenario, fast: tuple[CarFrame, PanoramaImage]
) -> None:
    world_of.cache_clear()
    _, again = render_panoramas(street, street.frames[0], street.agents[0], CAMERA)
    assert (again.rgb == fast[1].rgb).all()
    assert (again.range_m == fast[1].range_m).all()
