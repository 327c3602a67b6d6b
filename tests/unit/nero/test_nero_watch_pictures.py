"""What is written of a trained shape: pictures, single rays, and its course over checkpoints."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from nero_ball import INK, RADIUS, ball_capture
from test_nero_watching import learnt

from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.learning.rays import RaySource
from gimbal_nero.stages.watching import HAS_A_SHAPE, watch_gates
from gimbal_nero.watching.colours import encoded_srgb, linear_light, signed
from gimbal_nero.watching.profiles import chosen_pixels, profile
from gimbal_nero.watching.settings import WatchSettings
from gimbal_nero.watching.slices import slice_picture
from gimbal_nero.watching.strips import Renderer, look_at_view, panels, reduced
from gimbal_nero.watching.timeline import spread_steps
from gimbal_nero.watching.watch import Watched, watch

SMALL = WatchSettings(rays_per_view=64, strips=1, strip_side=24, slice_side=32, timeline_side=16)


def renderer(*made):
    fields, module = made or learnt()
    return Renderer(fields=fields, module=module, source_of=RaySource, at_once=256)


def at_step(step):
    """Sharper and better with every step."""
    if step == 10:
        return renderer(*learnt(radius=0.4, ink=0.5, paper=0.5, sharpness=6.0))
    return renderer()


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    out = tmp_path_factory.mktemp("watch")
    shape = Watched(capture=ball_capture(), open_step=at_step, steps=[10, 20, 30], best=30, seed=0)
    told = []
    numbers = watch(shape, SMALL, out, lambda *words: told.append(words))
    return out, numbers, told


def failed(numbers, model=None):
    gates = (HAS_A_SHAPE, *watch_gates(SMALL, model or ModelSettings(mode="radiance")))
    return {gate.name for gate in gates if not gate.check(numbers).passed}


def test_a_good_shape_passes_every_gate_and_every_file_is_there(watched):
    out, numbers, told = watched
    assert failed(numbers) == set()
    record = json.loads((out / "watch.json").read_text())
    files = [part["file"] for part in (*record["strips"], *record["timeline"], record["slices"])]
    for file in files:
        assert cv2.imread(str(out / file)) is not None
    assert record["metrics"] == numbers
    assert [moment["step"] for moment in record["timeline"]] == [10, 20, 30]
    assert told[-1][0] == told[-1][1]


def test_the_course_of_training_is_told(watched):
    out, numbers, _ = watched
    assert numbers["timeline"]["psnr_gain_db"] > 3
    assert numbers["timeline"]["near_gain"] > 0.2
    first, last = (json.loads((out / "watch.json").read_text())["timeline"][k] for k in (0, -1))
    assert max(first["ray"]["weight"]) < max(last["ray"]["weight"])


@pytest.mark.parametrize(
    ("made", "gate"),
    [
        ({"radius": -0.5}, "has_a_shape"),
        ({"radius": 0.985}, "background_outside_sphere"),
        ({"radius": 0.9}, "background_not_in_sphere"),
        ({"paper": 0.9}, "background_is_outside"),
        ({"sharpness": 4.0}, "weights_are_near_surface"),
    ],
)
def test_each_fault_trips_its_gate(made, gate, tmp_path):
    bad = renderer(*learnt(**made))
    shape = Watched(capture=ball_capture(), open_step=lambda _: bad, steps=[1], best=1, seed=0)
    assert gate in failed(watch(shape, SMALL, tmp_path, lambda *_: None))


def test_materials_have_a_gate_only_where_there_are_materials():
    names = [
        {gate.name for gate in watch_gates(SMALL, ModelSettings(mode=mode))}
        for mode in ("reflection", "radiance")
    ]
    assert names[0] - names[1] == {"materials_in_range"}


def test_learned_exposure_may_differ_between_views():
    names = {gate.name for gate in watch_gates(SMALL, ModelSettings(exposure="learned"))}
    assert "exposure_agrees" not in names
    assert "poses_agree" in names


def test_panels_show_the_ball_where_it_is():
    view = reduced(ball_capture().views[1], 20)
    pictures = panels(view, look_at_view(renderer(), view))
    middle = (view.camera.height // 2, view.camera.width // 2)
    assert pictures["photograph"].shape == pictures["render"].shape == pictures["depth"].shape
    assert pictures["opacity"][middle][0] > 240 and pictures["opacity"][0, 0, 0] < 10
    assert abs(int(pictures["inner"][middle][0]) - INK) < 12
    assert pictures["outer"][middle][0] < 12


def test_single_rays_are_chosen_for_what_they_show():
    view = reduced(ball_capture().views[0], 24)
    seen = look_at_view(renderer(), view)
    chosen = chosen_pixels(seen)
    assert profile(seen, chosen["centre"])["surface"] == pytest.approx(3 - RADIUS, abs=0.05)
    assert profile(seen, chosen["background"])["surface"] is None
    assert sum(profile(seen, chosen["background"])["weight"]) < 0.2
    edge = profile(seen, chosen["edge"])
    assert min(edge["sdf"]) > min(profile(seen, chosen["centre"])["sdf"])
    assert set(chosen_pixels(look_at_view(renderer(*learnt(-0.5)), view))) == {"background"}


def test_a_slice_shows_a_circle_of_the_ball():
    picture = slice_picture(*learnt(), "x-y at z = 0", 111, 1024)
    black = (picture == 0).all(-1)
    row, column = np.nonzero(black)
    radius = np.hypot(column - 55, row - 55) / 50
    assert radius == pytest.approx(RADIUS, abs=0.04)
    assert picture[55, 55, 0] > picture[55, 55, 2], "orange within"
    assert signed(np.array([[0.0]])).tolist() == [[[255, 255, 255]]]


def test_steps_are_spread_and_the_last_is_always_there():
    assert spread_steps([1, 2, 3], 6) == [1, 2, 3]
    assert spread_steps(list(range(10)), 3)[0] == 0
    for count in range(1, 6):
        assert spread_steps(list(range(10)), count)[-1] == 9
        assert len(set(spread_steps(list(range(10)), count))) == count


def test_light_and_srgb_are_inverses():
    values = np.linspace(0, 1, 101)
    np.testing.assert_allclose(encoded_srgb(linear_light(values)), values, atol=1e-6)
