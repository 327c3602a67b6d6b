"""The files of made photographs: their layout, that they agree, and that work is continued."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from gimbal.errors import ConfigError
from gimbal_nero.commands.synthesize import synthesize_command
from gimbal_nero.errors import SynthesisError
from gimbal_nero.stages.synthesizing import synthesize_stage
from gimbal_nero.synthesis.making import make_photographs
from gimbal_nero.synthesis.settings import FaultSettings, SyntheticSettings
from gimbal_nero.synthesis.writing import DEPTH_RANGE, srgb_bytes
from gimbal_vision.meshes.loading import load_mesh
from gimbal_vision.meshes.measures import signed_volume
from gimbal_vision.nearest import nearest

pytest.importorskip("mitsuba")

FAULTS = FaultSettings(world_scale=1.5, world_shift=(0.3, 0.0, -1.0))
SETTINGS = SyntheticSettings(
    shape="torus", views=3, size=24, samples=2, relit_lights=1, relit_views=1, faults=FAULTS
)
app = typer.Typer()
app.command()(synthesize_command)


def quiet(done: int, total: int, words: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    make_photographs(root, SETTINGS, 5, quiet, threads=2)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_layout_is_glossy_synthetic_s_with_the_truth_beside_it(folder: Path) -> None:
    names = {f"{k}{end}" for k in range(3) for end in (".png", "-depth.png", "-camera.pkl")}
    truth = {"mesh.ply", "brdf.json", "cameras.json", "light.hdr"}
    relit = {"relit/1/0.png", "relit/1/light.hdr"}
    assert set(contents(folder)) == names | {f"truth/{name}" for name in truth | relit}
    image = cv2.imread(str(folder / "0.png"), cv2.IMREAD_UNCHANGED)
    depth = cv2.imread(str(folder / "0-depth.png"), cv2.IMREAD_UNCHANGED)
    assert (image.shape, image.dtype) == ((24, 24, 4), np.uint8)
    assert (depth.shape, depth.dtype) == ((24, 24), np.uint16)
    assert np.array_equal(image[..., 3] == 255, depth < 65535)
    brdf = json.loads((folder / "truth/brdf.json").read_text())
    assert brdf == {"metallic": 1.0, "roughness": 0.15, "albedo": [0.9, 0.75, 0.5]}


def test_depth_lifted_by_the_told_cameras_lies_on_the_told_mesh(folder: Path) -> None:
    """Poses, intrinsics, depth and mesh are in one frame, also where it is not normalised."""
    mesh = load_mesh(folder / "truth/mesh.ply")
    assert signed_volume(mesh) > 0
    for view in range(3):
        world2cam, intrinsics = pickle.loads((folder / f"{view}-camera.pkl").read_bytes())
        pixels = cv2.imread(str(folder / f"{view}-depth.png"), cv2.IMREAD_UNCHANGED)
        rows, columns = np.nonzero(pixels < 65535)
        z = pixels[rows, columns] / 65535.0 * DEPTH_RANGE
        centres = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], -1)
        camera_points = z[:, None] * (centres @ np.linalg.inv(intrinsics).T)
        world = (camera_points - world2cam[:, 3]) @ world2cam[:, :3]
        distance = nearest(world, mesh.vertices)[0]
        assert len(rows) > 40
        assert distance.max() < 0.03, "an edge of the mesh is .05 long in the told world"


def test_a_stopped_call_is_continued_and_nothing_else_is_touched(
    folder: Path, tmp_path: Path
) -> None:
    partly = tmp_path / "partly"
    for name, content in contents(folder).items():
        (partly / name).parent.mkdir(parents=True, exist_ok=True)
        if not name.startswith("1") and name != "truth/relit/1/0.png":
            (partly / name).write_bytes(content)
    (partly / "1.png").write_bytes(b"half a pict")
    kept = (partly / "0.png").stat().st_mtime_ns
    seen: list[tuple[int, int]] = []
    made = make_photographs(partly, SETTINGS, 5, lambda n, of, _: seen.append((n, of)), threads=1)
    assert contents(partly) == contents(folder)
    assert (made.views, made.relit, made.kept) == (3, 1, 2)
    assert (partly / "0.png").stat().st_mtime_ns == kept
    assert seen == [(2, 4), (3, 4), (4, 4)]


def test_exposure_drift_and_pose_noise_reach_the_files(folder: Path, tmp_path: Path) -> None:
    faults = FaultSettings(exposure_drift_stops=-4.0, pose_noise_deg=8.0, pose_noise_share=0.4)
    faulty = SETTINGS.model_copy(update={"faults": faults, "relit_lights": 0})
    plain = SETTINGS.model_copy(update={"faults": FaultSettings(), "relit_lights": 0})
    for name, settings in (("faulty", faulty), ("plain", plain)):
        make_photographs(tmp_path / name, settings, 5, quiet, threads=1)
    truth = json.loads((tmp_path / "faulty/truth/cameras.json").read_text())
    assert len(truth["perturbed_views"]) == 1
    for view in range(3):
        poses = [
            pickle.loads((tmp_path / name / f"{view}-camera.pkl").read_bytes())[0]
            for name in ("faulty", "plain")
        ]
        assert np.allclose(*poses) == (view not in truth["perturbed_views"])
    assert truth["exposure_gains"] == [4.0, 1.0, 0.25]
    means = [
        [cv2.imread(str(tmp_path / name / f"{view}.png")).mean() for view in range(3)]
        for name in ("faulty", "plain")
    ]
    assert means[0][0] > 1.3 * means[1][0]
    assert means[0][1] == means[1][1]
    assert means[0][2] < 0.7 * means[1][2]


def test_colours_are_srgb() -> None:
    linear = np.array([0.0, 0.002, 0.18, 0.5, 1.0, 9.0], np.float32)
    assert srgb_bytes(linear).tolist() == [0, 7, 118, 188, 255, 255]


def arguments(out: Path, *more: str) -> list[str]:
    few = ("--object", "sphere", "--views", "1", "--size", "8", "--samples", "1")
    return ["--out", str(out), *few, "--relit-lights", "0", "--json", *more]


def test_the_command_makes_continues_and_leaves_other_folders_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = CliRunner().invoke(app, arguments(out))
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["kept"] == 0
    before = contents(out)
    again = CliRunner().invoke(app, arguments(out))
    assert json.loads(again.stdout)["kept"] == 1
    other = CliRunner().invoke(app, arguments(out, "--seed", "1", "--roughness", ".5"))
    assert isinstance(other.exception, SynthesisError)
    assert "seed is 0 there, 1 now" in other.exception.message
    assert "settings.material.roughness is 0.15 there, 0.5 now" in other.exception.message
    assert contents(out) == before
    stranger = CliRunner().invoke(app, arguments(tmp_path))
    assert isinstance(stranger.exception, SynthesisError)
    assert "holds out, which this command did not make" in stranger.exception.message


def test_bad_options_are_named_and_leave_no_folder(tmp_path: Path) -> None:
    out, words = tmp_path / "out", tmp_path / "words.ply"
    words.write_text("no mesh")
    for more, kind, said in (
        (("--background", "green"), ConfigError, "background"),
        (("--albedo", "2", "0", "0"), ConfigError, "material.albedo.0"),
        (("--object", "cup"), ConfigError, "cup is no object and no file"),
        (("--object", str(words)), SynthesisError, "words.ply"),
        (("--hdri", "sky.hdr"), SynthesisError, "there is no light sky.hdr"),
    ):
        result = CliRunner().invoke(app, arguments(out, *more))
        assert isinstance(result.exception, kind), result.output
        assert said in result.exception.message
        assert not out.exists()


def test_the_stage_names_its_files_and_keeps_their_places_out_of_its_settings(
    folder: Path, tmp_path: Path
) -> None:
    mesh, hdri = folder / "truth/mesh.ply", folder / "truth/light.hdr"
    settings = SyntheticSettings.model_validate(
        {
            "shape": "mesh",
            "mesh": mesh,
            "light": {"hdri": hdri},
            "views": 1,
            "size": 8,
            "samples": 1,
            "relit_lights": 0,
        }
    )
    stage = synthesize_stage(settings, seed=0)
    assert set(stage.external_files()) == {mesh, hdri}
    assert str(folder) not in stage.settings.model_dump_json()
    metrics = stage.run({}, tmp_path, quiet)
    assert metrics["views"] == 1
    assert all(gate.check(metrics).passed for gate in stage.gates)
    light = cv2.imread(str(tmp_path / "truth/light.hdr"), cv2.IMREAD_UNCHANGED)
    wanted = cv2.imread(str(hdri), cv2.IMREAD_UNCHANGED)
    assert np.abs(light - wanted).max() < 0.02 * wanted.max()
