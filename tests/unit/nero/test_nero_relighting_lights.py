"""Lights arrive from where their files put them, and cameras stand where paths put them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from nero_ball import ball_capture
from nero_relit import Y_UP, write_truth
from PIL import Image

from gimbal_nero.errors import CaptureError
from gimbal_nero.exporting.environment import (
    environment_directions,
    environment_pixels,
    write_environment,
)
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.reflectance.errors import ReflectanceError
from gimbal_nero.relighting import paths
from gimbal_nero.relighting.files import gif_bytes, shown, write_linear
from gimbal_nero.relighting.lights import file_lights, named_apart, true_lights
from gimbal_nero.relighting.renderer import Picture
from gimbal_nero.relighting.sky import Sky
from gimbal_nero.synthesis.lights import light_pixels
from gimbal_vision.spheres import fibonacci_sphere

HEIGHT = 32


def random_turn(seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def one_window(towards):
    """Return a z-up picture, dark but for one pixel of 20."""
    picture = np.full((HEIGHT, 2 * HEIGHT, 3), 0.01, np.float32)
    column, row = environment_pixels(towards, HEIGHT).astype(int)
    picture[row, column] = 20.0
    return picture


def brightest(sky):
    directions = fibonacci_sphere(20_000)
    said = sky.radiance(torch.from_numpy(directions).float()).numpy().mean(-1)
    return directions[said.argmax()]


def test_a_picture_answers_at_its_pixels_and_has_no_seam():
    picture = np.random.default_rng(1).uniform(0, 3, (16, 32, 3)).astype(np.float32)
    turn = random_turn()
    unit = environment_directions(16).reshape(-1, 3) @ turn
    said = Sky(picture, turn).radiance(torch.from_numpy(unit)).numpy()
    np.testing.assert_allclose(said, picture.reshape(-1, 3), atol=1e-4)
    beside = torch.tensor([[-1.0, 1e-4, 0.3], [-1.0, -1e-4, 0.3]])
    poles = torch.tensor([[1e-4, 0.0, 1.0], [-1e-4, 0.0, 1.0]])
    for pair in (beside, poles):
        left, right = Sky(picture).radiance(pair / pair.norm(dim=-1, keepdim=True))
        assert (left - right).abs().max() < 0.05


def test_directions_are_chosen_as_densely_as_the_table_says_and_miss_no_light():
    """The integral of the light, by its own table, is that by directions from everywhere."""
    sky = Sky(one_window((0.3, -0.5, 0.6)), random_turn(2))
    torch.manual_seed(0)
    chosen = sky.table.directions(torch.rand(20_000, 2))
    density = sky.table.density(chosen)[:, 0]
    by_table = (sky.radiance(chosen).mean(-1) / density).mean()
    everywhere = torch.from_numpy(fibonacci_sphere(30_000)).float()
    wanted = 4 * np.pi * sky.radiance(everywhere).mean()
    assert float(by_table) == pytest.approx(float(wanted), rel=0.02)
    lit = sky.radiance(everywhere).mean(-1) > 0.02
    assert (sky.table.density(everywhere[lit]) > 0.05).all()


@pytest.mark.parametrize("frame", ["photographs", "unit"])
def test_a_file_is_upright_in_the_frame_that_is_named(tmp_path, frame):
    """A window at a direction of the poses' frame is seen along it from the unit frame too."""
    towards = np.array([0.36, 0.48, 0.8])
    write_environment(tmp_path / "w.exr", one_window(towards))
    (light,) = file_lights([tmp_path / "w.exr"], Y_UP, frame)
    wanted = Y_UP.rotation @ towards if frame == "photographs" else towards
    assert brightest(light.sky) @ wanted > np.cos(np.radians(5))
    assert (light.name, light.truth) == ("w", None)


def test_a_light_of_the_truth_keeps_its_place_in_the_world_of_the_photographs(tmp_path):
    """`synthesis.lights` says which pixel a direction of that world is; the unit frame agrees."""
    towards = np.array([0.6, 0.64, -0.48])
    picture = np.full((HEIGHT, 2 * HEIGHT, 3), 0.01, np.float32)
    column, row = light_pixels(towards, HEIGHT, 2 * HEIGHT).astype(int)
    picture[row, column] = 20.0
    write_truth(tmp_path, picture, ["10", "2"])
    turned = Normalisation(rotation=random_turn(5), centre_source=np.zeros(3), scale=2.0)
    (light,) = true_lights(tmp_path, turned)
    assert brightest(light.sky) @ turned.rotation @ towards > np.cos(np.radians(5))
    assert (light.name, light.truth, light.views) == ("1", "truth/relit/1", ("2", "10"))
    assert true_lights(tmp_path / "elsewhere", turned) == ()


def test_lights_of_one_name_are_told_apart_and_black_ones_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_environment(tmp_path / folder / "w.exr", one_window((1.0, 0, 0)))
    files = [tmp_path / folder / "w.exr" for folder in ("a", "b")]
    lights = file_lights(files, Y_UP)
    assert [light.name for light in lights] == ["w", "w-2"]
    assert [light.name for light in named_apart((lights[0], lights[0]))] == ["w", "w-2"]
    with pytest.raises(ReflectanceError, match="black"):
        Sky(np.zeros((4, 8, 3), np.float32))


def test_the_orbit_fills_the_frame_and_leaves_nothing_out():
    vertices = fibonacci_sphere(2000) * [0.3, 0.1, 0.5] + [0.2, 0.0, -0.1]
    shots = paths.orbit(vertices, 8, 20.0, 100)
    reach = []
    for shot in shots:
        inverse = np.linalg.inv(shot.cam2world)
        pixels, _ = shot.lens.project(vertices @ inverse[:3, :3].T + inverse[:3, 3])
        assert pixels.min() > 0 and pixels.max() < 100
        reach.append(np.abs(pixels - 50).max())
    assert max(reach) > 40
    eyes = (
        np.array([shot.cam2world[:3, 3] for shot in shots])
        - (vertices.min(0) + vertices.max(0)) / 2
    )
    elevation = np.degrees(np.arcsin(eyes[:, 2] / np.linalg.norm(eyes, axis=-1)))
    np.testing.assert_allclose(elevation, 20.0)
    assert eyes[0, 1] == pytest.approx(0.0, abs=1e-9) and eyes[0, 0] > 0
    assert eyes[2, 1] > abs(eyes[2, 0])


def test_poses_of_a_file_mean_the_photographs_frame(tmp_path):
    """Written in the source's frame, the first photograph's camera comes back as it was."""
    capture = ball_capture()
    place = Normalisation(rotation=random_turn(7), centre_source=np.array([1.0, 2, 3]), scale=0.5)
    moved = type(capture)(
        views=capture.views, splits=capture.splits, normalisation=place,
        points=capture.points, source="",
    )  # fmt: skip
    view = capture.views[0]
    pose = np.eye(4)
    pose[:3, :3] = place.rotation.T @ view.cam2world[:3, :3]
    pose[:3, 3] = place.undo_points(view.cam2world[:3, 3])
    k = {"K": [[10, 0, 8], [0, 11, 4], [0, 0, 1]], "width": 16, "height": 8}
    file = tmp_path / "poses.json"
    file.write_text(json.dumps([{"cam2world": pose.tolist()}, {"cam2world": pose.tolist(), **k}]))
    first, second = paths.from_file(file, moved, side=32)
    np.testing.assert_allclose(first.cam2world, view.cam2world, atol=1e-12)
    assert max(first.lens.width, first.lens.height) == 32
    assert (second.lens.width, second.lens.height, second.lens.fx) == (32, 16, 20.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense", "no JSON"),
        ("[]", "no list of poses"),
        ('[{"pose": 1}]', "entry 0 has no cam2world"),
        ('[{"cam2world": [[1, 2], [3, 4]]}]', "not 4 x 4"),
        ('[{"cam2world": [[2,0,0,0],[0,2,0,0],[0,0,2,0],[0,0,0,1]]}]', "not a rotation"),
        ('[{"cam2world": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]], "fov": 3}]', "fov"),
        (
            '[{"cam2world": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]], "K": [[1]]}]',
            "without width and height",
        ),
    ],
)
def test_a_wrong_file_of_poses_is_told_what_is_wrong(tmp_path, content, said):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(CaptureError, match=said):
        paths.from_file(tmp_path / "p.json", ball_capture())


def test_thinned_paths_are_spread_evenly():
    shots = paths.of_views(ball_capture().views, 12)
    assert all(max(shot.lens.width, shot.lens.height) == 12 for shot in shots)
    assert paths.thinned(shots, None) == shots
    assert paths.thinned(shots, 3) == [shots[0], shots[2], shots[4]]


def test_files_hold_the_light_and_a_gif_turns_for_ever(tmp_path):
    radiance = np.zeros((5, 6, 3), np.float32)
    radiance[2, 3] = [0.25, 1e6, 2.0]
    seen = Picture(
        radiance=radiance, coverage=np.full((5, 6), 0.5, np.float32), behind=radiance * 0 + 0.5
    )
    write_linear(tmp_path / "v.npz", seen)
    with np.load(tmp_path / "v.npz") as read:
        assert read["radiance"].dtype == np.float16
        assert read["radiance"][2, 3].tolist() == [0.25, 65504.0, 2.0]
        assert (read["coverage"] == 0.5).all() and (read["behind"] == 0.5).all()
    assert shown(seen)[0, 0, 0] == round(255 * (1.055 * 0.5 ** (1 / 2.4) - 0.055))
    levels = (40, 120, 200)
    gif = Image.open(io.BytesIO(gif_bytes([np.full((8, 9, 3), n, np.uint8) for n in levels])))
    assert (gif.n_frames, gif.size, gif.info["loop"]) == (3, (9, 8), 0)
    for number, level in enumerate(levels):
        gif.seek(number)
        assert abs(int(np.asarray(gif.convert("RGB"))[0, 0, 0]) - level) < 4
