"""What a material is asked to be, and a mesh that comes from elsewhere."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import trimesh
from nero_ball import RADIUS, ball_capture
from torch.nn import functional

from gimbal.errors import ConfigError, GimbalError
from gimbal_nero.capture import Capture
from gimbal_nero.commands.fit_material import fitting_config
from gimbal_nero.errors import ShapeError
from gimbal_nero.material import terms
from gimbal_nero.material.fit_settings import MaterialLossSettings
from gimbal_nero.material.networks import Material
from gimbal_nero.meshing.foreign import fit_of, load_foreign
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.stages.meshing import FOREIGN_GATES
from gimbal_vision.meshes import signed_volume

TURNED = Normalisation(
    rotation=np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
    centre_source=np.array([3.0, -2.0, 5.0]),
    scale=0.5,
)


def material(albedo, metallic, alpha):
    return Material(
        albedo=torch.tensor([albedo]), metallic=torch.tensor([[metallic]]),
        alpha=torch.tensor([[alpha]]),
    )  # fmt: skip


def mean(term):
    return float(term[0] / term[1])


def test_points_beside_lie_in_the_tangent_plane_all_around_and_as_far_as_asked():
    torch.manual_seed(0)
    normals = functional.normalize(torch.randn(4000, 3, dtype=torch.float64), dim=-1)
    drawn = torch.stack([torch.rand(4000), torch.randn(4000)], -1).double()
    moved = terms.beside(torch.zeros_like(normals), normals, drawn, 0.05)
    assert (moved * normals).sum(-1).abs().max() < 1e-12
    assert moved.square().sum(-1).mean().sqrt() == pytest.approx(0.05, rel=0.05)
    assert moved.mean(0).abs().max() < 0.005


def test_smoothness_is_the_sum_of_three_mean_differences():
    here, there = material([0.2, 0.4, 0.9], 0.5, 0.3), material([0.5, 0.4, 0.6], 0.1, 0.35)
    assert mean(terms.smoothness_term(here, there)) == pytest.approx(0.4 + 0.05 + 0.2)


def test_the_range_guard_begins_at_the_published_ends():
    assert mean(terms.range_term(material([0.0] * 3, 0.5, 0.02**2))) == pytest.approx(0, abs=1e-7)
    assert mean(terms.range_term(material([0.0] * 3, 1.0, 1.0))) == pytest.approx(0.02 + 0.0396)
    assert mean(terms.range_term(material([0.0] * 3, 0.0, 0.0))) == pytest.approx(0.02 + 0.0004)


def test_neutral_light_costs_nothing_and_coloured_light_its_colour_as_shown():
    grey = torch.full((5, 3), 0.3)
    assert mean(terms.neutral_light_term(grey)) == pytest.approx(0.0, abs=1e-6)
    assert mean(terms.neutral_light_term(torch.tensor([[4.0, 2.0, 7.0]]))) == pytest.approx(0.0)
    red = mean(terms.neutral_light_term(torch.tensor([[1.0, 0.0, 0.0]])))
    assert red == pytest.approx(2 / 3 + 1 / 3 + 1 / 3, abs=1e-5)


def test_beyond_white_is_white_only_where_the_photograph_ends():
    settings = MaterialLossSettings(charbonnier_epsilon=1e-6)
    white, grey = torch.ones(1, 3), torch.full((1, 3), 0.5)
    bright = torch.full((1, 3), 9.0)
    assert mean(terms.colour_term(bright, white, settings)) == pytest.approx(1e-3)
    assert mean(terms.colour_term(bright, grey, settings)) > 1.0
    published = settings.model_copy(update={"clip_white": False})
    assert mean(terms.colour_term(bright, white, published)) > 1.0


def turned_capture():
    plain = ball_capture()
    return Capture(
        views=plain.views, splits=plain.splits, normalisation=TURNED, points=plain.points,
        source="a ball elsewhere",
    )  # fmt: skip


def write_ball(path, *, y_up=False, outwards=True, uv=False):
    """The ball of the photographs as a file in their source frame."""
    made = trimesh.creation.uv_sphere(radius=RADIUS, count=[24, 24])
    made.apply_scale([1.0, 1.0, 0.9])
    made.vertices = TURNED.undo_points(made.vertices)
    if y_up:
        made.vertices = made.vertices @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]).T
    if not outwards:
        made.invert()
    if uv:
        made = trimesh.Trimesh(
            made.triangles.reshape(-1, 3),
            np.arange(3 * len(made.faces)).reshape(-1, 3),
            process=False,
        )
    content = made.export(file_type=path.suffix[1:])
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def gates_missed(mesh, capture):
    fit = {"fit": fit_of(mesh, capture, lambda *_: None)}
    found = {**fit, "radius": float(np.linalg.norm(mesh.vertices, axis=-1).max())}
    return [gate.name for gate in FOREIGN_GATES if not gate.check(found).passed]


@pytest.mark.parametrize("case", [{}, {"outwards": False}, {"uv": True}])
def test_a_mesh_in_the_poses_frame_comes_to_lie_on_the_photographs(tmp_path, case):
    capture = turned_capture()
    mesh = load_foreign(write_ball(tmp_path / "ball.glb", **case), capture, "as_photographs")
    assert np.abs(np.linalg.norm(mesh.vertices / [1, 1, 0.9], axis=-1) - RADIUS).max() < 1e-3
    assert signed_volume(mesh) > 0, "corners doubled by a file are joined, and outside is outside"
    assert gates_missed(mesh, capture) == []


@pytest.mark.parametrize("kind", ["open", "mixed"])
def test_faces_that_look_inwards_or_either_way_are_turned_to_the_cameras(tmp_path, kind):
    """Closed or not: an exported object must not be inside out."""
    capture = turned_capture()
    made = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    faces = made.faces.copy()
    if kind == "open":
        faces = faces[made.triangles_center[:, 2] < 0.4][:, ::-1]
    else:
        faces[::2] = faces[::2, ::-1]
    turned = trimesh.Trimesh(TURNED.undo_points(made.vertices), faces, process=False)
    (tmp_path / "ball.off").write_text(turned.export(file_type="off"))
    mesh = load_foreign(tmp_path / "ball.off", capture, "as_photographs")
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normals * corners.mean(1)).sum(-1) > 0).all()


def test_a_y_up_file_is_turned_when_that_is_said_and_missed_when_not(tmp_path):
    capture = turned_capture()
    path = write_ball(tmp_path / "ball.ply", y_up=True)
    assert gates_missed(load_foreign(path, capture, "y_up"), capture) == []
    missed = gates_missed(load_foreign(path, capture, "as_photographs"), capture)
    assert {"mesh_is_seen", "mesh_in_sphere", "mesh_fits_masks"} == set(missed)


def test_a_mesh_twice_as_large_is_told_by_the_masks(tmp_path):
    capture = turned_capture()
    mesh = load_foreign(write_ball(tmp_path / "ball.ply"), capture, "as_photographs")
    half = type(mesh)(0.5 * mesh.vertices, mesh.faces)
    assert gates_missed(half, capture) == ["mesh_fits_masks"]


def test_a_damaged_mesh_is_refused_in_words(tmp_path):
    path = tmp_path / "broken.glb"
    path.write_bytes(io.BytesIO(b"glTF nonsense").getvalue())
    with pytest.raises(ShapeError, match=r"broken\.glb"):
        load_foreign(path, turned_capture(), "as_photographs")


def test_fitting_asks_for_files_that_are_there_and_sizes_that_exist(tmp_path):
    mesh = write_ball(tmp_path / "ball.ply")
    with pytest.raises(ConfigError, match="--mesh"):
        fitting_config(tmp_path / "none.ply", tmp_path, [], axes="y_up")
    with pytest.raises(ConfigError, match="--data"):
        fitting_config(mesh, tmp_path / "none", [], axes="y_up")
    with pytest.raises(ConfigError, match="--size"):
        fitting_config(mesh, tmp_path, [], size="huge", axes="y_up")
    with pytest.raises(GimbalError, match="axes"):
        fitting_config(mesh, tmp_path, [], axes="z_up")
    config = fitting_config(mesh, tmp_path, ["mc.estimator=official"], axes="y_up")
    assert (config.mc.estimator, config.mesh.axes, config.train) == ("official", "y_up", None)
