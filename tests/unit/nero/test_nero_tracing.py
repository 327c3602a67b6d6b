"""Rays meet a mesh where a sphere says, normals are smooth, and light is blocked by parts only."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from gimbal_nero.errors import ShapeError
from gimbal_nero.synthesis.objects import torus
from gimbal_nero.tracing.casting import EmbreeCaster, _warn_once, caster_for
from gimbal_nero.tracing.refining import field_of, newton
from gimbal_nero.tracing.secondary import SecondaryRays
from gimbal_nero.tracing.surface import TracedMesh
from gimbal_vision.meshes import Mesh

RADIUS = 0.6


def ball(subdivisions=3, centre=(0.0, 0.0, 0.0), radius=RADIUS):
    import trimesh

    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.asarray(made.vertices) + centre, np.asarray(made.faces, np.int32))


def cube():
    import trimesh

    made = trimesh.creation.box(extents=(1.0, 1.0, 1.0))
    return Mesh(np.asarray(made.vertices), np.asarray(made.faces, np.int32))


def joined(*meshes):
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)]
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    return Mesh(vertices, np.concatenate(faces).astype(np.int32))


def units(count, seed=0, dtype=torch.float64):
    drawn = torch.randn((count, 3), generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return functional.normalize(drawn, dim=-1)


def rays_at_the_ball(count=2000, impact=0.9):
    """Rays from radius 3 that pass the origin within `impact` radii."""
    origins = 3.0 * units(count)
    aside = functional.normalize(torch.linalg.cross(origins, units(count, 1)), dim=-1)
    share = torch.linspace(0.0, impact, count, dtype=torch.float64)[:, None]
    return origins, functional.normalize(RADIUS * share * aside - origins, dim=-1)


def exact_crossings(origins, directions):
    middle = -(origins * directions).sum(-1)
    missed = origins.square().sum(-1) - middle**2
    return middle - (RADIUS**2 - missed).sqrt()


def degrees_between(first, second):
    return torch.rad2deg(torch.acos((first * second).sum(-1).clamp(-1.0, 1.0)))


def ball_field(points):
    return points.norm(dim=-1) - RADIUS, functional.normalize(points, dim=-1)


def test_first_hits_lie_on_their_rays_and_on_the_ball():
    """Facets of .09 lie beneath the ball by at most edge^2 / 6 r = .0023, more at grazing rays."""
    origins, directions = rays_at_the_ball()
    hits = TracedMesh(ball()).first_hits(origins, directions)
    assert hits.hit.all() and len(hits) == len(origins)
    along = origins + hits.distances[:, None] * directions
    assert (hits.points - along).abs().max() < 1e-12, "a point left its ray"
    assert (hits.distances - exact_crossings(origins, directions)).abs().max() < 0.008
    assert (hits.face_normals * directions).sum(-1).max() < 0


def test_normals_are_smooth_where_faces_are_flat():
    """Flat normals of this ball are 2.3 degrees off in the mean; smooth ones a twentieth of it."""
    hits = TracedMesh(ball()).first_hits(*rays_at_the_ball())
    true = functional.normalize(hits.points, dim=-1)
    assert degrees_between(hits.face_normals, true).mean() > 2.0
    assert degrees_between(hits.normals, true).max() < 0.35
    assert (hits.normals.norm(dim=-1) - 1.0).abs().max() < 1e-12


def test_creases_stay_sharp():
    """Half a thousandth from a cube's edge the normal is still that of its side."""
    origins = torch.tensor([[0.4995, 0.4995, 3.0]], dtype=torch.float64)
    hits = TracedMesh(cube()).first_hits(origins, -torch.eye(3, dtype=torch.float64)[2:])
    assert hits.distances.item() == pytest.approx(2.5, abs=1e-12)
    assert torch.allclose(hits.normals, torch.eye(3, dtype=torch.float64)[2:], atol=1e-12)


def test_an_inside_out_mesh_is_met_as_the_right_one():
    """Meshes of others come in either orientation; normals must face the ray all the same."""
    rays = rays_at_the_ball(300)
    right = ball()
    wrong = Mesh(right.vertices, np.ascontiguousarray(right.faces[:, ::-1]))
    first, second = (TracedMesh(mesh).first_hits(*rays) for mesh in (right, wrong))
    for name in ("points", "normals", "face_normals", "starts"):
        assert torch.allclose(getattr(first, name), getattr(second, name), atol=1e-9), name


def test_misses_have_no_row():
    origins = torch.tensor([[0.0, 0.0, 3.0], [2.0, 0.0, 3.0], [0.1, 0.0, 3.0]])
    down = torch.tensor([0.0, 0.0, -1.0]).expand(3, 3)
    hits = TracedMesh(ball()).first_hits(origins, down)
    assert hits.hit.tolist() == [True, False, True]
    assert hits.points.shape == (2, 3) and hits.points.dtype == torch.float32
    assert hits.points[1, 0].item() == pytest.approx(0.1, abs=1e-6)
    nothing = TracedMesh(ball()).first_hits(origins[1:2], down[1:2])
    assert len(nothing) == 0 and nothing.points.shape == (0, 3)


def test_refined_hits_lie_on_the_surface_of_the_distance():
    """One step errs by the square of a radius; the exact distance needs one, this field two."""

    def squared(points):
        return (points.square().sum(-1) - RADIUS**2) / (2 * RADIUS), points / RADIUS

    traced = TracedMesh(ball())
    hits = traced.first_hits(*rays_at_the_ball())
    misses = [
        (traced.refined(hits, squared, steps).points.norm(dim=-1) - RADIUS).abs().max().item()
        for steps in (1, 2, 3)
    ]
    assert misses[0] < 1e-5 and misses[1] < 1e-10 and misses[2] < 1e-14
    refined = traced.refined(hits, squared)
    assert degrees_between(refined.normals, functional.normalize(refined.points)).max() < 1e-4
    moved = (refined.points - hits.points).norm(dim=-1)
    assert 1e-4 < moved.max() < traced.mean_edge


def test_hits_stay_where_the_distance_means_another_surface():
    """Out of reach, facing elsewhere, flat, or not finite: the mesh is the better answer."""
    traced = TracedMesh(ball())
    hits = traced.first_hits(*rays_at_the_ball(200))

    def far(points):
        return points.norm(dim=-1) - RADIUS - 3 * traced.mean_edge, functional.normalize(points)

    def across(points):
        return torch.zeros_like(points[:, 0]), torch.linalg.cross(points, points.roll(1, 0))

    def flat(points):
        return torch.ones_like(points[:, 0]), torch.zeros_like(points)

    def broken(points):
        return torch.full_like(points[:, 0], torch.nan), functional.normalize(points)

    for field in (far, across, flat, broken):
        refined = traced.refined(hits, field)
        for name in ("points", "normals", "starts"):
            assert torch.equal(getattr(refined, name), getattr(hits, name)), (field, name)


def test_a_distance_that_is_negative_outside_gives_normals_towards_the_ray():
    hits = TracedMesh(ball()).first_hits(*rays_at_the_ball(200))
    turned = TracedMesh(ball()).refined(hits, lambda p: tuple(-x for x in ball_field(p)))
    assert (turned.normals * hits.normals).sum(-1).min() > 0.99


def test_a_trained_shape_is_a_distance_to_refine_onto():
    from nero_exact import exact_model

    from gimbal_nero.volume.shape import ShapeFields

    model = exact_model(radii=(RADIUS,))
    field = field_of(ShapeFields(model.settings), model)
    found = newton(0.58 * units(50), field, steps=1, reach=0.1)
    assert found.settled.all()
    assert (found.points.norm(dim=-1) - RADIUS).abs().max() < 1e-12
    assert not found.points.requires_grad


@pytest.mark.parametrize("refined", [False, True])
def test_light_leaves_a_round_thing_unhindered(refined):
    """Nothing of a ball blocks its own light, however coarse: lifted starts see to that.

    Without the lift, facets of this ball block a part of the light that arrives nearly flat.
    """
    traced = TracedMesh(ball(subdivisions=2))
    hits = traced.first_hits(*rays_at_the_ball(20_000))
    kept = traced.refined(hits, ball_field) if refined else hits
    towards = functional.normalize(kept.normals + 0.9999 * units(len(kept), 2), dim=-1)
    rays = SecondaryRays(traced)
    assert len(rays.trace(kept.starts.float(), towards.float())) == 0
    if not refined:
        margin = hits.points + 2e-5 * hits.face_normals
        assert len(rays.trace(margin.float(), towards.float())) > 10, "the test proves nothing"


def test_light_between_two_balls_is_blocked_where_the_second_stands():
    """From the first ball every ray that a sphere test says meets the second does, at its place."""
    centre, small = torch.tensor([1.2, 0.1, 0.0], dtype=torch.float64), 0.5
    traced = TracedMesh(joined(ball(4), ball(4, centre.numpy(), small)))
    starts = (RADIUS + 1e-3) * units(4000, 3)
    towards = functional.normalize(starts / RADIUS + 0.999 * units(4000, 4), dim=-1)
    hits = SecondaryRays(traced, rays_at_once=700).trace(starts, towards)
    apart = starts - centre
    middle = -(apart * towards).sum(-1)
    impact = (apart.square().sum(-1) - middle**2).clamp(min=0.0).sqrt()
    exact = (middle > 0) & (impact < small)
    sure = (impact - small).abs() > 2e-3
    assert torch.equal(hits.hit[sure], exact[sure]) and exact.sum() > 100
    depth = (middle - (small**2 - impact**2).clamp(min=0.0).sqrt())[hits.hit]
    head_on = sure[hits.hit] & (impact[hits.hit] < 0.9 * small)
    assert (hits.distances - depth)[head_on].abs().max() < 3e-3
    true = functional.normalize(hits.points - centre, dim=-1)
    assert degrees_between(hits.normals, true)[head_on].max() < 0.3
    assert (hits.normals * towards[hits.hit]).sum(-1)[head_on].max() < 0, "normals face the ray"


def test_a_hollow_ball_blocks_all_light_inside():
    traced = TracedMesh(ball(4))
    starts, towards = torch.zeros((500, 3)), units(500, 5, torch.float32)
    hits = SecondaryRays(traced).trace(starts, towards)
    assert hits.hit.all()
    assert (hits.distances - RADIUS).abs().max() < 2e-3
    assert degrees_between(hits.normals, -towards).max() < 0.5


def test_parts_and_their_number_change_nothing():
    traced = TracedMesh(torus(0.7, 0.28, 40, 20))
    towards = units(999, 6, torch.float32)
    starts = torch.zeros_like(towards)
    whole = SecondaryRays(traced).trace(starts, towards)
    parts = SecondaryRays(traced, rays_at_once=100).trace(starts, towards)
    assert 0 < len(whole) < 999
    for name, value in vars(whole).items():
        assert torch.equal(value, getattr(parts, name)), name
    assert len(SecondaryRays(traced).trace(starts[:0], towards[:0])) == 0


def test_a_mesh_without_faces_is_refused():
    with pytest.raises(ShapeError, match="no faces"):
        TracedMesh(Mesh(np.zeros((3, 3)), np.zeros((0, 3), np.int32)))


def test_a_card_without_warp_is_served_by_the_cpu_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "warp", None)
    _warn_once.cache_clear()
    casters = [caster_for(ball(1), torch.device("cuda")) for _ in range(2)]
    assert all(isinstance(caster, EmbreeCaster) for caster in casters)
    (said,) = caplog.records
    assert "warp-lang" in said.message and "gimbal[warp]" in said.message


@pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="warp-lang is not installed")
def test_warp_meets_the_faces_that_embree_meets():
    from gimbal_nero.tracing.warp_casting import WarpCaster

    traced = TracedMesh(torus(0.7, 0.28, 40, 20))
    origins = 3.0 * units(4000, 7)
    directions = functional.normalize(0.9 * units(4000, 8) - origins, dim=-1)
    embree = traced.caster.faces(origins, directions)
    warp = WarpCaster(traced.mesh, torch.device("cpu")).faces(origins, directions)
    assert (embree >= 0).any() and (embree < 0).any()
    assert (embree != warp).double().mean() < 2e-3, "only rays along edges may differ"
    if not torch.cuda.is_available():
        with pytest.raises(ShapeError, match="CUDA"):
            WarpCaster(traced.mesh, torch.device("cuda"))


def dented(points):
    """A ball with ripples that a coarse mesh of its vertices does not show between them."""
    radius = points.norm(dim=-1)
    outward = points / radius[:, None]
    wave = torch.tensor([9.0, 7.0, 5.0], dtype=points.dtype)
    phase = points @ wave
    slopes = outward + 0.01 * phase.cos()[:, None] * wave
    return radius - RADIUS + 0.01 * phase.sin(), slopes


def test_slopes_of_the_distance_at_vertices_are_better_normals_than_the_meshs_own():
    """And where the distance has no surface nearby, the mesh's own stay."""
    mesh = ball(subdivisions=3)
    origins, directions = rays_at_the_ball(impact=0.7)
    hits = TracedMesh(mesh).first_hits(origins, directions)
    truth = newton(hits.points, dented, 4, 0.1)
    own = (hits.normals * truth.normals).sum(-1)
    sloped = TracedMesh(mesh, field=dented).first_hits(origins, directions)
    better = (sloped.normals * truth.normals).sum(-1)
    assert (1.0 - better).mean() < 0.3 * (1.0 - own).mean()

    def elsewhere(points):
        distance, slopes = dented(points)
        return distance + 5.0, slopes

    kept = TracedMesh(mesh, field=elsewhere).first_hits(origins, directions)
    torch.testing.assert_close(kept.normals, hits.normals)
