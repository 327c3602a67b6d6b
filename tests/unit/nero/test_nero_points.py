"""Training pixels become points of the surface, and only pixels that show one place of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from nero_ball import INK, RADIUS, ball_capture, ball_view
from scipy import ndimage
from torch.nn import functional

from gimbal.training.task import Source
from gimbal_nero.errors import CaptureError, ShapeError
from gimbal_nero.learning.rays import RaySource
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.points import SurfacePoints, see
from gimbal_nero.material.silhouettes import eroded, torn_pixels
from gimbal_nero.tracing.secondary import SecondaryRays
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.meshes import Mesh

EVERYTHING = PointSettings(erosion=0, least_cosine=0.0, follow_masks=False, refining_steps=0)


def ball_mesh(radius=RADIUS, subdivisions=4):
    import trimesh

    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.asarray(made.vertices), np.asarray(made.faces, np.int32))


@pytest.fixture(scope="module")
def traced():
    return TracedMesh(ball_mesh())


@pytest.fixture(scope="module")
def everything(traced):
    return SurfacePoints(ball_capture().of("train"), traced, EVERYTHING, photographer="standing")


def ball_field(points):
    return points.norm(dim=-1) - RADIUS, functional.normalize(points, dim=-1)


def shows_the_ball(view):
    """Whether the ray of each pixel passes within the ball, by algebra; and how surely."""
    directions = view.camera.rays() @ view.cam2world[:3, :3].T
    along = -directions @ view.cam2world[:3, 3]
    passed = np.sqrt(np.maximum(9.0 - along**2, 0.0))
    return passed < RADIUS, np.abs(passed - RADIUS) > 2e-3


def test_points_are_a_source_of_the_platform(everything):
    assert isinstance(everything, Source)
    assert everything.counts.kept == everything.counts.met == len(everything)
    assert everything.counts.pixels == len(RaySource(ball_capture().of("train")))


def test_every_pixel_that_meets_the_ball_is_there_once_in_views_of_two_sizes(everything):
    views = ball_capture().of("train")
    found = everything.fetch(np.arange(len(everything)))
    for index, view in enumerate(views):
        shown, sure = shows_the_ball(view)
        mine = np.zeros(shown.shape, np.int64)
        np.add.at(mine.reshape(-1), found["pixel"][found["view"] == index], 1)
        assert np.array_equal(mine[sure], shown[sure].astype(np.int64)), view.name


def test_a_point_lies_on_the_ray_of_its_pixel_where_the_ball_is(everything):
    """Facets lie edge^2 / 6 r = 6e-4 beneath the ball, and lifted starts as much above it."""
    ids = np.random.default_rng(0).permutation(len(everything))[:300]
    found = everything.fetch(ids)
    inside = -(found["normals"] * found["directions"]).sum(-1) > 0.3
    assert inside.mean() > 0.8
    assert np.abs(np.linalg.norm(found["points"], axis=-1) - RADIUS).max() < 1e-3
    apart = found["points"] - found["origins"]
    aside = np.linalg.norm(np.cross(apart, found["directions"]), axis=-1)
    assert aside[inside].max() < 1.5e-3
    true = found["points"] / np.linalg.norm(found["points"], axis=-1, keepdims=True)
    assert (found["normals"] * true).sum(-1).min() > np.cos(np.radians(0.3))
    assert found["points"].dtype == found["normals"].dtype == np.float32


def test_a_point_has_the_colour_ray_and_photographer_of_its_pixel(everything):
    views = ball_capture().of("train")
    ids = np.array([0, 17, len(everything) - 1, 5])
    found = everything.fetch(ids)
    starts = np.cumsum([0, *(v.camera.height * v.camera.width for v in views)])
    same = RaySource(views, photographer="standing").fetch(starts[found["view"]] + found["pixel"])
    assert set(found) == set(same) | {"points", "normals"}
    for name, value in same.items():
        assert np.array_equal(found[name], value), name
    assert np.allclose(found["rgb"], INK / 255), "a pixel of the ball has the ball's colour"
    name = everything.names(ids)[1]
    row, column = divmod(int(found["pixel"][1]), views[0].camera.width)
    assert name == f"v0:{row},{column}"


def test_light_starts_at_points_unhindered(everything, traced):
    found = everything.fetch(np.arange(len(everything)))
    points, normals = (torch.from_numpy(found[name]) for name in ("points", "normals"))
    drawn = torch.randn(points.shape, generator=torch.Generator().manual_seed(0))
    towards = functional.normalize(normals + 0.999 * functional.normalize(drawn), dim=-1)
    assert len(SecondaryRays(traced).trace(points, towards)) == 0


def test_a_distance_refines_points_and_normals(traced):
    """Onto the ball to float32 rounding, but for the margin at which rays start, 1e-5 of it."""
    view = ball_capture().views[0]
    rough = see(view, traced, EVERYTHING, ball_field).hits
    fine = see(view, traced, PointSettings(), ball_field).hits
    assert (rough.points.norm(dim=-1) - RADIUS).abs().max() > 1e-4, "no steps: nothing is refined"
    assert (fine.points.norm(dim=-1) - RADIUS).abs().max() < 1e-9
    points = SurfacePoints([view], traced, PointSettings(), field=ball_field)
    found = points.fetch(np.arange(len(points)))
    true = found["points"] / np.linalg.norm(found["points"], axis=-1, keepdims=True)
    assert (found["normals"] * true).sum(-1).min() > 1.0 - 1e-6
    assert np.abs(np.linalg.norm(found["points"], axis=-1) - RADIUS).max() < 1e-3


def test_outlines_and_grazing_pixels_are_left_out(traced):
    """What stays is at least so many pixels from the background, in every direction."""
    view = ball_view("large", (1.0, 0.3, 0.2), side=64)
    whole = see(view, traced, EVERYTHING).kept
    for pixels in (1, 3):
        settings = EVERYTHING.model_copy(update={"erosion": pixels})
        kept = see(view, traced, settings).kept
        far = ndimage.distance_transform_cdt(whole, metric="chessboard") > pixels
        assert np.array_equal(kept, far), "a smooth ball has no gaps inside"
    seen = see(view, traced, EVERYTHING.model_copy(update={"least_cosine": 0.5}))
    directions = view.camera.rays() @ view.cam2world[:3, :3].T
    cosines = -(seen.hits.normals.numpy() * directions[whole]).sum(-1)
    assert np.array_equal(seen.kept[whole], cosines > 0.5)
    assert 0.3 < seen.kept.sum() / whole.sum() < 0.8


def test_the_border_of_a_photograph_is_no_outline():
    """A wall that fills the view stays whole; the published code never erodes either."""
    filled = np.ones((6, 7), bool)
    assert eroded(filled, np.zeros_like(filled), 2).all()


def test_gaps_in_depth_are_left_out_and_steep_surfaces_are_not():
    """A step of .5 is a gap on a wall that is seen squarely, and none on one seen at 80 degrees."""
    hit = np.ones((8, 10), bool)
    behind = np.where(np.arange(10) < 5, 3.0, 3.5) * np.ones((8, 1))
    torn = torn_pixels(hit, behind, np.full(hit.shape, 0.9), 0.01)
    assert torn[:, 4:6].all() and torn.sum() == 16
    assert np.array_equal(eroded(hit, torn, 1), ~torn)
    wider = eroded(hit, torn, 2)
    assert not wider[:, 3:7].any() and wider[:, :3].all() and wider[:, 7:].all()
    steep = 3.0 + 0.01 * 3.0 * np.tan(np.radians(80.0)) * np.arange(10) * np.ones((8, 1))
    assert not torn_pixels(hit, steep, np.full(hit.shape, np.cos(np.radians(80.0))), 0.01).any()
    flipped = torn_pixels(hit.T, behind.T, np.full(hit.T.shape, 0.9), 0.01)
    assert np.array_equal(flipped.T, torn)


def test_a_ball_before_another_is_cut_out_along_its_rim():
    """Pixels on both sides of the front ball's rim go, though all of them meet a surface."""
    front, back = ball_mesh(0.2), ball_mesh(0.9)
    shifted = front.vertices + np.array([1.5, 0.0, 0.0])
    faces = np.concatenate([front.faces, back.faces + len(front.vertices)])
    mesh = Mesh(np.concatenate([shifted, back.vertices]), faces.astype(np.int32))
    view = ball_view("both", (1.0, 0.0, 0.0), side=96)
    seen = see(view, TracedMesh(mesh), EVERYTHING.model_copy(update={"erosion": 1}))
    on_front = np.zeros(seen.kept.shape, bool)
    on_front[seen.hits.hit.numpy().reshape(on_front.shape)] = seen.hits.faces.numpy() < len(
        front.faces
    )
    beside = ndimage.binary_dilation(on_front, np.ones((3, 3), bool)) & ~on_front
    rim = on_front & ~ndimage.binary_erosion(on_front)
    assert on_front.sum() > 100
    assert not seen.kept[rim].any()
    assert seen.kept[on_front & ~ndimage.binary_dilation(rim)].all()
    four = ndimage.binary_dilation(on_front) & beside
    assert not seen.kept[four].any()


def test_masks_leave_out_what_they_take_for_background(traced):
    view = ball_view("half", (1.0, 0.0, 0.0), side=40)
    half = view.mask & (np.arange(view.camera.width) < view.camera.width // 2)
    halved = replace(view, mask=half)
    kept = see(halved, traced, EVERYTHING.model_copy(update={"follow_masks": True})).kept
    assert kept.any() and not kept[~half].any()
    assert np.array_equal(see(halved, traced, EVERYTHING).kept, see(view, traced, EVERYTHING).kept)


def test_a_mesh_in_another_frame_is_refused(traced):
    views = ball_capture().of("train")
    away = ball_mesh()
    shifted = TracedMesh(Mesh(away.vertices + 50.0, away.faces))
    with pytest.raises(ShapeError, match="none of") as error:
        SurfacePoints(views, shifted, PointSettings())
    assert "frame" in error.value.remedy
    blank = [replace(view, mask=np.zeros_like(view.mask)) for view in views]
    with pytest.raises(ShapeError, match="none is left"):
        SurfacePoints(blank, traced, PointSettings())
    with pytest.raises(CaptureError, match="no view"):
        SurfacePoints([], traced, PointSettings())


def test_progress_is_told_of_every_view(traced):
    told = []
    views = ball_capture().of("train")[:2]
    SurfacePoints(views, traced, PointSettings(), progress=lambda *said: told.append(said))
    assert [said[:2] for said in told] == [(0, 2), (1, 2)]
