"""What is told of a trained shape: a ball that is known exactly, and balls that are wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from nero_ball import INK, PAPER, RADIUS, BallFields, ball_capture, ball_view
from nero_exact import exact_model

from gimbal_nero.learning.rays import RaySource
from gimbal_nero.volume.shape import ShapeFields
from gimbal_nero.watching.agreement import agreement_numbers, view_numbers
from gimbal_nero.watching.background import background_numbers
from gimbal_nero.watching.choosing import pixels_in_sphere, sample_views
from gimbal_nero.watching.extent import extent_numbers
from gimbal_nero.watching.material import material_numbers
from gimbal_nero.watching.pose_search import doubtful, pose_doubt
from gimbal_nero.watching.rendering import see
from gimbal_nero.watching.settings import POSE_GAIN_DB
from gimbal_nero.watching.surface import crossings, surface_numbers, weight_spread
from gimbal_vision.lie import so3_exp


class TrueBall(BallFields):
    """A ball whose distance is asked for without the toy's shift."""

    def __init__(self, sharpness=40.0):
        self.sharpness = sharpness

    def sdf(self, module, points):
        return points.norm(dim=-1) - module.radius


def learnt(radius=RADIUS, ink=INK / 255, paper=PAPER / 255, sharpness=40.0):
    fields = TrueBall(sharpness)
    module, _ = fields.build()
    with torch.no_grad():
        module.radius.fill_(radius)
        module.ink.fill_(ink)
        module.paper.fill_(paper)
    return fields, module


def looked_at(fields, module, views, per_view=200):
    sample = sample_views(views, per_view, 0, RaySource)
    return sample, see(fields, module, sample.rays, 64)


def test_weights_of_an_exact_ball_peak_where_rays_enter_it():
    _, seen = looked_at(*learnt(), ball_capture().views)
    rays, _ = looked_at(*learnt(), ball_capture().views)
    enters, place = crossings(seen)
    middle = -(rays.rays["origins"] * rays.rays["directions"]).sum(-1)
    impact_squared = (rays.rays["origins"] ** 2).sum(-1) - middle**2
    true = middle - np.sqrt(np.maximum(RADIUS**2 - impact_squared, 0.0))
    firm = impact_squared < 0.8 * RADIUS**2
    assert enters[firm].all()
    assert not enters[impact_squared > RADIUS**2].any()
    np.testing.assert_allclose(place[firm], true[firm], atol=2e-3)
    numbers = surface_numbers(seen)
    assert numbers["peak_miss"] < 2.6 / 48
    assert numbers["weight_near"] > 0.8
    assert numbers["gradient_off"] == pytest.approx(0.25)


def test_flat_opacity_and_no_surface_are_told_from_a_peak():
    views = ball_capture().views
    _, sharp = looked_at(*learnt(sharpness=80.0), views)
    _, flat = looked_at(*learnt(sharpness=4.0), views)
    assert surface_numbers(flat)["weight_near"] < 0.4 < surface_numbers(sharp)["weight_near"]
    assert weight_spread(flat) > 2 * weight_spread(sharp)
    _, nothing = looked_at(*learnt(radius=-0.5), views)
    assert surface_numbers(nothing) | {"gradient_off": 0} == {
        "hit_share": 0.0,
        "peak_miss": 2.0,
        "weight_near": 0.0,
        "opacity": 0.0,
        "gradient_off": 0,
    }


@pytest.mark.parametrize("masked", [True, False])
def test_a_background_in_the_sphere_is_found(masked):
    views = ball_capture(masked).views
    for radius, paper, clean in ((RADIUS, PAPER / 255, True), (0.9, 0.8, False)):
        sample, seen = looked_at(*learnt(radius, paper=paper), views)
        numbers = background_numbers(seen, sample.rays["rgb"], sample.rays["mask"])
        assert numbers["known_by"] == ("masks" if masked else "distance")
        assert numbers["pixels"] > 50 or not clean
        assert numbers["object_opacity"] > 0.8
        if masked:
            assert (numbers["inner_opacity"] < 0.1) == clean
            assert (numbers["outer_error"] < 0.05) == clean


def test_extent_is_that_of_the_ball():
    for radius in (0.6, 0.99, 0.02):
        numbers = extent_numbers(*learnt(radius), 1024)
        assert numbers["volume_share"] == pytest.approx(radius**3, abs=0.01)
        assert numbers["shell_inside"] == float(radius > 0.97)
    assert extent_numbers(*learnt(-0.5), 1024)["radius"] == 0.0


def test_the_view_that_differs_is_named_and_exposure_is_not_taken_for_a_pose():
    views = list(ball_capture().views)
    sample, seen = looked_at(*learnt(), views)
    steady = agreement_numbers(view_numbers(seen, sample))
    assert steady["exposure_spread_ev"] < 0.05

    turned = replace(views[2], image=np.roll(views[2].image, 6, axis=1))
    sample, seen = looked_at(*learnt(), [*views[:2], turned, *views[3:]])
    found = view_numbers(seen, sample)
    assert max(found, key=lambda view: view["gap_db"])["name"] == "v2"
    assert max(view["outline_miss"] for view in found) < 0.05

    moved = replace(views[2], mask=np.roll(views[2].mask, 6, axis=1))
    sample, seen = looked_at(*learnt(), [*views[:2], moved, *views[3:]])
    found = view_numbers(seen, sample)
    assert max(found, key=lambda view: view["outline_miss"])["name"] == "v2"
    assert agreement_numbers(found)["outline_gap"] > 0.06
    sample, seen = looked_at(*learnt(), ball_capture(masked=False).views)
    assert agreement_numbers(view_numbers(seen, sample))["outline_gap"] == 0.0

    darker = [replace(v, image=dimmed(v.image, 0.75**k)) for k, v in enumerate(views)]
    sample, seen = looked_at(*learnt(), darker)
    drift = agreement_numbers(view_numbers(seen, sample))
    assert drift["exposure_drift_ev"] == pytest.approx(5 * np.log2(1 / 0.75), rel=0.1)


def test_a_told_pose_that_is_wrong_is_found_by_turning_it():
    """Two balls beside the origin, photographed by the renderer itself: no other error is left."""
    few = {"uniform": 24, "rounds": 2, "per_round": 8}
    module = exact_model([[0.5, 0.0, 0.3], [-0.2, -0.5, -0.2]], [0.25, 0.35], sampling=few)
    fields = ShapeFields(module.settings)
    see_rays = partial(see, fields, module, at_once=4096)
    view = ball_view("v", (1.0, 0.2, 0.1), side=40)
    every = RaySource([view]).fetch(np.arange(view.image[..., 0].size))
    photograph = np.rint(see_rays(every).colour.reshape(view.image.shape) * 255).astype(np.uint8)
    told = replace(view, image=photograph)
    assert pose_doubt(told, 150, 0, RaySource, see_rays)["pose_gain_db"] == 0.0
    turn = np.eye(4)
    turn[:3, :3] = so3_exp(np.radians([3.0, -2.0, 4.0]))
    wrong = replace(told, cam2world=turn @ told.cam2world)
    found = pose_doubt(wrong, 150, 0, RaySource, see_rays)
    assert found["pose_gain_db"] > POSE_GAIN_DB
    assert found["pose_turn_deg"] == pytest.approx(np.sqrt(29.0), abs=2.5)
    assert doubtful([{"gap_db": 1.0}, {"gap_db": 5.0}, {"gap_db": -2.0}], 2) == [1, 0]


def dimmed(image, factor):
    encoded = image / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = linear * factor
    back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(back * 255).astype(np.uint8)


def test_materials_at_the_end_of_their_range_are_counted():
    _, seen = looked_at(*learnt(), ball_capture().views)
    assert material_numbers(seen) == {}
    whole = seen.opacity[:, None]
    good = replace(seen, material={"roughness": 0.3 * whole, "albedo": whole * [1.0, 0.8, 0.1]})
    assert material_numbers(good)["out_of_range"] == 0.0
    assert material_numbers(good)["roughness"] == pytest.approx(0.3)
    stuck = replace(seen, material={"roughness": 0.3 * whole, "albedo": whole * [1.0, 1.0, 1.0]})
    assert material_numbers(stuck)["out_of_range"] == 1.0
    empty = replace(good, opacity=0.0 * seen.opacity)
    assert material_numbers(empty) == {"out_of_range": 1.0}


def test_pixels_are_those_that_meet_the_sphere_and_the_same_for_a_seed():
    view = ball_capture().views[0]
    chosen = pixels_in_sphere(view)
    assert set(np.flatnonzero(view.mask.reshape(-1))) <= set(chosen.tolist())
    assert len(chosen) < view.mask.size
    one, two, other = (
        sample_views([view], 20, seed, RaySource).rays["pixel"] for seed in (1, 1, 2)
    )
    assert (one == two).all() and (one != other).any()
