"""Objects, cameras and the faults made on purpose: all without a renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from gimbal_nero.errors import SynthesisError
from gimbal_nero.exporting.exr import exr_bytes
from gimbal_nero.synthesis import cameras, lights
from gimbal_nero.synthesis.objects import make_object, mesh_bytes, shaded, torus
from gimbal_nero.synthesis.settings import FaultSettings, LightSettings, SyntheticSettings
from gimbal_vision.lie import rotation_angle
from gimbal_vision.meshes.loading import load_mesh
from gimbal_vision.meshes.measures import is_watertight, signed_volume
from gimbal_vision.meshes.model import Mesh

CUBE = np.array([[x, y, z] for x in (0, 2.0) for y in (0, 2.0) for z in (0, 2.0)])


@pytest.mark.parametrize("shape", ["torus", "blob", "spheres", "sphere"])
def test_objects_are_closed_turned_outwards_and_within_their_extent(shape: str) -> None:
    mesh = make_object(SyntheticSettings.model_validate({"shape": shape, "extent": 0.6}), seed=4)
    assert is_watertight(mesh)
    assert signed_volume(mesh) > 0.01
    assert np.linalg.norm(mesh.vertices, axis=-1).max() == pytest.approx(0.6)
    np.testing.assert_allclose(mesh.bounds.sum(axis=0), 0, atol=1e-12)


def test_a_torus_is_one() -> None:
    mesh = torus(0.5, 0.2, 400, 200)
    x, y, z = mesh.vertices.T
    np.testing.assert_allclose((np.hypot(x, z) - 0.5) ** 2 + y**2, 0.04, atol=1e-12)
    assert signed_volume(mesh) == pytest.approx(2 * np.pi**2 * 0.5 * 0.04, rel=1e-3)


def test_normals_are_smooth_on_a_ball_and_break_at_a_cube_s_edges(tmp_path: Path) -> None:
    ball = shaded(make_object(SyntheticSettings(shape="sphere"), seed=0))
    assert (ball.normals * ball.vertices).sum(-1).min() > 0.7499
    import trimesh

    box = trimesh.creation.box()
    cube = shaded(Mesh(np.asarray(box.vertices), np.asarray(box.faces, np.int32)))
    np.testing.assert_allclose(np.abs(cube.normals).max(-1), 1, atol=1e-9)


def test_a_mesh_file_inside_out_is_centred_and_turned(tmp_path: Path) -> None:
    import trimesh

    box = trimesh.creation.box(extents=(2, 4, 4))
    path = tmp_path / "box.ply"
    turned = np.asarray(box.faces, np.int32)[:, ::-1]
    path.write_bytes(mesh_bytes(Mesh(np.asarray(box.vertices) + 5.0, turned)))
    mesh = make_object(SyntheticSettings(shape="mesh", mesh=path, extent=0.75), seed=0)
    assert signed_volume(mesh) == pytest.approx(32 * (0.75 / 3) ** 3)
    assert len(load_mesh(path).faces) == len(mesh.faces)


def test_cameras_look_at_the_origin_from_between_the_elevations_with_y_up() -> None:
    settings = SyntheticSettings(views=30, elevation_deg=(-20, 60), distance=2.5)
    poses = cameras.true_poses(settings, seed=1)
    eyes = poses[:, :3, 3]
    np.testing.assert_allclose(np.linalg.norm(eyes, axis=-1), 2.5)
    elevation = np.degrees(np.arcsin(eyes[:, 1] / 2.5))
    assert elevation.min() > -20
    assert elevation.max() < 60
    np.testing.assert_allclose(poses[:, :3, 2], -eyes / 2.5, atol=1e-9)
    assert (poses[:, 1, 1] < 0).all(), "the image's downward axis points down"
    assert not np.allclose(poses, cameras.true_poses(settings, seed=2))


def test_pose_noise_turns_the_named_views_alone_by_the_told_angle() -> None:
    true = cameras.true_poses(SyntheticSettings(views=20), seed=0)
    faults = FaultSettings(pose_noise_deg=5.0, pose_noise_share=0.25)
    told, perturbed = cameras.told_poses(true, faults, seed=0)
    turned = np.degrees(rotation_angle(true[:, :3, :3], told[:, :3, :3]))
    assert len(perturbed) == 5
    np.testing.assert_allclose(turned[list(perturbed)], 5.0, atol=1e-6)
    others = np.setdiff1d(np.arange(20), perturbed)
    assert np.array_equal(told[others], true[others])
    np.testing.assert_allclose(np.linalg.norm(told[:, :3, 3], axis=-1), 3.0)


def test_a_world_not_normalised_gives_the_same_pictures() -> None:
    settings = SyntheticSettings(views=4)
    faults = FaultSettings(world_scale=1.7, world_shift=(0.4, -2.0, 1.0))
    true = cameras.true_poses(settings, seed=0)
    told, perturbed = cameras.told_poses(true, faults, seed=0)
    points = np.random.default_rng(0).uniform(-0.7, 0.7, (50, 3))
    lens = cameras.camera(settings)
    for before, after in zip(true, told, strict=True):
        moved = cameras.told_points(points, faults)
        expected = lens.project((points - before[:3, 3]) @ before[:3, :3])[0]
        found = lens.project((moved - after[:3, 3]) @ after[:3, :3])[0]
        np.testing.assert_allclose(found, expected, atol=1e-8)
    assert perturbed == ()


def test_exposure_drifts_by_the_told_stops() -> None:
    gains = cameras.exposure_gains(9, FaultSettings(exposure_drift_stops=2.0))
    assert gains[-1] / gains[0] == pytest.approx(4.0)
    assert np.log2(gains).mean() == pytest.approx(0.0)
    np.testing.assert_allclose(np.diff(np.log2(gains)), 0.25)
    assert np.array_equal(cameras.exposure_gains(9, FaultSettings()), np.ones(9))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"shape": "mesh"}, "name a file in mesh"),
        ({"mesh": "a.ply"}, "shape: mesh"),
        ({"elevation_deg": (30, 10)}, "elevation_deg"),
        ({"views": 1}, "relit_views"),
        ({"faults": {"world_scale": 6}}, "world_scale"),
        ({"colour": 1}, "colour"),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    wrong: dict[str, object], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        SyntheticSettings.model_validate(wrong)


def test_what_is_no_light_is_named(tmp_path: Path) -> None:
    square = np.ones((8, 8, 3), np.float32)
    (tmp_path / "square.hdr").write_bytes(lights.hdr_bytes(square))
    (tmp_path / "black.hdr").write_bytes(lights.hdr_bytes(np.zeros((8, 16, 3), np.float32)))
    (tmp_path / "text.hdr").write_text("no light")
    for name, said in (
        ("square", "twice as many columns"),
        ("black", "all 0"),
        ("text", "no image"),
        ("absent", "there is no light"),
    ):
        with pytest.raises(SynthesisError, match=said):
            lights.make_light(LightSettings(hdri=tmp_path / f"{name}.hdr"), seed=0)


def test_an_exr_light_is_read_and_one_that_is_not_ours_is_named(tmp_path: Path) -> None:
    light = np.random.default_rng(0).random((8, 16, 3)).astype(np.float32)
    path = tmp_path / "light.exr"
    path.write_bytes(exr_bytes(light))
    made = lights.make_light(LightSettings(hdri=path, mean_radiance=None), 0)
    assert np.allclose(made, light)
    path.write_bytes(b"no picture")
    with pytest.raises(SynthesisError, match=r"light\.exr"):
        lights.make_light(LightSettings(hdri=path), 0)
