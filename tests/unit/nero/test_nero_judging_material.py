"""A learnt material is asked where views see it, and held against the true one at the same pixels.

Spheres have means that can be written down; stages and checks ask for what there is, and no more.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import trimesh
from nero_ball import RADIUS, ball_capture
from relit_folder import relit_folder, write_truth

from gimbal.experiment.stage import StageOutput
from gimbal.training import checkpoints
from gimbal_nero.capture_files import save_capture
from gimbal_nero.config import NeroConfig
from gimbal_nero.errors import ShapeError
from gimbal_nero.exporting.material import Appearance
from gimbal_nero.judging.geometry import NO_TRUTH, surfaces_of
from gimbal_nero.judging.judge import Judged, judge
from gimbal_nero.judging.materials import (
    NO_TRUE_MATERIAL,
    NOWHERE_BOTH,
    compare_materials,
    paired_points,
)
from gimbal_nero.judging.relit import inner
from gimbal_nero.judging.settings import JudgeSettings
from gimbal_nero.judging.srgb import linear_of
from gimbal_nero.judging.summary import summary_table
from gimbal_nero.judging.surfaces import Surfaces, cells_of
from gimbal_nero.judging.true_material import UniformMaterial, true_material
from gimbal_nero.material.model import MaterialModel
from gimbal_nero.meshing.files import write_meshes
from gimbal_nero.meshing.seeing import seen_by
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.stages.judging import judge_gates, judge_stage
from gimbal_vision.meshes import Mesh

METAL = UniformMaterial(1.0, 0.3, (0.8, 0.6, 0.4))
BRDF = {"metallic": 1.0, "roughness": 0.3, "albedo": [0.8, 0.6, 0.4]}


def quiet(*_):
    """Nobody watches."""


def ball(radius=RADIUS):
    made = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(np.asarray(made.vertices), np.asarray(made.faces, np.int32))


def said(albedo, metallic, alpha):
    """A material as exporting asks for it, of functions of points or of constants."""

    def at(points):
        def of(value, width):
            found = value(points) if callable(value) else np.broadcast_to(value, (width,))
            return np.broadcast_to(found, (len(points), width)).astype(np.float32)

        return of(albedo, 3), of(metallic, 1), of(alpha, 1)

    return at


def truth_folder(root, radius=RADIUS):
    (root / "truth").mkdir(parents=True)
    trimesh.Trimesh(ball(radius).vertices, ball(radius).faces).export(root / "truth" / "mesh.ply")
    (root / "truth" / "brdf.json").write_text(json.dumps(BRDF))
    return root


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    root = truth_folder(tmp_path_factory.mktemp("ball"))
    return paired_points(surfaces_of(ball(), ball_capture(), root, quiet), 0.03)


def test_points_are_on_both_surfaces_at_the_same_pixels(tmp_path):
    surfaces = surfaces_of(ball(0.5), ball_capture(), truth_folder(tmp_path), quiet)
    points = paired_points(surfaces, 0.02)
    assert np.linalg.norm(points.said, axis=-1) == pytest.approx(0.5, abs=0.004)
    assert np.linalg.norm(points.true, axis=-1) == pytest.approx(RADIUS, abs=0.004)
    assert np.linalg.norm(points.said - points.true, axis=-1).max() < 0.35, "of one ray each"


def test_the_very_material_is_off_by_nothing_and_alpha_is_the_square_of_roughness(points):
    found = compare_materials(said(np.array([0.8, 0.6, 0.4]), 1.0, 0.09), METAL, points)
    for name in ("roughness_mae", "metallic_mae", "albedo_mae", "albedo_mae_raw"):
        assert found[name] == pytest.approx(0.0, abs=1e-6)
    assert found["albedo_scale"] == pytest.approx(1.0, abs=1e-6)
    off = compare_materials(said(np.array([0.8, 0.6, 0.4]), 1.0, 0.16), METAL, points)
    assert off["roughness_mae"] == pytest.approx(0.1, abs=1e-6)


def test_a_factor_of_albedo_is_found_and_a_wrong_colour_is_named(points):
    half = compare_materials(said(np.array([0.4, 0.3, 0.2]), 1.0, 0.09), METAL, points)
    assert half["albedo_scale"] == pytest.approx(2.0, rel=1e-6)
    assert half["albedo_mae"] == pytest.approx(0.0, abs=1e-6)
    assert half["albedo_mae_raw"] == pytest.approx(0.3, abs=1e-6)
    grey = compare_materials(said(0.5, 1.0, 0.09), METAL, points)
    assert grey["albedo_scale"] == pytest.approx(1.2, rel=1e-6), "the mean of .8, .6, .4 is .6"
    assert grey["albedo_mae_global"] == pytest.approx(0.4 / 3, abs=1e-6)
    assert grey["albedo_mae"] == grey["albedo_mae_channels"] == pytest.approx(0.0, abs=1e-6)


def test_what_many_views_see_counts_no_more_than_what_one_does(tmp_path):
    once = surfaces_of(ball(), ball_capture(), truth_folder(tmp_path), quiet)
    many = Surfaces(
        views=[*once.views, *[once.views[0]] * 9],
        said=[*once.said, *[once.said[0]] * 9],
        true=[*once.true, *[once.true[0]] * 9],
    )
    assert np.array_equal(paired_points(once, 0.03).said, paired_points(many, 0.03).said)
    few = paired_points(once, 0.06)
    assert len(few.said) == len(few.true) == len(np.unique(cells_of(few.said, 0.06)))


def test_a_truth_that_differs_from_place_to_place_is_asked_on_the_true_surface(tmp_path):
    class Striped:
        def at(self, points):
            share = (0.5 + 0.5 * points[:, 0] / RADIUS).clip(0, 1).astype(np.float32)
            albedo = np.repeat(share[:, None], 3, axis=1)
            return Appearance(albedo=albedo, metallic=share, roughness=share)

    surfaces = surfaces_of(ball(), ball_capture(), truth_folder(tmp_path), quiet)
    points = paired_points(surfaces, 0.03)

    def share(p):
        return (0.5 + 0.5 * p[:, :1] / RADIUS).clip(0, 1)

    found = compare_materials(said(share, share, lambda p: share(p) ** 2), Striped(), points)
    assert max(found["roughness_mae"], found["metallic_mae"], found["albedo_mae_raw"]) < 1e-5


def test_surfaces_that_no_pixel_shows_together_are_said_to_be_apart(tmp_path):
    away = Mesh(ball(0.1).vertices + np.array([0.0, 0.0, 9.0]), ball(0.1).faces)
    surfaces = surfaces_of(away, ball_capture(), truth_folder(tmp_path), quiet)
    points = paired_points(surfaces, 0.03)
    assert compare_materials(said(0.5, 1.0, 0.09), METAL, points) == {
        "material_missing": NOWHERE_BOTH
    }


def test_the_true_material_is_read_or_what_is_wrong_is_said(tmp_path):
    assert true_material(tmp_path) is None
    truth_folder(tmp_path)
    here = true_material(tmp_path).at(np.zeros((2, 3)))
    assert here.albedo.tolist() == np.tile(np.float32([0.8, 0.6, 0.4]), (2, 1)).tolist()
    assert here.roughness.tolist() == [np.float32(0.3)] * 2 and here.metallic.tolist() == [1, 1]
    for broken in ({}, [], BRDF | {"albedo": [1, 2, 3]}, BRDF | {"roughness": "shiny"}):
        (tmp_path / "truth" / "brdf.json").write_text(json.dumps(broken))
        with pytest.raises(ShapeError, match="does not name metallic"):
            true_material(tmp_path)


def judged(root, relight_dir=None):
    material = SimpleNamespace(
        appearance=lambda: said(np.array([0.4, 0.3, 0.2]), 1.0, 0.16), step=7
    )
    return Judged(
        capture=ball_capture(), mesh=ball(), root=root, material=material, relight_dir=relight_dir
    )


def test_a_mesh_of_others_is_judged_with_its_material_and_its_pictures(tmp_path):
    capture = ball_capture()
    view = capture.views[0]
    true = np.full((*view.image.shape[:2], 3), 120, np.uint8)
    root = truth_folder(tmp_path)
    relit_folder(root, {"1": {"v0": (linear_of(true) / 4, true), "gone": (linear_of(true), true)}})
    out = tmp_path / "out"
    settings = JudgeSettings(shown_materials=1)
    found = judge(judged(root, root / "relight"), settings, 64, out, quiet)
    assert found["roughness_mae"] == pytest.approx(0.1, abs=1e-6)
    assert found["albedo_scale"] == pytest.approx(2.0, rel=1e-5)
    assert found["relit_scale"] == pytest.approx(4.0, rel=1e-5) and found["relit_psnr"] > 58
    assert found["chamfer"] < 1e-6 and "psnr" not in found and "step" not in found
    pictures = {path.name for path in (out / "pictures").iterdir()}
    assert {"material-v0.png", "relit-1-v0.png"} <= pictures
    maps = cv2.imread(str(out / "pictures" / "material-v0.png"))[..., ::-1]
    height, width = view.image.shape[:2]
    assert maps.shape == (2 * height, 3 * width, 3)
    middle = [maps[row, height // 2 + column * width + 1].tolist() for row in
              (height // 2, height + height // 2) for column in range(3)]  # fmt: skip
    assert middle[0] == [102] * 3 and middle[3] == [76] * 3, ".4 learnt above .3 true"
    assert middle[2] == middle[5], "albedo is drawn as aligned"
    relit = cv2.imread(str(out / "pictures" / "relit-1-v0.png"))
    covered = inner(np.isfinite(seen_by(ball(), view).depth))
    assert (relit[:, :width][covered] == 120).all() and not relit[:, :width][~covered].any()
    assert not relit[:, 2 * width :].any(), "no difference"
    rows = [row[0] for row in summary_table(found)["rows"]]
    assert "roughness off by" in rows and "PSNR under other lights" in rows
    assert summary_table(found)["title"] == "the material at step 7, against true mesh"


def test_without_truth_the_material_is_drawn_and_not_judged(tmp_path):
    relit_folder(tmp_path, {"1": {"v0": (np.zeros((24, 26, 3)), None)}})
    found = judge(judged(tmp_path, tmp_path / "relight"), JudgeSettings(), 64, tmp_path, quiet)
    assert found["material_missing"] == NO_TRUTH and "no truth/relit" in found["relit_missing"]
    assert not any(name.startswith(("roughness", "albedo", "relit_psnr")) for name in found)
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["material-v0.png", "material-v1.png"]
    assert "truth/relit" in summary_table(found)["caption"]


def test_a_true_surface_of_unknown_material_is_said_to_be_so(tmp_path):
    root = truth_folder(tmp_path)
    (root / "truth" / "brdf.json").unlink()
    true = np.full((24, 30, 3), 120, np.uint8)
    relit_folder(root, {"1": {"v0": (linear_of(true), true)}})
    found = judge(judged(root, root / "relight"), JudgeSettings(), 64, tmp_path / "o", quiet)
    assert found["material_missing"] == NO_TRUE_MATERIAL
    assert "30 x 24" in found["relit_missing"], "of another size than its photograph"


def constant_material(networks, metallic, share, albedo):
    """Networks that say the same of every point; `share` is what alpha is made of."""
    module = MaterialModel(networks)
    surface = module.surface
    for head, value in (
        (surface.metallic, [metallic]), (surface.roughness, [share]), (surface.albedo, albedo)
    ):  # fmt: skip
        last = head.layers[-1]
        last.parametrizations.weight.original0.data.zero_()
        last.bias.data = torch.logit(torch.tensor(value))
    return module


def test_the_stage_judges_the_files_of_others(tmp_path):
    """From checkpoint, capture, mesh and relit pictures on disk to numbers."""
    root = truth_folder(tmp_path / "data")
    config = configured(
        material={"train": {"steps": 10, "global_batch": 4}, "networks": {"size": "tiny"}},
        mesh={"file": "a.glb"},
        data={"root": str(root)},
        train=None,
    )
    stage = judge_stage(config)
    module = constant_material(stage.networks, 0.9, 0.25, [0.4, 0.3, 0.2])
    state = {"model": module.state_dict(), "step": 7}
    checkpoints.save(tmp_path / "material", state, card={}, metrics={})
    save_capture(ball_capture(), tmp_path / "prepare")
    write_meshes(ball(), Normalisation.identity(), tmp_path / "mesh")
    true = np.full((24, 26, 3), 120, np.uint8)
    relit_folder(tmp_path, {"1": {"v0": (linear_of(true) / 4, None)}})
    write_truth(root / "truth" / "relit" / "1" / "v0.png", true)
    inputs = {
        name: StageOutput(name=name, path=tmp_path / name, fingerprint="", metrics={})
        for name in ("prepare", "mesh", "material", "relight")
    }
    out = tmp_path / "evaluate"
    out.mkdir()
    found = stage.run(inputs, out, quiet)
    assert found["roughness_mae"] == pytest.approx(0.2, abs=0.002), "alpha .25 is roughness .5"
    assert found["metallic_mae"] == pytest.approx(0.1, abs=1e-5)
    assert found["albedo_scale"] == pytest.approx(2.0, rel=1e-4) and found["albedo_mae"] < 1e-5
    assert found["relit_scale"] == pytest.approx(4.0, rel=1e-3) and found["relit_psnr"] > 55
    assert found["material_step"] == 7 and "psnr" not in found
    written = json.loads((out / "evaluation.json").read_text())
    assert written["relit"]["1/v0"]["relit_psnr_global"] == found["relit_psnr"]
    assert (out / "summary.json").is_file() and (out / "error.ply").is_file()


def configured(**more):
    train = {"steps": 10, "global_batch": 4}
    return NeroConfig.model_validate({"experiment": "x", "train": train, **more})


def test_the_stage_reads_what_its_config_makes():
    fit = {"train": {"steps": 10, "global_batch": 4}}
    assert judge_stage(configured()).inputs == ("synthesize", "prepare", "shape", "mesh")
    assert judge_stage(configured()).networks is None
    whole = judge_stage(configured(material=fit))
    assert whole.inputs == ("synthesize", "prepare", "shape", "mesh", "material", "relight")
    assert whole.networks is not None
    foreign = judge_stage(
        configured(material=fit, mesh={"file": "a.glb"}, data={"root": "here"}, train=None)
    )
    assert foreign.inputs == ("prepare", "mesh", "material", "relight")


def test_checks_of_a_material_are_asked_where_truth_can_answer(tmp_path):
    settings = JudgeSettings(max_roughness_mae=0.05, max_albedo_mae=0.03, min_relit_psnr=28.0)

    def asked(root):
        return [gate.name for gate in judge_gates(settings, root)]

    assert asked(tmp_path) == []
    truth_folder(tmp_path)
    assert asked(tmp_path) == ["roughness_close", "albedo_close"]
    relit_folder(tmp_path, {"1": {"v0": (np.zeros((8, 8, 3)), np.zeros((8, 8, 3), np.uint8))}})
    every = ["roughness_close", "albedo_close", "relit_close"]
    assert asked(tmp_path) == asked(None) == every
    results = [
        gate.check({"roughness_mae": 0.04, "albedo_mae": 0.04, "relit_psnr": 27.0}).passed
        for gate in judge_gates(settings, None)
    ]
    assert results == [True, False, False]
