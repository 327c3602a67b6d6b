"""Carving and ray walking against slow references, and what turning the world must not change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest

from gimbal_nbv.features import pool
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.protocol import BALL_RADIUS, SphereProtocol
from gimbal_nbv.rays import CHANNELS, COUNTS, RAYS, annotate, ray_images, ray_table
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.voxels import FREE, SURFACE, UNKNOWN, carve, codes_of, observers_of
from gimbal_vision.meshes import Mesh, normalise
from gimbal_vision.rendering.raster import RasterRenderer
from gimbal_vision.spheres import fibonacci_sphere

TINY = SphereProtocol(views=6, image_size=24, grid=8)


def depth_of(mesh: Mesh, protocol: SphereProtocol) -> np.ndarray:
    return RasterRenderer(threads=1).render(normalise(mesh), protocol.cameras, ("depth",)).depth


@pytest.fixture(scope="module")
def tiny_depth() -> np.ndarray:
    return depth_of(make_shape("chair", 0), TINY)


def bits(words: np.ndarray, grid: int) -> np.ndarray:
    flags = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little", count=grid**3)
    return flags.astype(bool).reshape(*words.shape[:-1], grid, grid, grid)


def test_carving_equals_a_slow_reference(tiny_depth):
    """Voxel by voxel: free where its centre lies in front of what the pixel measured."""
    free, surface = carve(tiny_depth, TINY)
    grid, size = TINY.grid, 2 * BALL_RADIUS / TINY.grid
    axis = (np.arange(grid) + 0.5) * size - BALL_RADIUS
    centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    outside = np.linalg.norm(centres, axis=1) > BALL_RADIUS + size / 2
    pixels, z = TINY.cameras.project(centres)
    points = TINY.cameras.unproject(tiny_depth)
    for view in range(TINY.views):
        row, column = (np.floor(pixels[view, :, k]).astype(int) for k in (1, 0))
        side = TINY.image_size
        pictured = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        measured = tiny_depth[view, row.clip(0, side - 1), column.clip(0, side - 1)]
        seen = (measured == 0) | (z[view] < measured - size / 2)
        expected = outside | (pictured & seen)
        np.testing.assert_array_equal(bits(free[view], grid).ravel(), expected)
        cells = np.floor((points[view][tiny_depth[view] > 0] + BALL_RADIUS) / size).astype(int)
        marked = np.zeros((grid,) * 3, dtype=bool)
        marked[tuple(np.clip(cells, 0, grid - 1).T)] = True
        np.testing.assert_array_equal(bits(surface[view], grid), marked)


def test_a_set_is_surface_where_any_view_measured_else_free_where_any_looked(tiny_depth):
    free, surface = carve(tiny_depth, TINY)
    views = np.array([4, 1])
    any_free, any_surface = (bits(w[views], 8).any(axis=0) for w in (free, surface))
    codes = codes_of(free[views], surface[views], 8)
    np.testing.assert_array_equal(codes == SURFACE, any_surface)
    np.testing.assert_array_equal(codes == FREE, any_free & ~any_surface)
    np.testing.assert_array_equal(codes == UNKNOWN, ~any_free & ~any_surface)
    seen = observers_of(surface[views], 8).reshape(8, 8, 8)
    np.testing.assert_array_equal(seen & 1 > 0, bits(surface[4], 8))
    np.testing.assert_array_equal(seen & 2 > 0, bits(surface[1], 8))


def test_more_views_never_make_a_voxel_unknown_again(tiny_depth):
    free, surface = carve(tiny_depth, TINY)
    before = codes_of(free[:2], surface[:2], 8)
    after = codes_of(free[:4], surface[:4], 8)
    assert np.all((after != UNKNOWN) | (before == UNKNOWN))


def test_chosen_views_carve_as_they_do_among_all(tiny_depth):
    some = np.array([5, 2])
    whole, part = carve(tiny_depth, TINY), carve(tiny_depth[some], TINY, some)
    np.testing.assert_array_equal(whole[0][some], part[0])
    np.testing.assert_array_equal(whole[1][some], part[1])


def test_frontiers_and_nearness_equal_a_slow_reference():
    rng = np.random.default_rng(0)
    codes = rng.choice([UNKNOWN, FREE, SURFACE], p=[0.6, 0.35, 0.05], size=(8, 8, 8))
    codes = codes.astype(np.uint8)
    frontier, nearness = annotate(codes)
    padded = np.pad(codes, 1, constant_values=UNKNOWN)
    beside = np.zeros_like(codes, dtype=bool)
    for axis in range(3):
        for step in (-1, 1):
            beside |= np.roll(padded, step, axis=axis)[1:-1, 1:-1, 1:-1] == FREE
    np.testing.assert_array_equal(frontier.reshape(codes.shape) > 0, (codes == UNKNOWN) & beside)
    cells = np.argwhere(codes >= 0)
    known = np.argwhere(codes == SURFACE)
    delta = np.sort(np.abs(cells[:, None] - known[None]), axis=-1)
    chamfer = (
        delta[..., 0] * np.sqrt(3)
        + (delta[..., 1] - delta[..., 0]) * np.sqrt(2)
        + (delta[..., 2] - delta[..., 1])
    ).min(axis=1)
    np.testing.assert_allclose(nearness, np.exp(-chamfer / 1.5), rtol=1e-4)


def slow_ray(codes, observers, frontier, nearness, cosines, voxels, entry, step) -> list[float]:
    """One ray, written from the channels' definitions."""
    labels = codes.ravel()[voxels]
    hits = np.flatnonzero(labels == SURFACE)
    end = hits[0] if len(hits) else len(voxels)
    ahead = voxels[:end]
    unknown = labels[:end] == UNKNOWN
    first = np.flatnonzero(unknown)
    rear = bool(len(hits) and end > 0 and unknown[-1])
    out = dict.fromkeys(CHANNELS, 0.0)
    out["unknown_length"] = unknown.sum() * step
    out["open"] = float(unknown.any())
    out["unknown_depth"] = entry + first[0] * step if len(first) else 1.0
    out["frontier"] = frontier[ahead][unknown].sum() * step
    out["new_surface"] = 1 - np.prod(1 - 0.35 * nearness[ahead][unknown])
    out["closeness"] = nearness[ahead][unknown].max(initial=0)
    if len(hits):
        out["hit"], out["hit_depth"], out["rear"] = 1.0, entry + end * step, float(rear)
        if not rear:
            seen = [c for n, c in enumerate(cosines) if observers[voxels[end]] >> n & 1]
            out["new_side"] = (1 - max(seen)) / 2
            out["opposite"] = float(max(seen) < 0)
    return [out[name] for name in CHANNELS]


def test_ray_images_equal_a_slow_reference(tiny_depth):
    free, surface = carve(tiny_depth, TINY)
    used = np.array([0, 3])
    codes = codes_of(free[used], surface[used], TINY.grid)
    observers = observers_of(surface[used], TINY.grid)
    images, _ = ray_images(codes, observers, used, TINY)
    images = images.reshape(TINY.views, RAYS**2, -1)
    frontier, nearness = annotate(codes)
    table = ray_table(TINY)
    cosines = TINY.directions @ TINY.directions[used].T
    for view in range(TINY.views):
        for ray in range(0, RAYS**2, 17):
            number = view * RAYS**2 + ray
            voxels = table.voxels[table.starts[number] : table.starts[number + 1]]
            expected = slow_ray(
                codes, observers, frontier, nearness, cosines[view],
                voxels, table.entry[number], table.step,
            )  # fmt: skip
            np.testing.assert_allclose(images[view, ray], expected, atol=2e-5)


def free_normals(codes: np.ndarray) -> np.ndarray:
    """Unit sum of the offsets of free neighbours, for voxels neither free nor at a side."""
    grid = codes.shape[0]
    total = np.zeros((grid, grid, grid, 3))
    offsets = [np.array(o) - 1 for o in np.ndindex(3, 3, 3)]
    for offset in offsets:
        moved = np.roll(codes, tuple(-offset), axis=(0, 1, 2))
        total += (moved == FREE)[..., None] * offset
    inner = np.zeros(codes.shape, dtype=bool)
    inner[1:-1, 1:-1, 1:-1] = True
    total[~inner | (codes == FREE)] = 0
    return (total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-9)).reshape(-1, 3)


def test_voxel_counts_equal_a_slow_reference(tiny_depth):
    """Every voxel a candidate meets counts once, however many rays meet it."""
    free, surface = carve(tiny_depth, TINY)
    used = np.array([1, 4])
    codes = codes_of(free[used], surface[used], TINY.grid)
    observers = observers_of(surface[used], TINY.grid)
    _, counts = ray_images(codes, observers, used, TINY)
    frontier, nearness = annotate(codes)
    normals, table = free_normals(codes), ray_table(TINY)
    labels, cosines = codes.ravel(), TINY.directions @ TINY.directions[used].T
    for view in range(TINY.views):
        edges, unknown, known, slanted = set(), set(), {}, [0.0, 0.0]
        ahead = -TINY.directions[view]
        for number in range(view * RAYS**2, (view + 1) * RAYS**2):
            voxels = table.voxels[table.starts[number] : table.starts[number + 1]]
            hits = np.flatnonzero(labels[voxels] == SURFACE)
            before = voxels[: hits[0]] if len(hits) else voxels
            hidden = before[labels[before] == UNKNOWN]
            unknown |= set(hidden.tolist())
            if len(hidden):
                edges.add(int(hidden[0]))
                weight = 1 / max(abs(normals[hidden[0]] @ ahead), 0.2)
                slanted[0] += weight
                slanted[1] += weight * nearness[hidden[0]]
            if len(hits):
                behind = bool(len(before)) and labels[before[-1]] == UNKNOWN
                known.setdefault(int(voxels[hits[0]]), behind)
        edge, hidden, met = (np.array(sorted(v), dtype=int) for v in (edges, unknown, known))
        behind = np.array([known[voxel] for voxel in met], dtype=bool)
        seen = (observers[met][:, None] >> np.arange(2)) & 1 > 0
        least = np.where(seen, cosines[view], -1).max(axis=1)
        near = nearness[edge]
        expected = {
            "edge": len(edge),
            "edge_near": near.sum(),
            "edge_facing": np.abs(normals[edge] @ ahead).sum(),
            "edge_adjacent": (near > 0.5).sum(),
            "edge_close": ((near > 0.2) & (near <= 0.5)).sum(),
            "edge_middle": ((near > 0.07) & (near <= 0.2)).sum(),
            "edge_remote": (near <= 0.07).sum(),
            "edge_slanted": slanted[0],
            "edge_near_slanted": slanted[1],
            "unknown": len(hidden) / 4,
            "unknown_near": nearness[hidden].sum() / 4,
            "frontier": frontier[hidden].sum(),
            "frontier_near": (frontier[hidden] * nearness[hidden]).sum(),
            "known": len(met),
            "known_averted": np.maximum(normals[met] @ ahead, 0).sum(),
            "rear": behind.sum(),
            "new_side": ((1 - least) / 2)[~behind].sum(),
            "opposite": (least < 0)[~behind].sum(),
        }
        assert tuple(expected) == COUNTS
        np.testing.assert_allclose(
            counts[view] * TINY.grid**2, list(expected.values()), rtol=1e-4, atol=1e-3
        )


@dataclass(frozen=True, kw_only=True)
class TurnedProtocol(SphereProtocol):
    """The same candidates, turned a quarter about z."""

    @cached_property
    def directions(self) -> np.ndarray:
        x, y, z = fibonacci_sphere(self.views).T
        return np.stack([-y, x, z], axis=1)


def test_turning_world_and_views_together_changes_no_feature():
    """A quarter turn maps the voxel grid onto itself, so the agreement is nearly exact."""
    mesh = make_shape("jointed_3", 5)
    x, y, z = mesh.vertices.T
    turned = Mesh(vertices=np.stack([-y, x, z], axis=1), faces=mesh.faces)
    pooled = []
    for shape, kind in ((mesh, SphereProtocol), (turned, TurnedProtocol)):
        protocol = kind(views=24, image_size=48, grid=16)
        depth = depth_of(shape, protocol)
        used = np.array([2, 17])
        free, surface = carve(depth[used], protocol, used)
        images, counts = ray_images(
            codes_of(free, surface, 16), observers_of(surface, 16), used, protocol
        )
        pooled.append(np.concatenate([pool(images), counts], axis=1))
    assert np.abs(pooled[0] - pooled[1]).mean() < 1e-3
    assert np.quantile(np.abs(pooled[0] - pooled[1]), 0.99) < 0.02


def test_pooling_ignores_how_a_camera_is_rolled_by_quarters():
    images = np.random.default_rng(0).random((3, RAYS, RAYS, len(CHANNELS))).astype(np.float32)
    np.testing.assert_allclose(pool(images), pool(np.rot90(images, axes=(1, 2))), atol=1e-5)


def test_an_antipodal_view_looks_at_the_unknown(mug_oracle: OracleMap):
    """After one view the far side is unknown: the opposite camera sees more of it than the same."""
    protocol = mug_oracle.protocol
    first = np.array([4], dtype=np.int32)
    images, _ = ray_images(mug_oracle.codes(first), mug_oracle.observers(first), first, protocol)
    share = images[..., CHANNELS.index("open")].mean(axis=(1, 2))
    opposite = int((protocol.directions @ protocol.directions[4]).argmin())
    assert share[opposite] > 5 * share[4]
