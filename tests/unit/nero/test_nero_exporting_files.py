"""Exported files fit each other, the photographs' frame and the light, whatever the mesh was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from nero_relit import NETWORKS, Y_UP, write_stages
from PIL import Image
from typer.testing import CliRunner

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_folder import RunFolder
from gimbal_nero.cli import app
from gimbal_nero.exporting.arrays import read_arrays
from gimbal_nero.exporting.environment import environment_directions, read_environment
from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.exporting.export import FILES, Learnt, export, toned
from gimbal_nero.exporting.gltf import read_glb
from gimbal_nero.exporting.settings import ExportSettings
from gimbal_nero.exporting.simplifying import moved_by, normals_at, simplified
from gimbal_nero.material.loading import load_material
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.stages.exporting import EXPORT_GATES, export_stage
from gimbal_vision.meshes import load_mesh
from gimbal_vision.meshes.measures import is_watertight, signed_volume
from gimbal_vision.meshes.model import Mesh

SMOKE = Path(__file__).parents[3] / "configs" / "nero" / "smoke.yaml"
SETTINGS = ExportSettings(texture_side=128, most_faces=1000, environment_height=16)
Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def ellipsoid(subdivisions=4):
    made = trimesh.creation.icosphere(subdivisions=subdivisions)
    return Mesh(np.asarray(made.vertices) * [1.0, 0.6, 0.4], np.asarray(made.faces, np.int32))


def exact_normals(points):
    """Of the ellipsoid, from its equation."""
    gradient = points / np.array([1.0, 0.6, 0.4]) ** 2
    return gradient / np.linalg.norm(gradient, axis=-1, keepdims=True)


def material(points):
    """Albedo says where the point is; only the unit frame gives values within [0, 1]."""
    return 0.5 + 0.45 * points, 0.5 + 0.4 * points[:, :1], (0.5 + 0.3 * points[:, 2:]) ** 2


def light(directions):
    return 1.5 + directions


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    told = []
    learnt = Learnt(mesh=ellipsoid(), material=material, light=light, normalisation=Y_UP)
    numbers = export(learnt, SETTINGS, folder, lambda *step: told.append(step))
    assert [step[0] for step in told] == list(range(6))
    return folder, numbers


def test_fewer_faces_are_the_same_surface_with_the_normals_it_had():
    mesh = ellipsoid()
    fewer = simplified(mesh, 1000)
    assert 900 <= len(fewer.faces) <= 1000
    assert is_watertight(fewer)
    assert signed_volume(fewer) == pytest.approx(signed_volume(mesh), rel=0.01)
    level = np.linalg.norm(fewer.vertices / [1.0, 0.6, 0.4], axis=-1)
    np.testing.assert_allclose(level, 1.0, atol=0.01)
    exact = exact_normals(fewer.vertices)
    cosine = (normals_at(mesh, fewer.vertices, exact) * exact).sum(-1)
    assert np.rad2deg(np.arccos(cosine.clip(-1, 1))).max() < 3.0
    assert simplified(mesh, None) is mesh
    assert simplified(mesh, len(mesh.faces)) is mesh


def test_normals_do_not_mix_the_sides_of_a_thin_wall():
    wall = trimesh.creation.box((1.0, 1.0, 1e-3)).subdivide().subdivide()
    mesh = Mesh(np.asarray(wall.vertices) * 1.0, np.asarray(wall.faces, np.int32))
    top = np.array([[0.1, 0.05, 5e-4], [-0.2, 0.15, 5e-4]])
    up = np.tile([0.0, 0.0, 1.0], (2, 1))
    np.testing.assert_allclose(normals_at(mesh, top, up), up, atol=1e-6)
    np.testing.assert_allclose(normals_at(mesh, top, -up), -up, atol=1e-6)


@pytest.mark.parametrize("most_faces", [None, 400])
def test_creases_stay_creases(tmp_path, most_faces):
    """A cube's exported normals are those of its faces, as they are fitted and relit with."""
    cube = trimesh.creation.box((0.8, 0.8, 0.8)).subdivide().subdivide().subdivide()
    mesh = Mesh(np.asarray(cube.vertices) * 1.0, np.asarray(cube.faces, np.int32))
    learnt = Learnt(
        mesh=mesh, material=material, light=light, normalisation=Normalisation.identity()
    )
    settings = SETTINGS.model_copy(update={"most_faces": most_faces})
    export(learnt, settings, tmp_path, lambda *_: None)
    read = read_glb(tmp_path / "object.glb")
    corners = read.vertices[read.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(flat, axis=-1)
    cosine = np.einsum("fcd,fd->fc", read.normals[read.faces], flat)[area > 1e-9]
    assert (cosine / area[area > 1e-9, None]).min() > 0.999
    assert area.sum() / 2 == pytest.approx(6 * 0.64, rel=1e-6)


def test_an_interrupted_export_is_done_again(tmp_path):
    """What the first call left is ours, since its record is written first."""
    from gimbal_nero.commands.runs import free_folder
    from gimbal_nero.exporting.export import RECORD

    def broken(points):
        raise KeyboardInterrupt

    learnt = Learnt(
        mesh=ellipsoid(2), material=material, light=broken,
        normalisation=Normalisation.identity(),
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        export(learnt, SETTINGS, tmp_path, lambda *_: None)
    assert (tmp_path / "albedo.npy").is_file() and not (tmp_path / "viewer.html").exists()
    free_folder(tmp_path, FILES.__contains__, (RECORD,))
    assert json.loads((tmp_path / RECORD).read_text()) == {"finished": False}


def test_how_far_a_surface_moved_is_told_in_lengths():
    mesh = ellipsoid(3)
    smaller = Mesh(0.9 * mesh.vertices, mesh.faces)
    moved = moved_by(mesh, smaller)
    # Along the normal at the ends of the axes a tenth of them: at least .04, at most .1.
    assert moved.min() == pytest.approx(0.04, abs=0.003)
    assert moved.max() == pytest.approx(0.1, abs=0.005)
    again = Mesh(mesh.vertices.copy(), mesh.faces.copy())
    assert moved_by(mesh, again).max() < 1e-5


def test_every_file_is_there_and_told_of(exported):
    folder, numbers = exported
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    record = json.loads((folder / "export.json").read_text())
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert set(record["files"]) == there - {"export.json"}
    assert record["numbers"] == numbers
    assert all(gate.check(numbers).passed for gate in EXPORT_GATES)
    assert 900 <= numbers["exported_faces"] <= 1000 < numbers["faces"]


def test_arrays_belong_to_the_mesh_beside_them(exported):
    folder, _ = exported
    mesh = load_mesh(folder / "mesh.ply")
    said = read_arrays(folder, len(mesh.vertices))
    unit = Y_UP.points(mesh.vertices)
    np.testing.assert_allclose(said.albedo, 0.5 + 0.45 * unit, atol=1e-5)
    np.testing.assert_allclose(said.roughness, 0.5 + 0.3 * unit[:, 2], atol=1e-5)


def test_the_glb_is_in_the_photographs_frame_and_its_node_turns_it_upright(exported):
    folder, _ = exported
    read = read_glb(folder / "object.glb")
    unit = Y_UP.points(read.vertices)
    np.testing.assert_allclose(np.ptp(unit, axis=0), [2.0, 1.2, 0.8], atol=0.02)
    upright = read.node[:3, :3] @ Y_UP.rotation.T
    np.testing.assert_allclose(upright, Y_UP_FROM_Z_UP, atol=1e-6)
    turned = read.normals @ Y_UP.rotation.T
    assert (turned * exact_normals(unit)).sum(-1).min() > 0.99
    side = len(read.roughness)
    column = (read.uv[:, 0] * side).astype(int).clip(0, side - 1)
    row = ((1 - read.uv[:, 1]) * side).astype(int).clip(0, side - 1)
    wanted = 0.5 + 0.3 * unit[:, 2]
    assert np.abs(read.roughness[row, column] / 255 - wanted).max() < 0.03
    packed = np.asarray(Image.open(folder / "textures" / "metallic_roughness.png"))
    np.testing.assert_array_equal(packed[..., 1], read.roughness)
    np.testing.assert_array_equal(packed[..., 2], read.metallic)


def test_the_light_is_in_the_unit_frame_and_its_preview_is_neither_black_nor_white(exported):
    folder, _ = exported
    picture = read_environment(folder / "environment.exr")
    np.testing.assert_allclose(picture, 1.5 + environment_directions(16), atol=0.01)
    preview = np.asarray(Image.open(folder / "environment.png"))
    assert preview.shape == (16, 32, 3)
    assert 60 < preview.mean() < 220
    assert toned(np.zeros((8, 16, 3), np.float32)).max() == 0
    assert toned(1e4 * picture) == pytest.approx(toned(picture), abs=1e-5)


def test_a_material_out_of_range_and_coarse_textures_are_refused(tmp_path, exported):
    def diverged(points):
        return 1.2 + 0 * points, 0 * points[:, 0], 0 * points[:, 0]

    learnt = Learnt(mesh=ellipsoid(2), material=diverged, light=light, normalisation=Y_UP)
    with pytest.raises(ExportError, match="not within 0 and 1"):
        export(learnt, SETTINGS, tmp_path / "out", lambda *step: None)
    _, numbers = exported
    names = {"moved_texels": "shape_is_kept", "texture_error": "textures_say_the_material"}
    for metric, name in names.items():
        wrong = {**numbers, metric: 9.0}
        assert [g.name for g in EXPORT_GATES if not g.check(wrong).passed] == [name]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose stages are a ball with networks as they start."""
    _, config = load_experiment(SMOKE)
    fit = config.material.model_copy(update={"networks": NETWORKS})
    config = config.model_copy(update={"material": fit, "export": SETTINGS})
    made = RunFolder.create(tmp_path_factory.mktemp("runs"), config)
    write_stages(made.stages)
    return made, config


def test_the_stage_writes_what_the_best_checkpoint_says(run, tmp_path):
    made, config = run

    class Output:
        def __init__(self, path):
            self.path = path

    stage = export_stage(config)
    inputs = {name: Output(made.stages / name) for name in stage.inputs}
    numbers = stage.run(inputs, tmp_path, lambda *step: None)
    assert numbers["step"] == 7
    loaded = load_material(made.stages / "material", NETWORKS)
    mesh = load_mesh(made.stages / "mesh" / "unit.ply")
    alpha = loaded.appearance()(mesh.vertices.astype(np.float32))[2]
    said = read_arrays(tmp_path, len(mesh.vertices))
    np.testing.assert_allclose(said.roughness, np.sqrt(alpha[:, 0]), atol=1e-5)


def invoke(command, run, *words):
    arguments = [command, "--run", str(run[0].path), *map(str, words)]
    return CliRunner().invoke(app, arguments)


def test_the_command_exports_anew_and_touches_nothing_foreign(run, tmp_path):
    out = tmp_path / "out"
    for side in (32, 64):
        done = invoke("export", run, "--texture-side", side, "--faces", 0, "--out", out, "--json")
        assert done.exit_code == 0, done.output
        record = json.loads(done.stdout)
        assert record["exported_faces"] == record["faces"]
        assert Image.open(out / "textures" / "base_color.png").size == (side, side)
    (out / "notes.txt").touch()
    done = invoke("export", run, "--out", out)
    assert isinstance(done.exception, ConfigError)
    assert "notes.txt" in str(done.exception)
    done = invoke("export", run, "--faces", 7, "--out", tmp_path / "few")
    assert isinstance(done.exception, ConfigError)
    assert not (tmp_path / "few").exists()


@pytest.mark.parametrize("ending", ["exr", "hdr"])
def test_the_command_writes_the_learnt_light(run, tmp_path, ending):
    file = tmp_path / f"light.{ending}"
    for rows in (8, 16):
        done = invoke("env-light", run, "--height", rows, "--out", file, "--overwrite", "--json")
        assert done.exit_code == 0, done.output
        record = json.loads(done.stdout)
        picture = read_environment(file)
        assert picture.shape == (rows, 2 * rows, 3)
        assert picture.mean() == pytest.approx(record["mean"], rel=0.01)


def test_a_light_replaces_no_file_of_another_kind(run, tmp_path):
    foreign = tmp_path / "mine.exr"
    foreign.write_text("my own")
    for name in (foreign, tmp_path / "light.png", tmp_path):
        done = invoke("env-light", run, "--out", name)
        assert isinstance(done.exception, ConfigError), name
    assert foreign.read_text() == "my own"


def test_a_light_of_somebody_elses_is_not_lost_to_a_slip(run, tmp_path):
    studio = tmp_path / "studio.exr"
    assert invoke("env-light", run, "--height", 8, "--out", studio).exit_code == 0
    before = studio.read_bytes()
    done = invoke("env-light", run, "--height", 16, "--out", studio)
    assert isinstance(done.exception, ConfigError) and studio.read_bytes() == before
